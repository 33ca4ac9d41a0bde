"""A chain of its own in a temporary folder: node process, contracts, an enacted rule, a budget."""

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

from backend.chain import (
    ChainClient,
    ChainKeys,
    NodeAway,
    Receipt,
    Signer,
    chain_terms,
    contracts,
    deploy,
    open_keys,
)

CLASS, PROGRAMME, RULE = "carbon", "bench", "bench-rule"
CITY_DAY = 20_000
_DAY_OPEN = 2**32 - 1
_START_S_MAX = 30


@dataclass(slots=True)
class ChainBed:
    """The bed: a client, the points contract's address, and how long the node took to answer."""

    client: ChainClient
    keys: ChainKeys
    points: str
    start_s: float
    leaf: int = 0
    draws: random.Random = field(default_factory=lambda: random.Random(20_261))  # noqa: S311

    def new_accounts(self, count: int) -> list[bytes]:
        """Accounts that were never posted to."""
        return [self.draws.randbytes(20) for _ in range(count)]

    async def post(self, accounts: Sequence[bytes]) -> tuple[Receipt, float]:
        """Post one batch of an award of 5 points to each; the receipt and the seconds it took.

        The time runs from handing in the signed bytes until the receipt is read: the block is
        on disk by then.
        """
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
        data = contracts.post_input(header, contracts.BatchContent(CITY_DAY, CITY_DAY + 1, records))
        return await self.execute(
            self.keys.post, self.points, data, gas=contracts.post_gas(len(accounts))
        )

    async def execute(
        self, signer: Signer, to: str, data: bytes, *, gas: int = 500_000
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


@asynccontextmanager
async def chain_bed() -> AsyncGenerator[ChainBed]:
    """Start, deploy, enact and fund; everything is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tanhui-bench-") as folder:
        var = Path(folder)
        port = _free_port()
        started_s = time.perf_counter()
        process = _start_node(var, port)
        try:
            async with ChainClient(f"http://127.0.0.1:{port}") as client:
                await _until_up(client)
                start_s = time.perf_counter() - started_s
                keys = open_keys(var / "keys")
                places = {d.name: d.address for d in await deploy(client, keys)}
                bed = ChainBed(client, keys, places["CarbonPoints"], start_s)
                await _prepare(bed, places["RuleRegistry"])
                yield bed
        finally:
            process.terminate()
            process.wait()


def _start_node(var: Path, port: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "node"],
        cwd=Path(__file__).parent.parent.parent,
        env=_environment(var, port),
        stdin=subprocess.DEVNULL,
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


async def _prepare(bed: ChainBed, registry: str) -> None:
    approvers = [Signer(bytes([n]) * 32) for n in (1, 2)]
    government = bed.keys.government
    for approver in approvers:
        await bed.execute(government, registry, contracts.register_approver_input(approver.address))
    terms = contracts.EnactmentTerms(contracts.WHAT_RULE, RULE, 1, b"\x07" * 32, 0, _DAY_OPEN)
    digest = contracts.enactment_digest(await bed.client.chain_id(), registry, terms)
    first, second = (approver.sign_digest(digest) for approver in approvers)
    await bed.execute(bed.keys.admin, registry, contracts.enact_input(terms, first, second))
    await bed.execute(
        government, bed.points, contracts.set_class_input(CLASS, contracts.DEBIT_CHAIN_SENDER)
    )
    await bed.execute(government, bed.points, contracts.set_budget_input(PROGRAMME, 10**12))
