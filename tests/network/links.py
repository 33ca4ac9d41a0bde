"""The wires between validators: each connection runs through here and can be cut.

A cut wire passes no byte in either direction and closes nothing, as a lost route would; mended, it
goes on where it stopped.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from backend.chain.network import Validator

CHUNK_BYTES = 65_536

Pair = frozenset[int]


class Links:
    """One relay for each ordered pair of validators, in a thread of its own."""

    def __init__(self, validators: Sequence[Validator]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open: dict[Pair, asyncio.Event] = {}
        self._ports: dict[tuple[int, int], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._await(self._listen(validators))

    def port(self, of: Validator, peer: Validator) -> int:
        """Where `of` reaches `peer`; one that came later is reached directly."""
        return self._ports.get((of.number, peer.number), peer.p2p_port)

    def cut(self, some: Iterable[int], others: Iterable[int]) -> None:
        """Nothing passes between the two groups any more."""
        far = list(others)
        self._set([frozenset((a, b)) for a in some for b in far], passing=False)

    def mend(self) -> None:
        """Everything passes again."""
        self._set(list(self._open), passing=True)

    def close(self) -> None:
        async def end() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._await(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _set(self, pairs: Sequence[Pair], *, passing: bool) -> None:
        async def change() -> None:
            for pair in pairs:
                gate = self._open[pair]
                gate.set() if passing else gate.clear()

        self._await(change())

    def _await(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self, validators: Sequence[Validator]) -> None:
        for of in validators:
            for peer in validators:
                if of != peer:
                    gate = self._open.setdefault(
                        frozenset((of.number, peer.number)), asyncio.Event()
                    )
                    gate.set()
                    self._start(await self._relay(of, peer, gate))

    async def _relay(
        self, of: Validator, peer: Validator, gate: asyncio.Event
    ) -> Coroutine[Any, Any, None]:
        async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", peer.p2p_port)
                await asyncio.gather(
                    _pump(reader, far_writer, gate), _pump(far_reader, writer, gate)
                )
            writer.close()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._start(joined(reader, writer))

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        self._ports[of.number, peer.number] = server.sockets[0].getsockname()[1]
        return _serve(server)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _serve(server: asyncio.Server) -> None:
    async with server:
        await server.serve_forever()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            await gate.wait()
            writer.write(data)
            await writer.drain()
    writer.close()
