"""The node as a process: HTTP on loopback around `Rpc`, started by `tanhui node`."""

import ipaddress
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from backend.chain.node.engine import Reader, Writer, open_store
from backend.chain.node.rpc import Rpc
from backend.chain.node.store import Store, lock_folder

BODY_BYTES_MAX = 10_240_000
"""The same limit FISCO BCOS has, so that nothing works here that fails there."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class NodeApp:
    """A bare ASGI application: POST a JSON-RPC body to any path."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection event as ASGI asks for it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        if not _is_local_host(scope):
            # A web page that rebinds its name to 127.0.0.1 must not reach the node.
            await _respond(send, 403, b'{"error":"invalid host specified"}')
            return
        if scope["method"] != "POST":
            await _respond(send, 405, b'{"error":"use POST"}')
            return
        body = await _body(receive)
        if body is None:
            await _respond(send, 413, b'{"error":"content too large"}')
            return
        await _respond(send, 200, await self._rpc.handle(body))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._rpc.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _is_local_host(scope: dict[str, Any]) -> bool:
    host = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"host"), "")
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _body(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _take_note(_number: int, _frame: Any) -> None:
    """Nothing more to do: the server is shutting down already."""


def serve_node(
    folder: Path,
    *,
    chain_id: int,
    funded: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8702,
) -> None:
    """Own the chain in `folder` and serve it until SIGTERM or SIGINT.

    Raises StoreInUse when another process owns the folder, NodeError when it holds
    another chain. A stop lets the block in the making finish.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(folder)
    writing = open_store(folder, chain_id, funded)
    path = folder / "chain.sqlite"
    quick, reading = Store(path, readonly=True), Store(path, readonly=True)
    rpc = Rpc(chain_id, quick, Reader(reading, chain_id), Writer(writing, chain_id))
    config = uvicorn.Config(
        NodeApp(rpc),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    for stop in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again once it has shut down; a clean stop exits with 0.
        signal.signal(stop, _take_note)
    try:
        uvicorn.Server(config).run()
    finally:
        for store in (quick, reading, writing):
            store.close()
        os.close(lock)
