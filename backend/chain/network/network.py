"""Several validators of one chain on this machine: up, down, who is in, who leaves, who joins."""

import asyncio
import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from backend.chain.client import ChainClient, NodeAway, RpcError
from backend.chain.network.genesis import (
    DialPort,
    Validator,
    directly,
    genesis_document,
    static_peers,
    validator_of,
)
from backend.chain.network.process import ValidatorProcess
from backend.chain.profile import profile_of
from backend.kit.logs import log
from backend.kit.vault import write_secret_file

ROUND_TIMEOUT_MS = 3_000
"""How long a round waits for its proposer; the engine's own ten seconds suit an ocean's width."""

VALIDATORS_MIN = 4
"""Fewer cannot bear a single fault: of 3f + 1 validators f may fail."""

_STEP_S = 60
_CATCH_UP_S = 240
"""A node that synchronises drops its peers and dials again half a minute later, perhaps twice."""


class NetworkError(Exception):
    """The network is not what was asked of it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """What a validator says of itself; block -1 and no peers where it does not answer."""

    validator: Validator
    running: bool
    block: int
    peer_count: int
    validates: bool


class Network:
    """Validators under one folder: `network.json`, `genesis.json` and a folder for each."""

    def __init__(
        self, folder: Path, kcn: Path, chain_id: int, validators: Sequence[Validator]
    ) -> None:
        self.folder = folder
        self.chain_id = chain_id
        self._kcn = kcn
        self._dial_port: DialPort = directly
        self._processes = {v.number: self._process(v) for v in validators}

    @classmethod
    def create(
        cls,
        folder: Path,
        kcn: Path,
        *,
        chain_id: int,
        funded: Sequence[str],
        count: int,
        port: int,
    ) -> Self:
        """Keys, first block and folders of `count` validators; nothing is started yet.

        The folder appears whole or not at all, whatever an earlier attempt left behind. Ports
        are `port`, `port` + 1 (peers, JSON-RPC) and so on. Fewer than VALIDATORS_MIN serve to
        compare with. Raises NetworkError.
        """
        making = folder.with_name(folder.name + ".new")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        network = cls(making, kcn, chain_id, ())
        validators = [network._new_key(n, port) for n in range(1, count + 1)]
        document = genesis_document(
            chain_id, [v.address for v in validators], funded, int(time.time())
        )
        network._genesis.write_text(json.dumps(document, indent=1), "utf-8")
        for validator in validators:
            network._initialize(validator)
        network._save()
        making.rename(folder)
        return cls(folder, kcn, chain_id, validators)

    @classmethod
    def load(cls, folder: Path, kcn: Path) -> Self | None:
        """The network made in a folder earlier, running or not; None when there is none."""
        try:
            kept = json.loads((folder / "network.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return cls(folder, kcn, kept["chain_id"], [Validator(**v) for v in kept["validators"]])

    # --- members -------------------------------------------------------------------------

    @property
    def validators(self) -> list[Validator]:
        """All members of the folder, in their order; whether they validate the chain says."""
        return [process.validator for process in self._processes.values()]

    def process(self, number: int) -> ValidatorProcess:
        """A member's process. Raises NetworkError when there is no such number."""
        if number not in self._processes:
            known = ", ".join(str(n) for n in self._processes)
            raise NetworkError(f"there is no validator {number}; there are {known}")
        return self._processes[number]

    def running(self) -> list[int]:
        """The numbers of those whose processes are there."""
        return [process.validator.number for process in self._running()]

    def link(self, dial_port: DialPort) -> None:
        """How validators reach each other, from their next start on: by default directly."""
        self._dial_port = dial_port

    # --- running -------------------------------------------------------------------------

    def start(self, numbers: Iterable[int] | None = None) -> None:
        """Start members (default: all) that do not run."""
        for number in list(self._processes) if numbers is None else numbers:
            process = self.process(number)
            if not process.running:
                peers = static_peers(process.validator, self.validators, self._dial_port)
                (process.folder / "klay" / "static-nodes.json").write_text(
                    json.dumps(peers), "ascii"
                )
                process.start()

    def stop(self, numbers: Iterable[int] | None = None, *, how: int = signal.SIGTERM) -> None:
        """End members (default: all), all at once; `how` SIGKILL is as power loss would."""
        chosen = [self.process(n) for n in (list(self._processes) if numbers is None else numbers)]
        for process in chosen:
            process.send_signal(how)
        for process in chosen:
            process.stop(how)

    async def up(self, *, timeout_s: float = _STEP_S) -> None:
        """Start everything and wait until blocks are made within the round's time-out."""
        self.start()
        before = max([await _block(process) for process in self._running()], default=0)

        async def makes_blocks() -> bool:
            seated = [s.block for s in await self.status() if s.running and s.validates]
            return bool(seated) and min(seated) > max(before, 0)

        await self._until("no block is made", timeout_s, makes_blocks)
        if not await self._in_time():
            await self._vote("istanbul.timeout", ROUND_TIMEOUT_MS)
            await self._until("the time-out is not voted", timeout_s, self._in_time)

    async def _in_time(self) -> bool:
        """Whether all who validate have heard; who only stands by follows the chain or not."""
        seated = await self._seated(self._anyone())
        voters = [p for p in self._running() if p.validator.address in seated]
        found = [await p.govern("istanbul_getTimeout") for p in voters]
        return all(timeout_ms == ROUND_TIMEOUT_MS for timeout_ms in found)

    async def status(self) -> list[ValidatorStatus]:
        """Every member as it stands now; who validates is what the highest of them says."""
        blocks = {n: await _block(process) for n, process in self._processes.items()}
        highest = max(blocks, key=lambda n: blocks[n], default=None)
        seated: list[str] = []
        if highest is not None and blocks[highest] >= 0:
            # One that has just started, or whose state is gone, tells its block and no more.
            with suppress(NodeAway, RpcError):
                seated = await self._seated(self._processes[highest])
        return [
            ValidatorStatus(
                validator=process.validator,
                running=process.running,
                block=blocks[number],
                peer_count=await _peer_count(process) if blocks[number] >= 0 else 0,
                validates=process.validator.address in seated,
            )
            for number, process in self._processes.items()
        ]

    # --- who validates -------------------------------------------------------------------

    async def add(self) -> Validator:
        """Make a new validator, have the present ones vote it in, and let it catch up.

        In this order, because the engine lets only validators in as its peers: until the new one
        has caught up, its seat counts as a fault.
        """
        self._anyone()  # Nobody could vote: said before a key is made.
        # A folder stays when its validator leaves, and so does its number.
        number = 1 + max(int(f.name) for f in self.folder.iterdir() if f.name.isdigit())
        first = self.validators[0]
        validator = self._new_key(number, first.p2p_port - 2 * (first.number - 1))
        self._initialize(validator)
        self._save()
        await self._vote_on(validator, join=True)
        self.start([number])
        ours = self._processes[number]
        await self._introduce(validator)

        async def caught_up() -> bool:
            others = [await _block(p) for p in self._running() if p is not ours]
            return await _block(ours) >= max(others, default=0) - 1

        await self._until(f"validator {number} does not catch up", _CATCH_UP_S, caught_up)
        log("network.joined", number=number, address=validator.address)
        return validator

    async def _introduce(self, newcomer: Validator) -> None:
        """Have the others dial a newcomer too: whoever dials first brings it the blocks."""
        for process in self._running():
            if process.validator != newcomer:
                (address,) = static_peers(process.validator, [newcomer], self._dial_port)
                await process.govern("admin_addPeer", address)

    async def remove(self, number: int) -> None:
        """Have the others vote a validator out, then end it; its folder stays."""
        leaver = self.process(number)
        seated = await self._seated(self._anyone())
        if leaver.validator.address in seated:
            if len(seated) <= VALIDATORS_MIN:
                raise NetworkError("four validators are the least: let another join first")
            await self._vote_on(leaver.validator, join=False)
        leaver.stop()
        del self._processes[number]
        self._save()
        log("network.left", number=number, address=leaver.validator.address)

    async def _vote_on(self, validator: Validator, *, join: bool) -> None:
        async def decided() -> bool:
            voters = [p for p in self._running() if p.validator != validator]
            seats = [await self._seated(p) for p in voters]
            return all((validator.address in seated) is join for seated in seats)

        key = "governance.addvalidator" if join else "governance.removevalidator"
        await self._vote(key, validator.address, but=validator)
        what = "joined" if join else "left"
        await self._until(f"validator {validator.number} has not {what}", _STEP_S, decided)

    async def _vote(self, key: str, value: Any, *, but: Validator | None = None) -> None:
        """Cast every running validator's vote: each owner does this at its own node."""
        for process in self._running():
            if process.validator != but:
                await process.govern("governance_vote", key, value)

    async def _seated(self, process: ValidatorProcess) -> list[str]:
        addresses: list[str] = await process.govern("istanbul_getValidators")
        return [address.lower() for address in addresses]

    # --- inside --------------------------------------------------------------------------

    @property
    def _genesis(self) -> Path:
        return self.folder / "genesis.json"

    def _process(self, validator: Validator) -> ValidatorProcess:
        folder = self.folder / str(validator.number)
        return ValidatorProcess(folder, self._kcn, self.chain_id, validator)

    def _new_key(self, number: int, port: int) -> Validator:
        folder = self.folder / str(number)
        folder.mkdir(mode=0o700)
        secret = secrets.token_bytes(32)
        write_secret_file(folder / "nodekey", secret.hex().encode())
        first = port + 2 * (number - 1)
        return validator_of(secret, number, p2p_port=first, rpc_port=first + 1)

    def _initialize(self, validator: Validator) -> None:
        process = self._process(validator)
        try:
            process.initialize(self._genesis)
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(process.folder)
            told = getattr(error, "stderr", b"") or str(error).encode()
            words = told.decode(errors="replace").strip()
            raise NetworkError(f"the engine makes no first block: {words}") from error
        self._processes[validator.number] = process

    def _save(self) -> None:
        kept = {"chain_id": self.chain_id, "validators": [asdict(v) for v in self.validators]}
        fresh = self.folder / "network.json.new"
        fresh.write_text(json.dumps(kept, indent=1), "utf-8")
        fresh.rename(self.folder / "network.json")

    def _running(self) -> list[ValidatorProcess]:
        return [process for process in self._processes.values() if process.running]

    def _anyone(self) -> ValidatorProcess:
        running = self._running()
        if not running:
            raise NetworkError("no validator runs: tanhui network up")
        return running[0]

    async def _until(
        self, complaint: str, timeout_s: float, holds: Callable[[], Coroutine[Any, Any, bool]]
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if await holds():
                    return
            except NodeAway:
                pass
            if time.monotonic() > deadline:
                raise NetworkError(f"{complaint}; see {self.folder}/*/log")
            await asyncio.sleep(0.2)


async def _block(process: ValidatorProcess) -> int:
    if not process.running:
        return -1
    async with ChainClient(process.validator.url, profile_of("kaia"), timeout_s=3) as client:
        try:
            return await client.block_number()
        except (NodeAway, RpcError):
            return -1


async def _peer_count(process: ValidatorProcess) -> int:
    async with ChainClient(process.validator.url, profile_of("kaia"), timeout_s=3) as client:
        try:
            return int(await client.request("net_peerCount"), 16)
        except (NodeAway, RpcError):
            return 0
