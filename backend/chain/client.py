"""One asynchronous JSON-RPC client for every engine."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import httpx

from backend.chain.profile import EMBEDDED, ChainProfile
from backend.chain.shapes import is_object

REVERT_CODES = (3, -32000, -32015)
"""geth and our node answer a revert with 3, Besu with -32000, FISCO with -32000 or -32015."""

BlockTag = int | str


class NodeAway(Exception):
    """The node did not answer: whatever was asked may or may not have happened."""


class RpcError(Exception):
    """The node answered with an error: its code, message, and revert data where it sent any."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data

    @property
    def revert_data(self) -> bytes | None:
        """The bytes a contract reverted with, b"" for a bare revert, None for other errors."""
        if isinstance(self.data, str) and re.fullmatch(r"0x(?:[0-9a-fA-F]{2})*", self.data):
            return bytes.fromhex(self.data[2:])
        if self.code in REVERT_CODES and "revert" in self.message.lower():
            return b""
        return None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction's outcome: `status` True = executed, block number and 0x hashes."""

    tx_hash: str
    status: bool
    block: int
    block_hash: str
    gas_used: int
    to: str | None
    contract_address: str | None
    logs: Sequence[dict[str, Any]]


class ChainClient:
    """Typed calls over HTTP. Addresses and hashes are lower-case 0x hex, inputs are bytes.

    Every method raises NodeAway when no answer comes and RpcError when the node refuses.
    """

    def __init__(
        self, url: str, profile: ChainProfile = EMBEDDED, *, timeout_s: float = 30
    ) -> None:
        self.url = url
        self.profile = profile
        self._ids = itertools.count(1)
        self._http = httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(self, method: str, *params: Any) -> Any:
        """One call; returns its result."""
        call = self._call(method, params)
        answer = await self._post(call)
        if not is_object(answer):
            raise NodeAway(f"{self.url} answered {method} with something else than an object")
        return _result(method, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Many calls in batches of the profile's size; an RpcError stands in its call's place."""
        results: list[Any] = []
        size = self.profile.batch_calls_max
        for start in range(0, len(calls), size):
            lot = calls[start : start + size]
            bodies = [self._call(method, params) for method, params in lot]
            answers = await self._post(bodies)
            if not isinstance(answers, list):
                raise NodeAway(f"{self.url} does not answer batches")
            given = cast("list[Any]", answers)
            by_id: dict[Any, Any] = {a.get("id"): a for a in given if is_object(a)}
            for body in bodies:
                if body["id"] not in by_id:
                    raise NodeAway(f"{self.url} left a call of a batch unanswered")
                try:
                    results.append(_result(body["method"], by_id[body["id"]]))
                except RpcError as error:
                    results.append(error)
        return results

    def _call(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": [_tag(p) if isinstance(p, int) else p for p in params],
        }

    async def _post(self, body: Any) -> Any:
        try:
            response = await self._http.post(self.url, json=body)
        except httpx.HTTPError as error:
            raise NodeAway(f"{self.url}: {type(error).__name__} {error}") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise NodeAway(f"{self.url} answered {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise NodeAway(f"{self.url} answered {response.status_code} without JSON") from error

    # --- reads ---------------------------------------------------------------------------

    async def chain_id(self) -> int:
        """The network's id, always asked, never assumed."""
        return int(await self.request("eth_chainId"), 16)

    async def block_number(self) -> int:
        """Number of the newest block."""
        return int(await self.request("eth_blockNumber"), 16)

    async def final_block_number(self) -> int:
        """Number of the newest block that cannot be undone, by the profile's rule.

        -1 when the engine knows of none yet.
        """
        if self.profile.finality == "at_commit":
            return await self.block_number()
        block = await self.block("finalized")
        return -1 if block is None else int(block["number"], 16)

    async def block(self, tag: BlockTag) -> dict[str, Any] | None:
        """A block by number, tag or 0x hash, its transactions as hashes; None when unknown."""
        if isinstance(tag, str) and len(tag) == 66:
            return await self.request("eth_getBlockByHash", tag, False)
        return await self.request("eth_getBlockByNumber", tag, False)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """A mined transaction's receipt; None while it is not mined."""
        answer = await self.request("eth_getTransactionReceipt", tx_hash)
        return None if answer is None else _receipt(answer)

    async def receipts(self, tx_hashes: Sequence[str]) -> list[Receipt | None]:
        """Receipts of many transactions, in their order."""
        answers = await self.batch([("eth_getTransactionReceipt", [h]) for h in tx_hashes])
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return [None if answer is None else _receipt(answer) for answer in answers]

    async def transaction(self, tx_hash: str) -> dict[str, Any] | None:
        """A transaction as the node stores it; None when unknown."""
        return await self.request("eth_getTransactionByHash", tx_hash)

    async def nonce(self, address: str, tag: BlockTag = "latest") -> int:
        """How many transactions of an address were mined (or, tag `pending`, accepted)."""
        return int(await self.request("eth_getTransactionCount", address, tag), 16)

    async def balance_wei(self, address: str) -> int:
        """An address's balance."""
        return int(await self.request("eth_getBalance", address, "latest"), 16)

    async def code(self, address: str, tag: BlockTag = "latest") -> bytes:
        """A contract's code, b"" where there is none."""
        return bytes.fromhex((await self.request("eth_getCode", address, tag))[2:])

    async def storage(self, address: str, slot: int, tag: BlockTag = "latest") -> bytes:
        """One 32-byte word of a contract's storage."""
        word = await self.request("eth_getStorageAt", address, hex(slot), tag)
        return bytes.fromhex(word[2:].rjust(64, "0"))

    async def call(
        self, to: str, data: bytes, tag: BlockTag = "latest", *, sender: str | None = None
    ) -> bytes:
        """Execute a call without sending it. Raises RpcError with revert data when it reverts."""
        request = _call_object(to, data, sender)
        return bytes.fromhex((await self.request("eth_call", request, tag))[2:])

    async def calls(
        self, to: str, inputs: Sequence[bytes], tag: BlockTag = "latest"
    ) -> list[bytes]:
        """Many calls to one contract at one block, batched."""
        results = await self.batch(
            [("eth_call", [_call_object(to, data, None), tag]) for data in inputs]
        )
        for result in results:
            if isinstance(result, RpcError):
                raise result
        return [bytes.fromhex(result[2:]) for result in results]

    async def gas_price_wei(self) -> int:
        """What to pay per gas: the profile's fixed price, else twice what the node says.

        Twice, because the signed bytes are kept and sent again as they are.
        """
        if self.profile.gas_price_wei is not None:
            return self.profile.gas_price_wei
        return 2 * int(await self.request("eth_gasPrice"), 16)

    async def logs(
        self, first: int, last: int, address: str, topics: Sequence[Any] = ()
    ) -> list[dict[str, Any]]:
        """Contract events of the blocks first..last, paged by the profile's limit."""
        found: list[dict[str, Any]] = []
        step = self.profile.logs_blocks_max
        for start in range(first, last + 1, step):
            end = min(start + step - 1, last)
            where = {"fromBlock": hex(start), "toBlock": hex(end), "address": address}
            found += await self.request("eth_getLogs", {**where, "topics": list(topics)})
        return found

    # --- writes --------------------------------------------------------------------------

    async def send_raw(self, raw: bytes) -> str:
        """Hand in signed bytes; returns the hash. An RpcError here means unknown, not failed."""
        return await self.request("eth_sendRawTransaction", "0x" + raw.hex())


def _call_object(to: str, data: bytes, sender: str | None) -> dict[str, str]:
    request = {"to": to, "data": "0x" + data.hex()}
    return request if sender is None else {**request, "from": sender}


def _tag(value: int) -> Any:
    return value if isinstance(value, bool) else hex(value)


def _result(method: str, answer: dict[str, Any]) -> Any:
    error: Any = answer.get("error")
    if error is not None:
        if not is_object(error):
            raise RpcError(method, 0, str(error))
        raise RpcError(
            method, int(error.get("code", 0)), str(error.get("message", "")), error.get("data")
        )
    return answer.get("result")


def _receipt(answer: dict[str, Any]) -> Receipt:
    to, created = answer.get("to"), answer.get("contractAddress")
    return Receipt(
        tx_hash=answer["transactionHash"].lower(),
        status=int(answer["status"], 16) == 1,
        block=int(answer["blockNumber"], 16),
        block_hash=answer["blockHash"].lower(),
        gas_used=int(answer["gasUsed"], 16),
        to=to.lower() if to else None,
        contract_address=created.lower() if created else None,
        logs=answer["logs"],
    )
