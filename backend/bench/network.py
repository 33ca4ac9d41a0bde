"""Four validators against one on the same cores: accounts a second, and processor time for each.

Both networks run the same engine with the same contracts. Batches of new accounts are signed
beforehand and handed in one after the other; the time runs until the last is in a block. Four
validators execute every batch four times and agree on it, on the same two cores.
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.bench.stopwatch import quiet
from backend.chain import (
    ChainClient,
    ChainKeys,
    Receipt,
    Signer,
    Terms,
    chain_terms,
    contracts,
    deploy,
    open_keys,
    profile_of,
)
from backend.chain.network import EngineMissing, Network, find_kcn
from backend.kit.settings import load_settings

TARGET = 0.25
"""Four validators must bring at least this share of what one brings."""

KAIA = profile_of("kaia")
CHAIN_ID = 20_261
BATCH, BATCHES = KAIA.accounts_per_batch_max, 60
CLASS, PROGRAMME, RULE = "carbon", "bench", "bench-rule"
CITY_DAY = 20_000
_PORTS = (24_100, 24_200)
_WAIT_S_MAX = 120


def run() -> dict[str, Any]:
    """Figures by the number of validators, their ratio and whether it reaches the target.

    Left out by name where the engine is missing (`make engine`).
    """
    try:
        kcn = find_kcn(load_settings().kcn)
    except EngineMissing as error:
        return {"left_out": str(error)}
    with quiet():
        one = asyncio.run(_measure(kcn, 1, _PORTS[0]))
        four = asyncio.run(_measure(kcn, 4, _PORTS[1]))
    ratio = four["accounts_per_s"] / one["accounts_per_s"]
    return {
        "one_validator": one,
        "four_validators": four,
        "four_to_one": round(ratio, 2),
        "target": TARGET,
        "reached": ratio >= TARGET,
    }


@dataclass(slots=True)
class _Bed:
    """A network with our contracts, a rule and a budget."""

    network: Network
    client: ChainClient
    keys: ChainKeys
    points: str
    draws: random.Random = field(default_factory=lambda: random.Random(20_261))  # noqa: S311

    def post_input(self, number: int) -> bytes:
        """A batch of accounts that were never posted to."""
        header = contracts.BatchHeader(
            contracts.ISSUE,
            CLASS,
            PROGRAMME,
            RULE,
            1,
            0,
            number * BATCH,
            (number + 1) * BATCH,
            contracts.ACCOUNT_LOWEST,
            contracts.ACCOUNT_HIGHEST,
        )
        records = contracts.make_records([(self.draws.randbytes(20), 5) for _ in range(BATCH)])
        return contracts.post_input(header, contracts.BatchContent(CITY_DAY, CITY_DAY + 1, records))

    def cpu_s(self) -> float:
        """Processor time of all validators so far."""
        return sum(_cpu_s(self.network.process(n).pid) for n in self.network.running())

    async def execute(self, signer: Signer, to: str, data: bytes) -> Receipt:
        """Sign, send, wait. Raises RuntimeError when the transaction failed."""
        terms, nonce = await chain_terms(self.client), await self.client.nonce(signer.address)
        raw = signer.sign_transaction(terms, nonce=nonce, gas=800_000, to=to, data=data)
        return await self.mined(await self.client.send_raw(raw))

    async def mined(self, tx_hash: str) -> Receipt:
        """Wait for a transaction's receipt. Raises RuntimeError when it failed."""
        deadline = time.monotonic() + _WAIT_S_MAX
        while time.monotonic() < deadline:
            receipt = await self.client.receipt(tx_hash)
            if receipt is not None:
                if not receipt.status:
                    raise RuntimeError(f"{tx_hash} failed in block {receipt.block}")
                return receipt
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{tx_hash} was not mined within {_WAIT_S_MAX} s")


async def _measure(kcn: Path, count: int, port: int) -> dict[str, Any]:
    async with _bed(kcn, count, port) as bed:
        terms = await chain_terms(bed.client)
        start = await bed.client.nonce(bed.keys.post.address)
        signed = [_signed(bed, terms, start + n, n) for n in range(BATCHES)]
        first_block, cpu_s = await bed.client.block_number(), bed.cpu_s()
        started_s = time.perf_counter()
        hashes = [await bed.client.send_raw(raw) for raw in signed]
        receipts = [await bed.mined(tx_hash) for tx_hash in hashes]
        took_s = time.perf_counter() - started_s
        cpu_s = bed.cpu_s() - cpu_s
        accounts = BATCH * BATCHES
        return {
            "accounts": accounts,
            "accounts_per_s": round(accounts / took_s),
            "cpu_us_per_account": round(cpu_s * 1_000_000 / accounts),
            "gas_per_account": round(sum(r.gas_used for r in receipts) / accounts),
            "blocks": max(r.block for r in receipts) - first_block,
        }


def _signed(bed: _Bed, terms: Terms, nonce: int, number: int) -> bytes:
    gas = contracts.post_gas(BATCH, KAIA.input_byte_gas)
    data = bed.post_input(number)
    return bed.keys.post.sign_transaction(terms, nonce=nonce, gas=gas, to=bed.points, data=data)


@asynccontextmanager
async def _bed(kcn: Path, count: int, port: int) -> AsyncGenerator[_Bed]:
    with tempfile.TemporaryDirectory(prefix="tanhui-bench-") as folder:
        keys = open_keys(Path(folder) / "keys")
        network = Network.create(
            Path(folder) / "network",
            kcn,
            chain_id=CHAIN_ID,
            funded=keys.addresses(),
            count=count,
            port=port,
        )
        try:
            await network.up()
            async with ChainClient(network.validators[0].url, KAIA) as client:
                places = {d.name: d.address for d in await deploy(client, keys)}
                bed = _Bed(network, client, keys, places["CarbonPoints"])
                await _prepare(bed, places["RuleRegistry"])
                yield bed
        finally:
            network.stop()


async def _prepare(bed: _Bed, registry: str) -> None:
    approvers = [Signer(bytes([n]) * 32) for n in (1, 2)]
    government = bed.keys.government
    for approver in approvers:
        await bed.execute(government, registry, contracts.register_approver_input(approver.address))
    terms = contracts.EnactmentTerms(contracts.WHAT_RULE, RULE, 1, b"\x07" * 32, 0, 2**32 - 1)
    digest = contracts.enactment_digest(CHAIN_ID, registry, terms)
    first, second = (approver.sign_digest(digest) for approver in approvers)
    await bed.execute(bed.keys.admin, registry, contracts.enact_input(terms, first, second))
    for data in (
        contracts.set_class_input(CLASS, contracts.DEBIT_CHAIN_SENDER),
        contracts.set_budget_input(PROGRAMME, 10**12),
    ):
        await bed.execute(government, bed.points, data)


def _cpu_s(pid: int | None) -> float:
    """User and system time of a process, where the system tells it (Linux)."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2]
    except OSError:
        return 0
    user, system = times.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
