"""A supplier's service on a real socket, as good or as bad as a test wants it.

`mood` decides what the next placings do: hand over; refuse; hand over and answer too late; hand
over and hang up; hang up before anything happened; answer nonsense.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SECRET = b"s" * 32


@dataclass
class SupplierServer:
    """What it handed over, by order; what it was asked, in order."""

    mood: str = "hand"
    orders: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    late_s: float = 1.0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["SupplierServer"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with server:
            yield self

    @property
    def handed(self) -> list[str]:
        return [order for order, said in self.orders.items() if said["state"] == "handed"]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, body = await self._serve_one(reader)
            if status:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n"
                writer.write(head.encode() + b"connection: close\r\n\r\n" + data)
                await writer.drain()
        except ConnectionError:
            pass  # The caller had no more patience.
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader) -> tuple[int, object]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n")[0].split(" ")
        headers = {
            line.partition(":")[0].lower(): line.partition(":")[2].strip()
            for line in head.split("\r\n")[1:]
            if line
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        order = path.split("/")[3]
        signed = f"{order}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{mac}" or headers["webhook-id"] != order:
            return 401, {}
        self.asked.append((method, order))
        if path.endswith("/cancellation"):
            if self.orders.get(order, {}).get("state") == "handed" and self.mood == "used":
                return 200, {"state": "refused", "reason": "used"}
            self.orders[order] = {"state": "cancelled"}
            return 200, self.orders[order]
        if method == "GET":
            found = self.orders.get(order)
            return (404, {}) if found is None else (200, found)
        return await self._place(order)

    async def _place(self, order: str) -> tuple[int, object]:
        if self.mood == "drop":
            return 0, {}
        if self.mood == "nonsense":
            return 200, b"<html>"
        if order not in self.orders:
            self.orders[order] = (
                {"state": "refused", "reason": "no-tickets"}
                if self.mood == "refuse"
                else {"state": "handed", "code": f"T-{len(self.orders)}", "ref": f"r-{order[:8]}"}
            )
        if self.mood == "late":
            await asyncio.sleep(self.late_s)
        if self.mood == "hang-up":
            return 0, {}
        return 200, self.orders[order]
