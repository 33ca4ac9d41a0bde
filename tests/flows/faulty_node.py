"""A bad connection to a good node: answers get lost, late, doubled, wrong, or never come."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

JSON = {"content-type": "application/json"}
DELAY_S = 0.5
"""Longer than the sender of these tests waits for an answer."""

Pick = Callable[[Sequence[str]], str]
"""What happens to a request for these methods: one of FAULTS, or "" for nothing."""

Hook = Callable[[Sequence[dict[str, Any]]], Any]

ANYWHERE = (
    *("request dropped", "answer dropped", "answer delayed", "request duplicated"),
    *("unavailable", "not json"),
)
SENDING = ("already known", "nonce too low", "killed before", "killed after")
RECEIPTS = ("no receipt",)
"""A node that lags behind those that answered the other questions."""


@dataclass
class FaultyNode:
    """Stands in front of a node; `dealt` counts what it did."""

    target: str
    pick: Pick
    kill_node: Callable[[], Any] = lambda: None
    after_sending: Hook | None = None
    dealt: Counter[str] = field(default_factory=Counter[str])
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while (body := await _read_request(reader)) is not None:
                answer = await self._answer(body)
                if answer is None:
                    break
                status, content = answer
                head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(content)}\r\n\r\n"
                writer.write(head.encode() + content)
                await writer.drain()
        except (httpx.HTTPError, OSError):
            pass  # The node is away: so is its connection.
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> tuple[int, bytes] | None:
        calls = _calls(body)
        methods = [call["method"] for call in calls]
        fault = self.pick(methods)
        self.dealt[fault] += 1
        match fault:
            case "request dropped":
                return None
            case "unavailable":
                return 503, b"overloaded"
            case "not json":
                return 200, b"<html>"
            case "already known" | "nonce too low":
                # A lie: the node never saw these bytes.
                return 200, _refusal(calls[0]["id"], fault)
            case "killed before":
                await self.kill_node()
                return None
            case "no receipt":
                return 200, _nothing(body, calls)
            case _:
                return await self._forwarded(fault, body, calls)

    async def _forwarded(
        self, fault: str, body: bytes, calls: Sequence[dict[str, Any]]
    ) -> tuple[int, bytes] | None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            answer = await http.post(self.target, content=body, headers=JSON)
            if fault == "request duplicated":
                answer = await http.post(self.target, content=body, headers=JSON)
        if self.after_sending and calls[0]["method"] == "eth_sendRawTransaction":
            await self.after_sending(calls)
        if fault == "killed after":
            await self.kill_node()
        if fault in ("answer dropped", "killed after"):
            return None
        if fault == "answer delayed":
            await asyncio.sleep(DELAY_S)
        return answer.status_code, answer.content


async def _read_request(reader: asyncio.StreamReader) -> bytes | None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        return await reader.readexactly(length)
    return None


def _calls(body: bytes) -> list[dict[str, Any]]:
    asked: Any = json.loads(body)
    return cast("list[dict[str, Any]]", asked if isinstance(asked, list) else [asked])


def _refusal(call_id: Any, words: str) -> bytes:
    error = {"code": -32000, "message": words}
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "error": error}).encode()


def _nothing(body: bytes, calls: Sequence[dict[str, Any]]) -> bytes:
    answers = [{"jsonrpc": "2.0", "id": call["id"], "result": None} for call in calls]
    return json.dumps(answers if body.lstrip().startswith(b"[") else answers[0]).encode()


@asynccontextmanager
async def faulty_node(
    target: str, pick: Pick, *, kill_node: Any = None, after_sending: Hook | None = None
) -> AsyncIterator[FaultyNode]:
    """Serve on loopback until the block ends; `url` is where."""
    node = FaultyNode(target, pick, kill_node, after_sending)
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield node
    finally:
        server.close()
