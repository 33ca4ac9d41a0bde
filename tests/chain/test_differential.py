"""The embedded node against anvil: one random scenario, and every receipt, log and word agrees.

Both get the same keys, so every address and hash of content is the same; block hashes, times and
gas prices are each engine's own and are left out. The seed stands in the failing test's name.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from backend.chain import ChainClient, ChainKeys, Receipt, RpcError, Signer, deploy
from backend.chain import contracts as k
from tests.chain.anvil import Anvil, anvil_binary, funded
from tests.chain.support import NodeProcess, enact_rule, executed, send

pytestmark = pytest.mark.chain

SEEDS = (20_261, 20_262)
STEPS = 30
PROGRAMS = 25
SLOTS = 6

# Operations by what they take from the stack and whether they leave a word there.
WORDS = {
    1: "15 19 51 54 5c 35",  # ISZERO NOT MLOAD SLOAD TLOAD CALLDATALOAD
    2: "01 02 03 04 05 06 07 0b 10 11 12 13 14 16 17 18 1a 1b 1c 1d 20 0a",
    3: "08 09",  # ADDMOD MULMOD
    0: "30 33 34 36 38 3d 46 58 59 5a",  # ADDRESS CALLER … CHAINID PC MSIZE GAS
}
EFFECTS = {2: "52 53 55 5d a0", 3: "5e 37 39 a1", 4: "a2"}  # MSTORE … TSTORE, MCOPY, LOGs


def program(draws: random.Random) -> bytes:
    """Creation code of some 60 random operations; the last words on the stack are stored."""
    code, depth = bytearray(), 0

    def push(value: int) -> None:
        nonlocal depth
        size = max(1, (value.bit_length() + 7) // 8)
        code.extend(bytes([0x5F + size]) + value.to_bytes(size, "big"))
        depth += 1

    for _ in range(60):
        if depth < 5:
            small = draws.random() < 0.6
            push(draws.randrange(200) if small else draws.getrandbits(draws.choice((64, 255, 256))))
            continue
        taken = draws.choice((0, 1, 2, 2, 2, 3))
        if draws.random() < 0.3:
            taken = draws.choice(tuple(EFFECTS))
            # Offsets and sizes near zero, or the memory alone would cost all gas.
            for _ in range(taken):
                push(draws.randrange(96))
            code.append(int(draws.choice(EFFECTS[taken].split()), 16))
            depth -= taken
            continue
        operation = int(draws.choice(WORDS[taken].split()), 16)
        if operation in (0x51, 0x20, 0x0A):
            for _ in range(taken):
                push(draws.randrange(96))
        code.append(operation)
        depth += 1 - taken
        if draws.random() < 0.2:
            code.append(draws.choice((0x80, 0x82, 0x90, 0x92)))  # DUP1 DUP3 SWAP1 SWAP3
            depth += code[-1] < 0x90
    for slot in range(min(depth, SLOTS)):
        code.extend(bytes([0x60, slot, 0x55]))  # PUSH1 slot SSTORE
    ending = draws.choice(("00", "00", "60205ff3", "60205ffd", "fe"))  # STOP RETURN REVERT INVALID
    return bytes(code) + bytes.fromhex(ending)


@dataclass
class Engine:
    """One node with our contracts on it."""

    client: ChainClient
    keys: ChainKeys
    places: dict[str, str]

    async def outcome(self, signer: Signer, to: str | None, data: bytes, gas: int) -> list[Any]:
        """What a transaction did, without what is the engine's own."""
        try:
            tx_hash = await send(self.client, signer, to, data, gas=gas)
        except RpcError:
            return ["refused at the door"]
        receipt = await self._receipt(tx_hash)
        logs = [
            (log["address"].lower(), log["topics"], log["data"], int(log["logIndex"], 16))
            for log in receipt.logs
        ]
        made = receipt.contract_address
        stored = [] if made is None else [await self.client.storage(made, n) for n in range(SLOTS)]
        code = b"" if made is None else await self.client.code(made)
        return [
            receipt.status,
            receipt.gas_used,
            receipt.block,
            receipt.to,
            made,
            logs,
            stored,
            code,
        ]

    async def _receipt(self, tx_hash: str) -> Receipt:
        for _ in range(200):
            receipt = await self.client.receipt(tx_hash)
            if receipt is not None:
                return receipt
            await asyncio.sleep(0.01)
        raise AssertionError(f"{tx_hash} was not mined")

    async def call(self, sender: Signer, to: str, data: bytes) -> str:
        """What a call answers, or the error it reverts with."""
        try:
            return (await self.client.call(to, data, sender=sender.address)).hex()
        except RpcError as error:
            if error.revert_data is None:
                raise
            return f"reverted with {error.revert_data.hex()}"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Anvil]]:
    anvil = Anvil(anvil_binary())
    var = tmp_path_factory.mktemp("differential")
    node = NodeProcess(var)
    node.start()
    anvil.keys = node.keys
    yield node, anvil
    node.kill()
    anvil.stop()


@pytest.fixture
async def engines(nodes: tuple[NodeProcess, Anvil]) -> AsyncIterator[list[Engine]]:
    opened: list[Engine] = []
    for node in nodes:
        client = ChainClient(node.url)
        await funded(client, node.keys)
        places = {d.name: d.address for d in await deploy(client, node.keys)}
        opened.append(Engine(client, node.keys, places))
    yield opened
    for engine in opened:
        await engine.client.close()


class Scenario:
    """Random batches, anchors, caps, pauses and wrong roles: the same for every engine."""

    def __init__(self, seed: int, places: dict[str, str]) -> None:
        self.draws = random.Random(seed)
        self.class_, self.programme = f"carbon-{seed}", f"programme-{seed}"
        self.seed = seed
        self.places = places
        self.accounts = [self.draws.randbytes(20) for _ in range(12)]
        self.posted: list[bytes] = []
        self.leaf = seed * 1_000
        self.root, self.size = bytes(32), 0

    def step(self, keys: ChainKeys) -> tuple[Signer, str, bytes]:
        """Who sends what where."""
        draws, points = self.draws, self.places["CarbonPoints"]
        usual = draws.random() < 0.9
        kind = draws.choice(("post", "post", "post", "again", "anchor", "cap", "pause", "garbage"))
        if kind == "again" and self.posted:
            return keys.post, points, draws.choice(self.posted)
        if kind == "anchor":
            return (
                keys.anchor if usual else keys.post,
                self.places["EvidenceAnchor"],
                self._anchor(),
            )
        if kind == "cap":
            signer = keys.government if usual else keys.admin
            return signer, points, k.set_budget_input(self.programme, draws.randrange(100, 5_000))
        if kind == "pause":
            words = draws.choice(("pause()", "unpause()", "unpause()"))
            return keys.auditor if usual else keys.government, points, k.selector(words)
        if kind == "garbage":
            return keys.post, points, draws.randbytes(draws.choice((0, 3, 4, 36, 200)))
        data = self._post()
        self.posted.append(data)
        return keys.post if usual else keys.anchor, points, data

    def _post(self) -> bytes:
        draws = self.draws
        chosen = draws.sample(self.accounts, draws.randrange(1, 9))
        records = k.make_records([(a, draws.choice((1, 7, 300, 2**32 - 1))) for a in chosen])
        if draws.random() < 0.15:
            records = draws.choice(
                (records[:-1], records[::-1], records * 2, b"", records[:20] + bytes(4))
            )
        issue = draws.random() < 0.6
        self.leaf += 10
        header = k.BatchHeader(
            1 if issue else draws.choice((2, 3)),
            draws.choice((self.class_, self.class_, self.class_, "unknown")),
            self.programme if issue else "",
            f"rule-{self.seed}" if issue else "",
            1 if issue else 0,
            0 if issue else draws.randrange(5),
            self.leaf,
            self.leaf + draws.choice((1, 10)),
            k.ACCOUNT_LOWEST,
            draws.choice((k.ACCOUNT_HIGHEST, k.ACCOUNT_HIGHEST, self.accounts[3])),
        )
        day = draws.choice((100, 150, 199, 99, 200)) if issue else 0
        return k.post_input(header, k.BatchContent(day, day + 1 if issue else 0, records))

    def _anchor(self) -> bytes:
        prev, size = self.root, self.size + self.draws.randrange(1, 50)
        if self.draws.random() < 0.3:
            return k.anchor_input(size, self.draws.randbytes(32), self.draws.randbytes(32))
        self.size, self.root = size, self.draws.randbytes(32)
        return k.anchor_input(size, self.root, prev)


async def words_of(engine: Engine, scenario: Scenario) -> list[Any]:
    """What the contracts hold in the end, by their views and by their raw words."""
    points = engine.places["CarbonPoints"]
    asked = (
        k.accounts_call(scenario.class_, scenario.accounts),
        k.totals_call(scenario.class_),
        k.budget_call(scenario.programme),
    )
    told = [await engine.call(engine.keys.post, points, data) for data in asked]
    for place in engine.places.values():
        told += [(await engine.client.storage(place, slot)).hex() for slot in range(SLOTS)]
        told.append((await engine.client.storage(place, k.IMPLEMENTATION_SLOT)).hex())
        told.append((await engine.client.code(place)).hex())
    return told


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_scenario_ends_the_same(engines: list[Engine], seed: int) -> None:
    told: list[list[Any]] = []
    for engine in engines:
        scenario = Scenario(seed, engine.places)
        seen: list[Any] = []
        registry, points = engine.places["RuleRegistry"], engine.places["CarbonPoints"]
        known = k.set_class_input(f"carbon-{seed}", k.DEBIT_CHAIN_SENDER)
        await executed(engine.client, engine.keys.government, points, known)
        await enact_rule(
            engine.client, engine.keys, registry, rule=f"rule-{seed}", day_from=100, day_to=200
        )
        for _ in range(STEPS):
            signer, to, data = scenario.step(engine.keys)
            called = await engine.call(signer, to, data)
            seen.append([called, *await engine.outcome(signer, to, data, 1_000_000)])
        seen.append(await words_of(engine, scenario))
        told.append(seen)
    ours, theirs = told
    for step, (here, there) in enumerate(zip(ours, theirs, strict=True)):
        assert here == there, f"step {step} of seed {seed}"
    done = [step for step in ours[:-1] if step[1] is True]
    assert 5 < len(done) < STEPS, "the scenario must hold both successes and refusals"


async def test_random_programs_run_the_same(engines: list[Engine]) -> None:
    ours, theirs = engines
    kept = 0
    for number in range(PROGRAMS):
        code = program(random.Random(number))
        here = await ours.outcome(ours.keys.auditor, None, code, 2_000_000)
        there = await theirs.outcome(theirs.keys.auditor, None, code, 2_000_000)
        assert here == there, f"program {number}: {code.hex()}"
        kept += here[0] is True and any(any(word) for word in here[6])
    assert kept > PROGRAMS // 4, "programs must leave something behind"
