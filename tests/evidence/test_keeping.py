"""Keeping evidence: bodies that open alone, damage that is noticed, rows nobody may change."""

import asyncio
import secrets
from datetime import date, timedelta
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import evidence
from backend.evidence.bodies import day_key, decrypt_bodies, encrypt_bodies
from backend.evidence.service import Accepted, Upload
from backend.kit.clock import FixedClock
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id, new_ids
from backend.kit.vault import Vault
from tests.evidence.builders import an_event, as_json

KEY = bytes(range(16))


@given(st.lists(st.binary(min_size=1, max_size=70), max_size=12), st.data())
def test_each_body_opens_alone_or_among_any_others(bodies: list[bytes], draw) -> None:
    nonce, parts = encrypt_bodies(KEY, bodies)
    assert [len(body) for _, body in parts] == [len(body) for body in bodies]
    chosen = draw.draw(st.permutations(range(len(bodies))))[: draw.draw(st.integers(0, 12))]
    assert decrypt_bodies(KEY, nonce, [parts[i] for i in chosen]) == [bodies[i] for i in chosen]


def test_keystreams_do_not_repeat() -> None:
    """Equal bodies of one upload, and of two uploads, are encrypted differently."""
    body = bytes(40)
    seen = {part for _ in range(3) for _, part in encrypt_bodies(KEY, [body] * 5)[1]}
    assert len(seen) == 15


async def store(
    tx: Tx, vault: Vault, clock: FixedClock, count: int = 3
) -> tuple[Upload, list[UUID]]:
    """An upload of `count` trips as the flow writes it."""
    read = evidence.read_upload(
        "metro",
        as_json([an_event(id=f"t-{n}", data={"distance_m": n}) for n in range(count)]),
        {},
        city_tz="Asia/Shanghai",
        replay_allowed=False,
    )
    upload = Upload(
        new_id(), "metro", secrets.token_hex(8), bytes(32), "v1", "k", "shared-secret",
        clock.now(), count,
    )  # fmt: skip
    ids = new_ids(count)
    citizen_id = new_id()
    accepted = [
        Accepted(evidence_id, event, citizen_id, "L2")
        for evidence_id, event in zip(ids, read.events, strict=True)
    ]
    assert await evidence.store_events(tx, vault, upload, accepted) == []
    await evidence.store_upload(tx, upload, accepted, [], b"{}")
    return upload, ids


async def test_upload_is_read_back(tx, vault, clock) -> None:
    upload, ids = await store(tx, vault, clock)
    rows = await evidence.load_upload(tx, vault, upload.upload_id)
    assert [row.evidence_id for row in rows] == ids
    assert [row.data for row in rows] == [{"distance_m": n} for n in range(3)]
    first = rows[0]
    assert (first.partner_id, first.source, first.event_id) == ("metro", "/gate", "t-0")
    assert (first.occurred_text, str(first.city_day)) == ("2026-11-22T08:00:00+08:00", "2026-11-22")
    assert (first.origin, first.evidence_level, first.originaltime) == ("shared-secret", "L2", None)
    assert await evidence.load_evidence(tx, vault, [ids[2], ids[0], new_id()]) == [rows[0], rows[2]]
    assert await evidence.load_upload(tx, vault, new_id()) == []


async def test_disk_holds_no_plain_text(tx, vault, clock) -> None:
    await store(tx, vault, clock)
    rows = await tx.fetch("SELECT body FROM evidence_body")
    assert len(rows) == 3
    assert not any(b"distance" in row["body"] or b"gate" in row["body"] for row in rows)
    sealed = await tx.fetchval("SELECT key_sealed FROM evidence_key")
    key = await day_key(tx, vault, clock.now().date())
    assert key not in sealed


async def test_erased_body_leaves_the_rest_readable(db, url_of, vault, clock) -> None:
    async with db.transaction() as tx:
        upload, ids = await store(tx, vault, clock, 5)
    eraser = await Database.open(url_of("eraser"), size=1)
    async with eraser.transaction() as tx:
        await tx.execute("DELETE FROM evidence_body WHERE evidence_id = ANY($1)", ids[1:3])
    await eraser.close()
    async with db.transaction() as tx:
        rows = await evidence.load_upload(tx, vault, upload.upload_id)
    assert [row.data for row in rows] == [
        {"distance_m": 0}, None, None, {"distance_m": 3}, {"distance_m": 4},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE evidence_body SET body = set_byte(body, 5, get_byte(body, 5) # 1)",
        "UPDATE evidence_body SET position = position + 1",
        "UPDATE evidence_body SET nonce = set_byte(nonce, 15, get_byte(nonce, 15) # 1)",
        "UPDATE evidence SET event_digest = set_byte(event_digest, 0, 0)",
        "UPDATE evidence SET partner_id = 'bus'",
    ],
)
async def test_damage_is_noticed(db, url_of, vault, clock, damage: str) -> None:
    async with db.transaction() as tx:
        upload, _ = await store(tx, vault, clock, 1)
    owner = await Database.open(url_of("owner"), size=1)
    async with owner.transaction() as tx:
        await tx.execute(damage)
    await owner.close()
    async with db.transaction() as tx:
        with pytest.raises(evidence.EvidenceDamaged):
            await evidence.load_upload(tx, vault, upload.upload_id)


@pytest.mark.parametrize(
    "table", ["upload", "evidence", "evidence_body", "evidence_key", "rejection", "decision"]
)
@pytest.mark.parametrize("verb", ["UPDATE {} SET ctid = ctid", "DELETE FROM {}", "TRUNCATE {}"])
async def test_app_may_only_insert(tx, table: str, verb: str) -> None:
    first = {"upload": "answer", "evidence_key": "key_sealed", "evidence_body": "body"}
    column = first.get(table, "upload_id" if table in {"evidence", "rejection"} else "state")
    statement = verb.format(table).replace("ctid", column)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tx.savepoint():
            await tx.execute(statement)


async def test_partitions_are_reached_through_their_parent_only(tx, vault, clock) -> None:
    await store(tx, vault, clock, 1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tx.savepoint():
            await tx.execute("DELETE FROM evidence_days.body_2026_11_22")


async def test_day_is_opened_once_by_many(db, vault, clock) -> None:
    """Several uploads meet at midnight: all get the same key, and nobody fails."""

    async def key_of(day: date) -> bytes:
        async with db.transaction() as tx:
            return await day_key(tx, vault, day)

    for n in range(4):
        day = clock.now().date() + timedelta(days=n)
        keys = await asyncio.gather(*(key_of(day) for _ in range(8)))
        assert len(set(keys)) == 1


async def test_days_out_of_reason_are_not_opened(tx, vault) -> None:
    with pytest.raises(asyncpg.PostgresError, match="no evidence is kept"):
        await day_key(tx, vault, date(1999, 1, 1))


async def test_event_is_decided_once(tx, vault, clock) -> None:
    _, ids = await store(tx, vault, clock)
    awarded = evidence.Decision(ids[0], "awarded", None, "m", 1, 2_525_448, clock.now())
    refused = evidence.Decision(ids[1], "refused", "missing-field", None, None, None, clock.now())
    await evidence.decide(tx, [awarded, refused])
    states = await evidence.states_of(tx, [*ids, new_id()])
    assert states == {ids[0]: "awarded", ids[1]: "refused", ids[2]: "recorded"}
    with pytest.raises(asyncpg.UniqueViolationError):
        async with tx.savepoint():
            await evidence.decide(tx, [refused._replace(evidence_id=ids[0])])
    with pytest.raises(asyncpg.CheckViolationError):
        async with tx.savepoint():
            await evidence.decide(tx, [refused._replace(evidence_id=ids[2], reason=None)])
