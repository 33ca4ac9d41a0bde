"""Sealing on the real database: dense indexes, one sealer, nothing lost, history that stays."""

import asyncio
from datetime import date
from uuid import UUID

import asyncpg
import pytest

from backend import proof, views
from backend.flows import seal_log
from backend.flows.reverse_points import reverse_points
from backend.flows.seal_log import CHECKPOINT_KEY, seal_once
from backend.kit.clock import FixedClock
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.settings import Settings
from backend.kit.vault import Vault
from backend.proof import checkpoint, leaves, merkle
from backend.proof.queue import SEALER_LOCK
from backend.proof.verify import verify_sm2
from tests.conftest import UrlOf
from tests.flows.award_world import World, rows, trip

ENACTMENT = """
INSERT INTO enactment (enactment_id, what, id, version, digest, day_from, day_to, approvers,
                       enacted_at)
VALUES ($1, 'rule', 'metro-points', 1, $2, '2026-01-01', NULL, $3, now())
"""


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    return World(db, vault, clock)


async def award(world: World, count: int) -> list[UUID]:
    """Award `count` trips of one person and give their transfers."""
    if not world.people:
        await world.enact(people=max(2, count))
    people = len(world.people)
    await world.record(*(trip(n % people, distance_m=12_000 + n) for n in range(count)))
    await world.award()
    return [row["ref"] for row in await rows(world.db, "SELECT ref FROM unsealed WHERE kind = 1")]


async def add_enactment(tx: Tx) -> UUID:
    enactment_id = new_id()
    await tx.execute(ENACTMENT, enactment_id, bytes(32), ["0x" + "11" * 20, "0x" + "22" * 20])
    await proof.queue(tx, leaves.ENACTMENT, [enactment_id])
    return enactment_id


async def check_log(db: Database, vault: Vault, settings: Settings) -> int:
    """Every leaf, node, path and checkpoint agrees with a tree built afresh; the log's size."""
    async with db.transaction(readonly=True) as tx:
        size = await proof.size(tx)
        stored = await proof.leaves_between(tx, 0, size)
        assert [leaf.index for leaf in stored] == list(range(size))
        hashes = [leaf.leaf_hash for leaf in stored]
        growth = merkle.append(0, {}, hashes)
        nodes = await tx.fetch("SELECT level, index, hash FROM log_node")
        assert {(row["level"], row["index"]): row["hash"] for row in nodes} == growth.nodes
        for leaf in stored:
            path = await proof.inclusion(tx, leaf.index, size)
            assert merkle.verify_inclusion(leaf.index, size, leaf.leaf_hash, path, growth.root)
            assert await proof.leaf_of(tx, leaf.ref) == leaf
        heads = await tx.fetch("SELECT size, root, note FROM checkpoint ORDER BY size")
        for row in heads:
            head = await proof.checkpoint_at(tx, row["size"])
            assert head is not None
            assert head.root == merkle.append(0, {}, hashes[: head.size]).root
            assert head.root == await proof.root_at(tx, head.size)
            steps = await proof.consistency(tx, head.size, size)
            assert merkle.verify_consistency(head.size, size, head.root, growth.root, steps)
            _check_note(head.note, vault, settings)
        latest = await proof.latest_checkpoint(tx)
        assert (latest.size if latest else 0) == size
        return size


def _check_note(note: str, vault: Vault, settings: Settings) -> None:
    origin = checkpoint.origin_of(settings.profile, settings.issuer_id, settings.chain_id)
    name = checkpoint.key_name(settings.profile, settings.issuer_id, "1")
    point = vault.sm2_key(CHECKPOINT_KEY).public_key.to_bytes()
    key = checkpoint.CheckpointKey(name, "issuer", point, 1, None)
    checkpoint.check_note(checkpoint.parse_note(note), origin, [key], verify_sm2)


async def seal(world: World, settings: Settings, limit: int = 2_000) -> int:
    return await seal_once(world.db, world.vault, settings, world.clock, limit)


async def test_awards_get_dense_leaves_under_a_signed_head(
    world: World, settings: Settings
) -> None:
    transfers = await award(world, 5)
    assert await seal(world, settings) == 5
    assert await seal(world, settings) == 0
    assert await check_log(world.db, world.vault, settings) == 5
    assert await rows(world.db, "SELECT * FROM unsealed") == []
    async with world.db.transaction(readonly=True) as tx:
        leaf = await proof.leaf_of(tx, transfers[0])
        assert leaf is not None
        assert (leaf.act, leaf.points_class, leaf.programme) == (
            "award",
            "carbon",
            "green-travel-2026",
        )
        assert (leaf.rule, leaf.rule_version, leaf.reason) == ("metro-points", 1, 0)
        assert leaf.city_day == date(2026, 11, 21)
        # What the leaf commits to can be opened again from the same rows and the stored seed.
        fields = (await views.transfer_fields(tx, [leaf.ref], settings.city_tz))[leaf.ref]
        seed = await proof.seed_of(tx, leaf.index)
        assert seed is not None
        assert leaves.build(1, fields, seed, settings.city_tz).leaf_hash == leaf.leaf_hash
        assert fields["points"]["amount"] == leaf.amount
        assert bytes.fromhex(fields["account"]) == leaf.account


async def test_enactments_come_before_the_awards_that_wait_with_them(
    world: World, settings: Settings
) -> None:
    await award(world, 4)
    async with world.db.transaction() as tx:
        enacted = await add_enactment(tx)
    assert await seal(world, settings, limit=3) == 3
    assert await seal(world, settings, limit=3) == 2
    assert await check_log(world.db, world.vault, settings) == 5
    async with world.db.transaction(readonly=True) as tx:
        leaf = await proof.leaf_of(tx, enacted)
        assert leaf is not None
        assert (leaf.index, leaf.kind, leaf.act, leaf.amount) == (0, 2, None, None)


async def test_a_reversal_is_a_leaf_of_its_own(world: World, settings: Settings) -> None:
    [transfer] = await award(world, 1)
    await seal(world, settings)
    await reverse_points(
        world.db, world.clock, of_transfer=transfer, note="误报", city_tz=settings.city_tz
    )
    assert await seal(world, settings) == 1
    assert await check_log(world.db, world.vault, settings) == 2
    async with world.db.transaction(readonly=True) as tx:
        [leaf] = await proof.leaves_between(tx, 1, 2)
        assert (leaf.act, leaf.reason, leaf.programme, leaf.rule) == ("reverse", 2, None, None)
        fields = (await views.transfer_fields(tx, [leaf.ref], settings.city_tz))[leaf.ref]
    assert fields["act"]["of"] == str(transfer)
    assert fields["occurrence"]["time"] is not None


async def test_two_sealers_at_once_seal_each_row_once(
    world: World, settings: Settings, url_of: UrlOf
) -> None:
    await award(world, 12)
    other = await Database.open(url_of("app"))
    try:

        async def work(db: Database) -> int:
            sealed = 0
            while await rows(world.db, "SELECT 1 FROM unsealed LIMIT 1"):
                sealed += await seal_once(db, world.vault, settings, world.clock, 3)
            return sealed

        done = await asyncio.gather(*(work(db) for db in (world.db, other, world.db, other)))
    finally:
        await other.close()
    assert sum(done) == 12
    assert await check_log(world.db, world.vault, settings) == 12


async def test_a_sealer_that_dies_in_the_middle_leaves_nothing_behind(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await award(world, 6)
    assert await seal(world, settings, limit=2) == 2

    for place in ("forget", "add_checkpoint"):

        async def die(*_: object) -> None:
            raise RuntimeError("killed here")

        with monkeypatch.context() as broken:
            broken.setattr(proof, place, die)
            with pytest.raises(RuntimeError, match="killed"):
                await seal(world, settings)
        assert await check_log(world.db, world.vault, settings) == 2
    assert await seal(world, settings) == 4
    assert await check_log(world.db, world.vault, settings) == 6


async def test_a_connection_lost_in_the_middle_frees_the_lock(
    world: World, settings: Settings, url_of: UrlOf
) -> None:
    await award(world, 2)
    doomed = await asyncpg.connect(url_of("app"))
    begun = doomed.transaction()
    await begun.start()
    assert await doomed.fetchval("SELECT pg_try_advisory_xact_lock($1)", SEALER_LOCK)
    assert await seal(world, settings) == 0
    doomed.terminate()
    for _ in range(100):
        if await seal(world, settings):
            break
        await asyncio.sleep(0.05)
    assert await check_log(world.db, world.vault, settings) == 2


async def late_commit(world: World, settings: Settings, url_of: UrlOf) -> tuple[UUID, int]:
    """Two enactments; the one with the lower id commits after the other was sealed."""
    slow = await Database.open(url_of("app"))
    try:
        async with slow.transaction() as tx:
            late = await add_enactment(tx)
            async with world.db.transaction() as quick:
                early = await add_enactment(quick)
            assert late < early
            assert await seal(world, settings) == 1
        await seal(world, settings)
    finally:
        await slow.close()
    return late, await check_log(world.db, world.vault, settings)


async def test_a_row_that_commits_late_is_sealed_later(
    world: World, settings: Settings, url_of: UrlOf
) -> None:
    _, size = await late_commit(world, settings, url_of)
    assert size == 2


async def test_sealing_by_a_high_water_id_would_lose_it(
    world: World, settings: Settings, url_of: UrlOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the broken sealer remembers the highest id it has sealed."""
    mark = UUID(int=0)

    async def above_the_mark(tx: Tx, limit: int) -> list[tuple[int, UUID]]:
        nonlocal mark
        found = await tx.fetch(
            "SELECT kind, ref FROM unsealed WHERE ref > $1 ORDER BY ref LIMIT $2", mark, limit
        )
        mark = max((row["ref"] for row in found), default=mark)
        return [(row["kind"], row["ref"]) for row in found]

    monkeypatch.setattr(views, "rows_to_seal", above_the_mark)
    late, size = await late_commit(world, settings, url_of)
    assert size == 1
    async with world.db.transaction(readonly=True) as tx:
        assert await proof.leaf_of(tx, late) is None


async def test_without_the_lock_two_sealers_collide(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: only the lock keeps two sealers from one index."""

    async def everyone(_: Tx) -> bool:
        return True

    meeting = asyncio.Barrier(2)
    append = proof.append_leaves

    async def together(*given: object) -> object:
        await meeting.wait()
        return await append(*given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(proof, "become_sealer", everyone)
    monkeypatch.setattr(seal_log.proof, "append_leaves", together)
    await award(world, 2)
    done = await asyncio.gather(
        seal(world, settings), seal(world, settings), return_exceptions=True
    )
    assert sum(isinstance(each, asyncpg.UniqueViolationError) for each in done) == 1


async def test_a_row_that_cannot_be_a_leaf_stands_aside_with_its_reason(
    world: World, settings: Settings
) -> None:
    await award(world, 2)
    nobody = new_id()
    async with world.db.transaction() as tx:
        await proof.queue(tx, leaves.TRANSFER, [nobody])
        await tx.execute(ENACTMENT, nobody, bytes(32), ["0x" + "22" * 20])
        await proof.queue(tx, leaves.ENACTMENT, [nobody])
    assert await seal(world, settings) == 2
    assert await seal(world, settings) == 0
    assert await check_log(world.db, world.vault, settings) == 2
    aside = await rows(world.db, "SELECT kind, refused FROM unsealed ORDER BY kind")
    assert [row["kind"] for row in aside] == [1, 2]
    assert "no row" in aside[0]["refused"]
    assert "approvers" in aside[1]["refused"]
    async with world.db.transaction(readonly=True) as tx:
        assert await proof.count_waiting(tx) == (0, 2)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaf SET amount = amount + 1",
        "DELETE FROM leaf",
        "UPDATE log_node SET hash = hash",
        "DELETE FROM log_node",
        "UPDATE checkpoint SET note = ''",
        "DELETE FROM checkpoint",
        "DELETE FROM leaf_secret",
        "UPDATE leaf_secret SET seed = seed",
        "UPDATE trust SET version = 2",
        "DELETE FROM trust",
        "TRUNCATE leaf",
    ],
)
async def test_the_app_cannot_change_the_log(tx: Tx, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(statement)


async def test_the_eraser_closes_a_leaf_and_the_log_stands(
    world: World, settings: Settings, url_of: UrlOf
) -> None:
    await award(world, 3)
    await seal(world, settings)
    eraser = await Database.open(url_of("eraser"))
    try:
        async with eraser.transaction() as tx:
            await tx.execute("DELETE FROM leaf_secret WHERE index = 1")
    finally:
        await eraser.close()
    assert await check_log(world.db, world.vault, settings) == 3
    async with world.db.transaction(readonly=True) as tx:
        assert await proof.seed_of(tx, 1) is None
        assert await proof.seed_of(tx, 2) is not None
