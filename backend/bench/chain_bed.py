"""A chain of its own in a temporary folder: node process, contracts, an enacted rule, a budget.

The node is the embedded one, or anvil, which `make contracts` installs (ANVIL_BIN names another).
"""

import asyncio
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backend.chain import (
    ChainAccess,
    ChainClient,
    ChainKeys,
    ChainProfile,
    NodeAway,
    Receipt,
    Signer,
    chain_terms,
    contracts,
    deploy,
    open_access,
    open_keys,
    profile_of,
)

Engine = Literal["embedded", "anvil"]

ROOT = Path(__file__).parent.parent.parent
CHAIN_ID = 20_261
CLASS, PROGRAMME, RULE = "carbon", "bench", "bench-rule"
CITY_DAY = 20_000
_DAY_OPEN = 2**32 - 1
_EMBEDDED = profile_of("embedded")
_ANVIL = "@foundry-rs/anvil-*/bin/anvil"
_START_S_MAX = 30


@dataclass(slots=True)
class ChainBed:
    """The bed: the chain as flows have it, the node's process and how long it took to answer."""

    access: ChainAccess
    node: "subprocess.Popen[bytes]"
    start_s: float
    leaf: int = 0
    draws: random.Random = field(default_factory=lambda: random.Random(20_261))  # noqa: S311

    @property
    def client(self) -> ChainClient:
        """The node's client."""
        return self.access.client

    @property
    def keys(self) -> ChainKeys:
        """The installation's keys."""
        return self.access.keys

    def node_cpu_s(self) -> float:
        """Processor time that the node has used, where the system tells it (Linux), else 0."""
        try:
            times = Path(f"/proc/{self.node.pid}/stat").read_text("ascii").rpartition(")")[2]
        except OSError:
            return 0
        user, system = times.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def new_accounts(self, count: int) -> list[bytes]:
        """Accounts that were never posted to."""
        return [self.draws.randbytes(20) for _ in range(count)]

    async def post(self, accounts: Sequence[bytes]) -> tuple[Receipt, float]:
        """Post one batch of an award of 5 points to each; the receipt and the seconds it took.

        The time runs from handing in the signed bytes until the receipt is read: the block is
        on disk by then.
        """
        data = self.post_input(accounts)
        return await self.execute(
            self.keys.post, self.access.points, data, gas=contracts.post_gas(len(accounts))
        )

    def post_input(self, accounts: Sequence[bytes]) -> bytes:
        """The input that posts an award of 5 points to each, over leaves of their own."""
        header = contracts.BatchHeader(
            contracts.ISSUE,
            CLASS,
            PROGRAMME,
            RULE,
            1,
            0,
            self.leaf,
            self.leaf + len(accounts),
            contracts.ACCOUNT_LOWEST,
            contracts.ACCOUNT_HIGHEST,
        )
        self.leaf += len(accounts)
        records = contracts.make_records([(account, 5) for account in accounts])
        return contracts.post_input(header, contracts.BatchContent(CITY_DAY, CITY_DAY + 1, records))

    async def issued(self, accounts: Sequence[bytes]) -> list[int]:
        """What the contract says was issued to each."""
        output = await self.client.call(
            self.access.points, contracts.accounts_call(CLASS, accounts)
        )
        return [totals.issued for totals in contracts.read_accounts(output)]

    async def execute(
        self, signer: Signer, to: str | None, data: bytes, *, gas: int = 500_000
    ) -> tuple[Receipt, float]:
        """Sign, send, wait. Raises RuntimeError when the transaction failed."""
        terms, nonce = await chain_terms(self.client), await self.client.nonce(signer.address)
        raw = signer.sign_transaction(terms, nonce=nonce, gas=gas, to=to, data=data)
        started_s = time.perf_counter()
        receipt = await self.client.receipt(await self.client.send_raw(raw))
        took_s = time.perf_counter() - started_s
        if receipt is None or not receipt.status:
            raise RuntimeError(f"a transaction to {to} did not execute: {receipt}")
        return receipt, took_s


def anvil_path() -> Path | None:
    """The anvil to run, or None when there is none."""
    given = os.environ.get("ANVIL_BIN")
    places = [Path(given)] if given else (ROOT / "contracts/node_modules").glob(_ANVIL)
    return next((place for place in places if place.is_file()), None)


@asynccontextmanager
async def chain_bed(
    engine: Engine = "embedded", *, lanes: int = 1, profile: ChainProfile = _EMBEDDED
) -> AsyncGenerator[ChainBed]:
    """Start, deploy with that many posting lanes, enact and fund; removed afterwards.

    Raises FileNotFoundError where anvil is wanted and missing.
    """
    with tempfile.TemporaryDirectory(prefix="tanhui-bench-") as folder:
        var, port = Path(folder), _free_port()
        keys = open_keys(var / "keys", post_lanes=lanes)
        started_s = time.perf_counter()
        process = _start_node(var, port) if engine == "embedded" else _start_anvil(port)
        try:
            async with ChainClient(f"http://127.0.0.1:{port}", profile) as client:
                await _until_up(client)
                start_s = time.perf_counter() - started_s
                if engine == "anvil":
                    for address in keys.addresses():
                        await client.request("anvil_setBalance", address, hex(10**27))
                access = await open_access(client, keys, await deploy(client, keys))
                bed = ChainBed(access, process, start_s)
                await _prepare(bed)
                yield bed
        finally:
            process.terminate()
            process.wait()


def _start_node(var: Path, port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "node"],
        cwd=ROOT,
        env=_environment(var, port),
        stdin=subprocess.DEVNULL,
    )


def _start_anvil(port: int) -> "subprocess.Popen[bytes]":
    binary = anvil_path()
    if binary is None:
        raise FileNotFoundError("anvil: make contracts installs it, ANVIL_BIN names another")
    options = ["--chain-id", str(CHAIN_ID), "--hardfork", "prague", "--gas-limit", "120000000"]
    return subprocess.Popen(
        [str(binary), "--port", str(port), *options, "--silent"], stdin=subprocess.DEVNULL
    )


def _environment(var: Path, port: int) -> dict[str, str]:
    """The machine's environment without settings of another installation."""
    machine = {key: value for key, value in os.environ.items() if not key.startswith("TANHUI_")}
    return {**machine, "TANHUI_VAR": str(var), "TANHUI_RPC_PORT": str(port)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until_up(client: ChainClient) -> None:
    deadline = time.monotonic() + _START_S_MAX
    while True:
        try:
            await client.chain_id()
        except NodeAway:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.01)
        else:
            return


async def _prepare(bed: ChainBed) -> None:
    registry, points = bed.access.registry, bed.access.points
    approvers = [Signer(bytes([n]) * 32) for n in (1, 2)]
    government = bed.keys.government
    for approver in approvers:
        await bed.execute(government, registry, contracts.register_approver_input(approver.address))
    terms = contracts.EnactmentTerms(contracts.WHAT_RULE, RULE, 1, b"\x07" * 32, 0, _DAY_OPEN)
    digest = contracts.enactment_digest(await bed.client.chain_id(), registry, terms)
    first, second = (approver.sign_digest(digest) for approver in approvers)
    await bed.execute(bed.keys.admin, registry, contracts.enact_input(terms, first, second))
    await bed.execute(
        government, points, contracts.set_class_input(CLASS, contracts.DEBIT_CHAIN_SENDER)
    )
    await bed.execute(government, points, contracts.set_budget_input(PROGRAMME, 10**12))
