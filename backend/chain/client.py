"""One asynchronous JSON-RPC client for every engine."""

import asyncio
import itertools
import json
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import httpx

from backend.chain.profile import EMBEDDED, ChainProfile
from backend.chain.shapes import is_object

REVERT_CODES = (3, -32000, -32015)
"""geth and our node answer a revert with 3, Besu with -32000, FISCO with -32000 or -32015."""

ANSWER_BYTES_MAX = 64_000_000
"""More than any page of logs or block that is ever asked for; what is longer is not read."""

_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a field of an answer raises when the field is missing or is something else."""

BlockTag = int | str
Fault = Literal[
    "unreachable", "timed-out", "tls-failed", "http-error", "not-json", "not-an-answer", "too-long"
]


class NodeAway(Exception):
    """No usable answer came: whatever was asked may or may not have happened.

    `fault` says why: `unreachable`, `timed-out` (silent, or endless), `tls-failed`, `http-error`,
    `not-json`, `not-an-answer` (JSON, but no answer to what was asked) or `too-long`.
    """

    def __init__(self, message: str, fault: Fault = "unreachable") -> None:
        super().__init__(message)
        self.fault: Fault = fault


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
        self._timeout_s = timeout_s
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
            raise self._no_answer(method)
        return self._result(call, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Many calls in batches of the profile's size; an RpcError stands in its call's place."""
        results: list[Any] = []
        size = self.profile.batch_calls_max
        for start in range(0, len(calls), size):
            lot = calls[start : start + size]
            bodies = [self._call(method, params) for method, params in lot]
            answers = await self._post(bodies)
            if is_object(answers) and answers.get("error") is not None:
                raise _rpc_error("batch", answers["error"])
            if not isinstance(answers, list):
                raise self._no_answer("batch")
            given = cast("list[Any]", answers)
            by_id: dict[Any, Any] = {a.get("id"): a for a in given if is_object(a)}
            for body in bodies:
                if body["id"] not in by_id:
                    raise self._no_answer(body["method"])
                try:
                    results.append(self._result(body, by_id[body["id"]]))
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

    def _result(self, call: dict[str, Any], answer: dict[str, Any]) -> Any:
        error: Any = answer.get("error")
        if error is not None:
            raise _rpc_error(call["method"], error)
        if "result" not in answer or answer.get("id") != call["id"]:
            raise self._no_answer(call["method"])
        return answer["result"]

    def _no_answer(self, method: str) -> NodeAway:
        return NodeAway(f"{self.url} gave no answer to {method}", "not-an-answer")

    async def _quantity(self, method: str, *params: Any) -> int:
        """The number that a method answers with."""
        answer = await self.request(method, *params)
        if not isinstance(answer, str) or not re.fullmatch("0x[0-9a-fA-F]+", answer):
            raise self._no_answer(method)
        return int(answer, 16)

    async def _data(self, method: str, *params: Any) -> bytes:
        """The bytes that a method answers with."""
        return self._bytes(method, await self.request(method, *params))

    def _bytes(self, method: str, answer: Any) -> bytes:
        if not isinstance(answer, str) or not re.fullmatch("0x(?:[0-9a-fA-F]{2})*", answer):
            raise self._no_answer(method)
        return bytes.fromhex(answer[2:])

    async def _post(self, body: Any) -> Any:
        try:
            # Of the whole exchange: an answer that trickles for ever never pauses long enough
            # for a time-out between two pieces.
            async with asyncio.timeout(self._timeout_s):
                status, raw = await self._exchange(body)
        except (TimeoutError, httpx.TimeoutException) as error:
            told = f"{self.url} did not answer within {self._timeout_s} s"
            raise NodeAway(told, "timed-out") from error
        except httpx.HTTPError as error:
            told = f"{self.url}: {type(error).__name__} {error}"
            raise NodeAway(told, _fault_of(error)) from error
        try:
            answer: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            if status != 200:
                raise self._http_error(status) from error
            raise NodeAway(f"{self.url} answered with no JSON", "not-json") from error
        refusal = is_object(answer) and "error" in answer and 400 <= status < 500
        if status != 200 and (not refusal or status == 429):
            raise self._http_error(status)
        return answer

    def _http_error(self, status: int) -> NodeAway:
        return NodeAway(f"{self.url} answered with HTTP status {status}", "http-error")

    async def _exchange(self, body: Any) -> tuple[int, bytes]:
        async with self._http.stream("POST", self.url, json=body) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > ANSWER_BYTES_MAX:
                    raise NodeAway(f"{self.url} answered more than {size} bytes", "too-long")
                parts.append(part)
            return response.status_code, b"".join(parts)

    # --- reads ---------------------------------------------------------------------------

    async def chain_id(self) -> int:
        """The network's id, always asked, never assumed."""
        return await self._quantity("eth_chainId")

    async def block_number(self) -> int:
        """Number of the newest block."""
        return await self._quantity("eth_blockNumber")

    async def final_block_number(self) -> int:
        """Number of the newest block that cannot be undone, by the profile's rule.

        -1 when the engine knows of none yet.
        """
        if self.profile.finality == "at_commit":
            return await self.block_number()
        block = await self.block("finalized")
        if block is None:
            return -1
        try:
            return int(block["number"], 16)
        except _MALFORMED as error:
            raise self._no_answer("eth_getBlockByNumber") from error

    async def block(self, tag: BlockTag) -> dict[str, Any] | None:
        """A block by number, tag or 0x hash, its transactions as hashes; None when unknown."""
        if isinstance(tag, str) and len(tag) == 66:
            return await self.request("eth_getBlockByHash", tag, False)
        return await self.request("eth_getBlockByNumber", tag, False)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """A mined transaction's receipt; None while it is not mined."""
        return self._receipt(await self.request("eth_getTransactionReceipt", tx_hash))

    async def receipts(self, tx_hashes: Sequence[str]) -> list[Receipt | None]:
        """Receipts of many transactions, in their order."""
        answers = await self.batch([("eth_getTransactionReceipt", [h]) for h in tx_hashes])
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return [self._receipt(answer) for answer in answers]

    def _receipt(self, answer: Any) -> Receipt | None:
        try:
            return None if answer is None else _read_receipt(answer)
        except _MALFORMED as error:
            raise self._no_answer("eth_getTransactionReceipt") from error

    async def transaction(self, tx_hash: str) -> dict[str, Any] | None:
        """A transaction as the node stores it; None when unknown."""
        return await self.request("eth_getTransactionByHash", tx_hash)

    async def nonce(self, address: str, tag: BlockTag = "latest") -> int:
        """How many transactions of an address were mined (or, tag `pending`, accepted)."""
        return await self._quantity("eth_getTransactionCount", address, tag)

    async def balance_wei(self, address: str) -> int:
        """An address's balance."""
        return await self._quantity("eth_getBalance", address, "latest")

    async def code(self, address: str, tag: BlockTag = "latest") -> bytes:
        """A contract's code, b"" where there is none."""
        return await self._data("eth_getCode", address, tag)

    async def storage(self, address: str, slot: int, tag: BlockTag = "latest") -> bytes:
        """One 32-byte word of a contract's storage."""
        word = await self.request("eth_getStorageAt", address, hex(slot), tag)
        try:
            return bytes.fromhex(word[2:].rjust(64, "0"))
        except _MALFORMED as error:
            raise self._no_answer("eth_getStorageAt") from error

    async def call(
        self, to: str, data: bytes, tag: BlockTag = "latest", *, sender: str | None = None
    ) -> bytes:
        """Execute a call without sending it. Raises RpcError with revert data when it reverts."""
        request = _call_object(to, data, sender)
        return await self._data("eth_call", request, tag)

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
        return [self._bytes("eth_call", result) for result in results]

    async def gas_price_wei(self) -> int:
        """What to pay per gas: the profile's fixed price, else twice what the node says.

        Twice, because the signed bytes are kept and sent again as they are.
        """
        if self.profile.gas_price_wei is not None:
            return self.profile.gas_price_wei
        return 2 * await self._quantity("eth_gasPrice")

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


def _rpc_error(method: str, error: Any) -> RpcError:
    if not is_object(error):
        return RpcError(method, 0, str(error))
    code: Any = error.get("code", 0)
    message = str(error.get("message", ""))
    return RpcError(method, code if isinstance(code, int) else 0, message, error.get("data"))


def _fault_of(error: httpx.HTTPError) -> Fault:
    """TLS failures arrive as connection errors; the library below keeps their cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls-failed"
        cause = cause.__cause__ or cause.__context__
    return "unreachable"


def _read_receipt(answer: dict[str, Any]) -> Receipt:
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
