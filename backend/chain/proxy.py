"""The public, read-only way to the chain: a filter in front of any engine's JSON-RPC.

Refusals are JSON-RPC errors: -32601 for a method that is not offered, -32602 for parameters
beyond the limits (api.md, public door).
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from backend.chain.client import ChainClient, RpcError
from backend.chain.shapes import parse_json

CALL_GAS_MAX = 5_000_000
LOGS_BLOCKS_MAX = 1_000
BATCH_CALLS_MAX = 8
BODY_BYTES_MAX = 131_072

_PASSED_ON = {
    "eth_blockNumber": 0,
    "eth_chainId": 0,
    "eth_gasPrice": 0,
    "eth_getBalance": 2,
    "eth_getBlockByHash": 2,
    "eth_getBlockByNumber": 2,
    "eth_getCode": 2,
    "eth_getStorageAt": 3,
    "eth_getTransactionByHash": 1,
    "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1,
    "eth_syncing": 0,
    "net_version": 0,
    "web3_clientVersion": 0,
}
"""Cheap reads that go to the node as they are, with the number of parameters each may have."""

_CALL_KEYS = {
    "from",
    "to",
    "data",
    "input",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "value",
    "nonce",
    "chainId",
    "type",
    "accessList",
}
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_BYTES = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_TAGS = ("latest", "pending", "safe", "finalized")


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RpcProxy:
    """Answers bodies of JSON-RPC. `contracts` are the only addresses that eth_call may reach."""

    def __init__(self, client: ChainClient, contracts: Sequence[str]) -> None:
        self._client = client
        self._contracts = {address.lower() for address in contracts}

    async def handle(self, body: bytes) -> bytes:
        """The answer to one body, an object or a batch of at most 8; b"" for notifications only.

        Raises NodeAway when the node does not answer.
        """
        if len(body) > BODY_BYTES_MAX:
            return _dump(_error(None, -32600, f"a request has at most {BODY_BYTES_MAX} bytes"))
        try:
            request: Any = parse_json(body)
        except ValueError:
            return _dump(_error(None, -32700, "parse error"))
        if not isinstance(request, list):
            answer = await self._answer(request)
            return b"" if answer is None else _dump(answer)
        calls = cast("list[Any]", request)
        if not calls:
            return _dump(_error(None, -32600, "empty batch"))
        if len(calls) > BATCH_CALLS_MAX:
            return _dump(_error(None, -32602, f"a batch has at most {BATCH_CALLS_MAX} calls"))
        answers = await asyncio.gather(*(self._answer(call) for call in calls))
        kept = [answer for answer in answers if answer is not None]
        return _dump(kept) if kept else b""

    async def _answer(self, request: Any) -> dict[str, Any] | None:
        if not isinstance(request, dict):
            return _error(None, -32600, "invalid request")
        call = cast("dict[str, Any]", request)
        call_id = call.get("id")
        if not isinstance(call_id, str | int | float | None) or isinstance(call_id, bool):
            return _error(None, -32600, "invalid request: id")
        method, params = call.get("method"), call.get("params", [])
        if not isinstance(method, str):
            return _error(call_id, -32600, "invalid request: method")
        try:
            if not isinstance(params, list):
                raise _Refused(-32602, "params must be an array")
            result = await self._run(method, cast("list[Any]", params))
        except _Refused as refused:
            answer = _error(call_id, refused.code, refused.message)
        except RpcError as error:
            answer = _error(call_id, error.code, error.message, error.data)
        else:
            answer = {"jsonrpc": "2.0", "id": call_id, "result": result}
        return answer if "id" in call else None

    async def _run(self, method: str, params: list[Any]) -> Any:
        filtered: dict[str, Callable[[list[Any]], Awaitable[Any]]] = {
            "eth_call": self._call,
            "eth_getLogs": self._logs,
        }
        if method in filtered:
            return await filtered[method](params)
        if method not in _PASSED_ON:
            raise _Refused(-32601, f"the method {method[:64]} is not offered here")
        if len(params) > _PASSED_ON[method]:
            raise _Refused(-32602, f"{method} takes at most {_PASSED_ON[method]} parameters")
        return await self._client.request(method, *params)

    async def _call(self, params: list[Any]) -> Any:
        if not params or not isinstance(params[0], dict):
            raise _Refused(-32602, "eth_call needs a call object")
        if len(params) > 2:
            raise _Refused(-32602, "state and block overrides are refused")
        call = cast("dict[str, Any]", params[0])
        unknown = sorted(set(call) - _CALL_KEYS)
        if unknown:
            raise _Refused(-32602, f"the call has members not offered here: {unknown[:5]}")
        to, sender = call.get("to"), call.get("from")
        if not isinstance(to, str) or to.lower() not in self._contracts:
            raise _Refused(-32602, "eth_call reaches only the contracts of this installation")
        data = call.get("input", call.get("data", "0x"))
        if call.get("data", data) != data or not _matches(_BYTES, data):
            raise _Refused(-32602, "input and data must be the same hex bytes")
        if call.get("value") is not None and _number(call["value"], "value") != 0:
            raise _Refused(-32602, "a call here carries no value")
        gas = CALL_GAS_MAX if call.get("gas") is None else _number(call["gas"], "gas")
        if gas > CALL_GAS_MAX:
            raise _Refused(-32602, f"a call has at most {CALL_GAS_MAX} gas")
        request = {"to": to, "data": data, "gas": hex(gas)}
        if sender is not None:
            if not _matches(_ADDRESS, sender):
                raise _Refused(-32602, "from is no address")
            request["from"] = sender
        return await self._client.request(
            "eth_call", request, params[1] if len(params) > 1 else "latest"
        )

    async def _logs(self, params: list[Any]) -> Any:
        if len(params) != 1 or not isinstance(params[0], dict):
            raise _Refused(-32602, "eth_getLogs needs one filter object")
        wanted = cast("dict[str, Any]", params[0])
        unknown = sorted(set(wanted) - {"address", "topics", "fromBlock", "toBlock", "blockHash"})
        if unknown:
            raise _Refused(-32602, f"the filter has members not offered here: {unknown[:5]}")
        if "blockHash" in wanted:
            if "fromBlock" in wanted or "toBlock" in wanted:
                raise _Refused(-32602, "a filter names a block hash or a range, not both")
            return await self._client.request("eth_getLogs", wanted)
        head = await self._client.block_number()
        first = _block(wanted.get("fromBlock", "latest"), head)
        last = _block(wanted.get("toBlock", "latest"), head)
        if last - first >= LOGS_BLOCKS_MAX:
            raise _Refused(-32602, f"a range has at most {LOGS_BLOCKS_MAX} blocks")
        last = min(last, head)
        found: list[Any] = []
        # Some engines cut a longer range silently, so the range is split to what they answer.
        step = self._client.profile.logs_blocks_max
        for start in range(first, last + 1, step):
            page = {
                **wanted,
                "fromBlock": hex(start),
                "toBlock": hex(min(start + step - 1, last)),
            }
            found += await self._client.request("eth_getLogs", page)
        return found


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _number(value: Any, name: str) -> int:
    if not _matches(_QUANTITY, value):
        raise _Refused(-32602, f"{name} is no hex quantity")
    return int(value, 16)


def _block(tag: Any, head: int) -> int:
    if tag in _TAGS:
        return head
    return 0 if tag == "earliest" else _number(tag, "a block of the range")


def _error(call_id: Any, code: int, message: str, data: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return {"jsonrpc": "2.0", "id": call_id, "error": body}


def _dump(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()
