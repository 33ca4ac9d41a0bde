"""The JSON-RPC methods of the node: what `cast` and any Ethereum client need to read and send."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eth_hash.auto import keccak

from backend.chain.node.answers import data, quantity
from backend.chain.node.engine import (
    CallRequest,
    NodeError,
    Outcome,
    Reader,
    Writer,
    revert_error,
)
from backend.chain.node.store import Store
from backend.chain.shapes import is_list, is_object, parse_json
from backend.kit.logs import log

CALL_GAS_MAX = 50_000_000
BATCH_CALLS_MAX = 100
LOGS_MAX = 10_000
TIP_WEI = 1

CLIENT_VERSION = "tanhui-node/v1/py-evm-prague"

Params = list[Any]
Method = Callable[[Params], Awaitable[Any]]


class InvalidParams(NodeError):
    """Parameters that are not what the method takes (-32602)."""

    def __init__(self, message: str) -> None:
        super().__init__(-32602, message)


class Rpc:
    """Dispatches requests. Stored answers come at once, calls from the reader's thread,

    transactions through a queue to the writer's thread, which mines all that wait as one lot.
    """

    def __init__(self, chain_id: int, quick: Store, reader: Reader, writer: Writer) -> None:
        self._chain_id = chain_id
        self._quick = quick
        self._reader = reader
        self._writer = writer
        self._reading = ThreadPoolExecutor(1, "read")
        self._writing = ThreadPoolExecutor(1, "write")
        self._queue: list[tuple[bytes, asyncio.Future[Outcome]]] = []
        self._mining: asyncio.Task[None] | None = None
        self._methods: dict[str, Method] = {
            name.removeprefix("do_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("do_")
        }

    async def handle(self, body: bytes) -> bytes:
        """Answer one request body: an object or a batch. Never raises on bad input."""
        try:
            request = parse_json(body)
        except ValueError:
            return _dump(_error(None, NodeError(-32700, "parse error")))
        if not is_list(request):
            answer = await self._answer(request)
            return b"" if answer is None else _dump(answer)
        if not request or len(request) > BATCH_CALLS_MAX:
            words = "empty batch" if not request else f"batch of more than {BATCH_CALLS_MAX} calls"
            return _dump(_error(None, NodeError(-32600, words)))
        # Together, so that a batch of transactions can become one block.
        answers = await asyncio.gather(*(self._answer(item) for item in request))
        kept = [answer for answer in answers if answer is not None]
        return _dump(kept) if kept else b""

    async def _answer(self, request: Any) -> dict[str, Any] | None:
        if not is_object(request) or not isinstance(request.get("method"), str):
            return _error(None, NodeError(-32600, "invalid request"))
        call_id, params = request.get("id"), request.get("params", [])
        method = self._methods.get(request["method"])
        try:
            if method is None:
                words = f"the method {request['method']} does not exist/is not available"
                raise NodeError(-32601, words)
            if not is_list(params):
                raise InvalidParams("non-array args")
            result = await method(params)
        except NodeError as error:
            return _error(call_id, error) if "id" in request else None
        except Exception as error:  # noqa: BLE001 - one bad call must not end the server
            log("node.method_failed", method=request["method"], error=repr(error))
            return _error(call_id, NodeError(-32603, "internal error"))
        if "id" not in request:
            return None
        return {"jsonrpc": "2.0", "id": call_id, "result": result}

    async def close(self) -> None:
        """Let the block in the making finish, then stop both threads."""
        if self._mining is not None:
            await asyncio.gather(self._mining, return_exceptions=True)
        self._writing.shutdown(wait=True)
        self._reading.shutdown(wait=True)

    # --- the node and its chain ----------------------------------------------------------

    async def do_web3_clientVersion(self, params: Params) -> str:
        return CLIENT_VERSION

    async def do_web3_sha3(self, params: Params) -> str:
        return data(keccak(_bytes(_at(params, 0))))

    async def do_net_version(self, params: Params) -> str:
        return str(self._chain_id)

    async def do_net_listening(self, params: Params) -> bool:
        return True

    async def do_net_peerCount(self, params: Params) -> str:
        return "0x0"

    async def do_eth_chainId(self, params: Params) -> str:
        return quantity(self._chain_id)

    async def do_eth_syncing(self, params: Params) -> bool:
        return False

    async def do_eth_mining(self, params: Params) -> bool:
        return False

    async def do_eth_accounts(self, params: Params) -> list[str]:
        return []

    async def do_eth_blockNumber(self, params: Params) -> str:
        return quantity(self._quick.head_number())

    # --- fees ----------------------------------------------------------------------------

    async def do_eth_gasPrice(self, params: Params) -> str:
        head = self._quick.block_answer(self._quick.head_number()) or {}
        # Twice the base fee survives several full blocks before the transaction is mined.
        return quantity(2 * int(head["baseFeePerGas"], 16) + TIP_WEI)

    async def do_eth_maxPriorityFeePerGas(self, params: Params) -> str:
        return quantity(TIP_WEI)

    async def do_eth_feeHistory(self, params: Params) -> dict[str, Any]:
        count = _quantity(_at(params, 0)) if isinstance(_at(params, 0), str) else _at(params, 0)
        if not isinstance(count, int) or not 1 <= count <= 1024:
            raise InvalidParams("block count must be 1 to 1024")
        newest = self._number(_at(params, 1))
        asked: Any = params[2] if len(params) > 2 else None
        percentiles = asked if is_list(asked) else []
        oldest = max(0, newest - count + 1)
        blocks = [self._quick.block_answer(n) or {} for n in range(oldest, newest + 1)]
        fees = [b["baseFeePerGas"] for b in blocks]
        used = [int(b["gasUsed"], 16) / int(b["gasLimit"], 16) for b in blocks]
        return {
            "oldestBlock": quantity(oldest),
            "baseFeePerGas": [*fees, fees[-1]],
            "gasUsedRatio": used,
            "baseFeePerBlobGas": ["0x1"] * (len(fees) + 1),
            "blobGasUsedRatio": [0.0] * len(fees),
            "reward": [[quantity(TIP_WEI)] * len(percentiles)] * len(fees),
        }

    # --- stored answers ------------------------------------------------------------------

    async def do_eth_getBlockByNumber(self, params: Params) -> dict[str, Any] | None:
        try:
            number = self._number(_at(params, 0))
        except NodeError as error:
            if error.code == -32602:
                raise
            return None
        return self._whole(self._quick.block_answer(number), params)

    async def do_eth_getBlockByHash(self, params: Params) -> dict[str, Any] | None:
        return self._whole(self._quick.block_answer(_bytes(_at(params, 0), 32)), params)

    def _whole(self, block: dict[str, Any] | None, params: Params) -> dict[str, Any] | None:
        if block is not None and len(params) > 1 and params[1] is True:
            hashes = [bytes.fromhex(h[2:]) for h in block["transactions"]]
            block["transactions"] = [self._quick.tx_answer(h) for h in hashes]
        return block

    async def do_eth_getBlockTransactionCountByNumber(self, params: Params) -> str | None:
        block = await self.do_eth_getBlockByNumber([_at(params, 0)])
        return None if block is None else quantity(len(block["transactions"]))

    async def do_eth_getBlockReceipts(self, params: Params) -> list[Any] | None:
        block = self._quick.block_answer(self._number(_at(params, 0)))
        if block is None:
            return None
        return [self._quick.receipt_answer(bytes.fromhex(h[2:])) for h in block["transactions"]]

    async def do_eth_getTransactionByHash(self, params: Params) -> dict[str, Any] | None:
        tx_hash = _bytes(_at(params, 0), 32)
        mined = self._quick.tx_answer(tx_hash)
        return mined if mined is not None else await self._write(self._writer.pooled, tx_hash)

    async def do_eth_getTransactionReceipt(self, params: Params) -> dict[str, Any] | None:
        return self._quick.receipt_answer(_bytes(_at(params, 0), 32))

    async def do_eth_getLogs(self, params: Params) -> list[dict[str, Any]]:
        wanted = _at(params, 0)
        if not is_object(wanted):
            raise InvalidParams("filter must be an object")
        if "blockHash" in wanted:
            block = self._quick.block_answer(_bytes(wanted["blockHash"], 32))
            if block is None:
                raise NodeError(-32000, "unknown block")
            first = last = int(block["number"], 16)
        else:
            first = self._number(wanted.get("fromBlock", "latest"), beyond=True)
            last = self._number(wanted.get("toBlock", "latest"), beyond=True)
        addresses = _addresses(wanted.get("address"))
        topics: Any = wanted.get("topics")
        topics = [] if topics is None else topics
        if not is_list(topics):
            raise InvalidParams("topics must be an array")
        found = self._quick.log_answers(first, last, LOGS_MAX + 1)
        if len(found) > LOGS_MAX:
            # An answer cut short would look complete; geth refuses likewise.
            raise NodeError(-32005, f"query returned more than {LOGS_MAX} results")
        return [log for log in found if _log_matches(log, addresses, topics)]

    # --- state and calls -----------------------------------------------------------------

    async def do_eth_getBalance(self, params: Params) -> str:
        address = _bytes(_at(params, 0), 20)
        return quantity(await self._read_state(params, 1, lambda s: s.get_balance(address)))

    async def do_eth_getCode(self, params: Params) -> str:
        address = _bytes(_at(params, 0), 20)
        return data(await self._read_state(params, 1, lambda s: s.get_code(address)))

    async def do_eth_getStorageAt(self, params: Params) -> str:
        address, slot = _bytes(_at(params, 0), 20), _word(_at(params, 1))
        value = await self._read_state(params, 2, lambda s: s.get_storage(address, slot))
        return data(value.to_bytes(32, "big"))

    async def do_eth_getTransactionCount(self, params: Params) -> str:
        address = _bytes(_at(params, 0), 20)
        if len(params) > 1 and params[1] == "pending":
            return quantity(await self._write(self._writer.pending_nonce, address))
        return quantity(await self._read_state(params, 1, lambda s: s.get_nonce(address)))

    async def do_eth_call(self, params: Params) -> str:
        request, number = self._call_request(params), self._number(_tag(params, 1))
        result = await self._read(self._reader.call, request, number)
        if result.error is not None:
            raise revert_error(result)
        return data(result.output)

    async def do_eth_estimateGas(self, params: Params) -> str:
        request, number = self._call_request(params), self._number(_tag(params, 1))
        return quantity(await self._read(self._reader.estimate_gas, request, number))

    def _call_request(self, params: Params) -> CallRequest:
        call = _at(params, 0)
        if not is_object(call):
            raise InvalidParams("call must be an object")
        if len(params) > 2:
            raise InvalidParams("state overrides are not supported")
        given = call.get("input", call.get("data")) or "0x"
        gas = _quantity(call["gas"]) if call.get("gas") else CALL_GAS_MAX
        return CallRequest(
            sender=_bytes(call["from"], 20) if call.get("from") else bytes(20),
            to=_bytes(call["to"], 20) if call.get("to") else b"",
            gas=min(gas, CALL_GAS_MAX),
            value=_quantity(call["value"]) if call.get("value") else 0,
            data=_bytes(given),
        )

    async def _read_state(self, params: Params, position: int, take: Callable[[Any], Any]) -> Any:
        number = self._number(_tag(params, position))
        return await self._read(lambda: take(self._reader.state(number)))

    # --- transactions --------------------------------------------------------------------

    async def do_eth_sendRawTransaction(self, params: Params) -> str:
        raw = _bytes(_at(params, 0))
        accepted: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((raw, accepted))
        if self._mining is None or self._mining.done():
            self._mining = asyncio.create_task(self._mine_queue())
        outcome = await accepted
        if outcome.error is not None:
            raise outcome.error
        return data(outcome.tx_hash)

    async def _mine_queue(self) -> None:
        """Hand over what has gathered, again and again; answers go out after the commit."""
        while self._queue:
            lot, self._queue = self._queue, []
            try:
                outcomes = await self._write(self._writer.accept, [raw for raw, _ in lot])
            except Exception as error:  # noqa: BLE001 - passed on to every waiting caller
                # The disk is full or the chain is damaged: nobody may be left waiting.
                for _, accepted in lot:
                    if not accepted.done():
                        accepted.set_exception(NodeError(-32603, f"internal error: {error}"))
                continue
            for (_, accepted), outcome in zip(lot, outcomes, strict=True):
                if not accepted.done():
                    accepted.set_result(outcome)

    # --- threads and tags ----------------------------------------------------------------

    async def _read(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._reading, work, *args)

    async def _write(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work, *args)

    def _number(self, tag: Any, *, beyond: bool = False) -> int:
        """The block number a tag means; a number beyond the head is refused unless `beyond`."""
        head = self._quick.head_number()
        if is_object(tag):
            if "blockHash" not in tag:
                return self._number(tag.get("blockNumber"), beyond=beyond)
            block = self._quick.block_answer(_bytes(tag["blockHash"], 32))
            if block is None:
                raise NodeError(-32000, "header for hash not found")
            return int(block["number"], 16)
        # A block of the only node is final once it is committed.
        if tag in ("latest", "pending", "safe", "finalized"):
            return head
        if tag == "earliest":
            return 0
        number = _quantity(tag)
        if number > head and not beyond:
            raise NodeError(-32000, "header not found")
        return min(number, 2**62)


def _at(params: Sequence[Any], position: int) -> Any:
    if len(params) <= position:
        raise InvalidParams(f"missing value for required argument {position}")
    return params[position]


def _tag(params: Sequence[Any], position: int) -> Any:
    return params[position] if len(params) > position and params[position] else "latest"


def _quantity(value: Any) -> int:
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise InvalidParams(f"not a hex quantity: {str(value)[:80]!r}")
    try:
        return int(value, 16)
    except ValueError as error:
        raise InvalidParams(f"not a hex quantity: {value[:80]!r}") from error


def _word(value: Any) -> int:
    return _quantity(value)


def _bytes(value: Any, size: int | None = None) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise InvalidParams("hex string must start with 0x")
    try:
        decoded = bytes.fromhex(value[2:])
    except ValueError as error:
        raise InvalidParams("invalid hex string") from error
    if size is not None and len(decoded) != size:
        raise InvalidParams(f"hex string has {len(decoded)} bytes, want {size}")
    return decoded


def _addresses(value: Any) -> set[str] | None:
    if value is None:
        return None
    values = value if is_list(value) else [value]
    return {data(_bytes(v, 20)) for v in values}


def _log_matches(log: dict[str, Any], addresses: set[str] | None, topics: list[Any]) -> bool:
    if addresses is not None and log["address"] not in addresses:
        return False
    if len(topics) > len(log["topics"]):
        return False
    for wanted, topic in zip(topics, log["topics"], strict=False):
        options = wanted if is_list(wanted) else [wanted]
        if wanted is not None and topic not in [str(o).lower() for o in options]:
            return False
    return True


def _error(call_id: Any, error: NodeError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details is not None:
        body["data"] = error.details
    return {"jsonrpc": "2.0", "id": call_id, "error": body}


def _dump(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
