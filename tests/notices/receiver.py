"""A partner's machine: a real HTTP server on loopback that answers, stalls, resets or babbles.

`Receiver` keeps every request it read; what it does next is a queue of `Answer`s, the last of
which is repeated.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from standardwebhooks import Webhook


@dataclass(frozen=True)
class Answer:
    """One answer. `fault` is what a network or a bad server does instead.

    `reset` before the answer, `close` without one, `half` of a status line, `stall` for ever,
    `garbage` that is no HTTP, `endless` headers, `endless-body` after a good status line.
    """

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class Got:
    """A request as it was read."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def verified_by(self, secret: str) -> Any:
        """What the off-the-shelf library makes of it; it raises on a bad signature."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """What a test holds of the machine."""

    port: int = 0
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    got: list[Got] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?of=tanhui"

    def will(self, *answers: Answer) -> None:
        """What comes next; the last one stays."""
        self.answers = list(answers)

    def ids(self) -> list[str]:
        return [got.id for got in self.got]

    def of_type(self, kind: str) -> list[Got]:
        return [got for got in self.got if got.json["type"] == kind]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            named = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in named}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.got.append(Got(head[0], headers, body))
            self.arrived.set()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await self._answer(writer, answer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        match answer.fault:
            case "reset":
                linger = struct.pack("ii", 1, 0)  # a close now sends RST
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
                return
            case "close":
                return
            case "stall":
                await asyncio.sleep(3600)
            case "half":
                writer.write(b"HTTP/1.1 20")
            case "garbage":
                writer.write(b"\x00\xff<html>SSH-2.0\r\n\r\n")
            case "endless":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    writer.write(b"x-more: " + b"y" * 1000 + b"\r\n")
                    await writer.drain()
            case "endless-body":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    writer.write(b"400\r\n" + b"z" * 1024 + b"\r\n")
                    await writer.drain()
            case _:
                lines = [f"HTTP/1.1 {answer.status} X", "content-length: 0"]
                lines += [f"{name}: {value}" for name, value in answer.headers]
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        await writer.drain()


@asynccontextmanager
async def a_receiver(
    *answers: Answer, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Receiver]:
    """A machine on a free port of loopback."""
    receiver = Receiver()
    if answers:
        receiver.will(*answers)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def on_loopback(_host: str, _port: int) -> list[str]:
    """A resolver by which every name stands for this machine."""
    return ["127.0.0.1"]
