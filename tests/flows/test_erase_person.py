"""Erasure: retired on chain first, then nothing names the person; books and receipts hold."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from backend import citizens
from backend.flows.erase_person import ask_erasure, erase_due
from backend.flows.issue_receipt import issue_receipt
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.services import Services
from tests.doors.door_world import City, open_city, trip
from tests.flows.award_world import rows
from tests.flows.redeem_world import agree, balance, laws_broken, open_shop, redeem


@pytest.fixture
async def eraser(url_of: Any) -> AsyncIterator[Database]:
    eraser = await Database.open(url_of("eraser"), size=1)
    yield eraser
    await eraser.close()


@pytest.fixture
async def city(db: Database, clock: FixedClock, settings: Any, vault: Any) -> AsyncIterator[City]:
    async with open_city(Services(db=db, clock=clock, settings=settings, vault=vault)) as city:
        yield city


async def naming(city: City, person: UUID) -> dict[str, int]:
    """How many rows of each table mention the person, as id or by what belongs to them."""
    found: dict[str, int] = {}
    async with city.db.transaction(readonly=True) as tx:
        for table in await tx.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ):
            name = table["tablename"]
            count = await tx.fetchval(
                f"SELECT count(*) FROM {name} AS t WHERE t::text LIKE $1", f"%{person}%"
            )
            if count:
                found[name] = count
        found["bodies"] = await tx.fetchval(
            "SELECT count(*) FROM evidence_body JOIN evidence USING (evidence_id)"
            " WHERE citizen_id = $1",
            person,
        )
        found["salts"] = await tx.fetchval(
            "SELECT count(*) FROM leaf_secret JOIN leaf USING (index)"
            " JOIN transfer ON transfer_id = ref WHERE citizen_id = $1",
            person,
        )
    return found


async def test_points_are_retired_on_chain_before_anything_is_deleted(
    city: City, eraser: Database
) -> None:
    world = city.world
    person = world.people[0]
    phone = await city.person(0)
    await phone.consent(key="c")
    await city.trips(trip(distance_m=22_000), trip(1))
    shop = await open_shop(world)
    await redeem(shop, person)
    await city.anchored(await city.seal())
    before = await naming(city, person)

    gone = await phone.call("DELETE", "/me", key="bye")
    assert gone.status_code == 202, gone.text
    assert gone.json()["retired"] == [{"class": "carbon", "points": 38}]
    assert gone.json()["backups_end"] == "2026-12-22"
    assert (await phone.call("GET", "/me")).status_code == 401
    assert await balance(world) == (0, 0, 0)
    [erase] = await rows(city.db, "SELECT * FROM transfer WHERE act = 'erase'")
    assert (erase["reason"], erase["amount"]) == (3, 38)

    # Not before an anchor covers the last leaf.
    assert await erase_due(city.db, eraser, city.services.clock) == 0
    await city.seal()
    await city.anchored(4)
    assert await erase_due(city.db, eraser, city.services.clock) == 1
    assert await erase_due(city.db, eraser, city.services.clock) == 0

    after = await naming(city, person)
    assert after["bodies"] == after["salts"] == 0 < before["bodies"] < before["salts"]
    kept = {
        "award",
        "balance",
        "citizen",
        "citizen_account",
        "claim",
        "consent",
        "counter",
        "erasure",
        "evidence",
        "hold",
        "lot",
        "posting",
        "redemption",
        "transfer",
    }
    assert set(after) - {"bodies", "salts"} <= kept, after
    assert await laws_broken(world) == []
    result = await world.recomputed()
    assert (result.erased, result.differences) == (1, [])
    async with city.db.transaction(readonly=True) as tx:
        with pytest.raises(Problem, match="receipt-erased"):
            await issue_receipt(tx, city.services.settings, erase["transfer_id"])
    # The other person's rows are whole, and the same name is a new citizen now.
    other = await naming(city, world.people[1])
    assert (other["bodies"], other["salts"]) == (1, 1)
    again = await city.sign_in("p0")
    assert (await again.get("/me"))["citizen_id"] != str(person)
    assert (await again.get("/points"))["items"][0]["available"] == 0


async def test_a_redemption_under_way_is_waited_for(city: City, eraser: Database) -> None:
    phone = await city.person(0)
    await city.trips(trip(distance_m=22_000))
    shop = await open_shop(city.world)
    held = await agree(shop, city.world.people[0])
    refused = await phone.call("DELETE", "/me")
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("redemption-under-way")
    assert (await phone.get("/me"))["provider"] == "sandbox"
    from backend.flows.redeem_points import hand_over

    await hand_over(shop, held.redemption_id)
    assert (await phone.call("DELETE", "/me")).status_code == 202


async def test_what_arrives_later_earns_nothing(city: City, eraser: Database) -> None:
    phone = await city.person(0)
    await city.world.record(trip())
    assert (await phone.call("DELETE", "/me")).json()["retired"] == []
    assert await erase_due(city.db, eraser, city.services.clock) == 1
    await city.trips()
    [decided] = await rows(city.db, "SELECT state, reason FROM decision")
    assert (decided["state"], decided["reason"]) == ("refused", "evidence-erased")
    assert await rows(city.db, "SELECT 1 FROM transfer") == []


async def test_the_app_s_role_can_delete_nobody(city: City) -> None:
    """Negative control: the worker's own role is no eraser."""
    import asyncpg

    phone = await city.person(0)
    await phone.call("DELETE", "/me")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await erase_due(city.db, city.db, city.services.clock)


async def test_asking_twice_is_asking_once(city: City) -> None:
    person = city.world.people[0]
    async with city.db.transaction() as tx:
        first = await ask_erasure(tx, city.services.clock, city.services.settings, person)
        again = await ask_erasure(tx, city.services.clock, city.services.settings, person)
    assert first == again
    async with city.db.transaction() as tx:
        assert await citizens.standing_consents(tx, person) == []
