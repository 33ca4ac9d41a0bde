"""Builders for what an award needs: people with consent, a method and a rule in force, evidence."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from backend import citizens, evidence, incentive, methodology
from backend.evidence import Accepted, Upload
from backend.flows.award_points import Counts, award_once
from backend.flows.recompute import Recomputed, recompute
from backend.kit import canonical, outbox
from backend.kit.clock import FixedClock, to_text
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id, new_ids
from backend.kit.vault import Vault

SCENARIO = "transit.metro.trip"
PROGRAMME = "green-travel-2026"
CONSENT_FROM = datetime(2026, 1, 1, tzinfo=UTC)


def a_rule(*, version: int = 1, caps: list[dict[str, Any]] | None = None, **changes: Any) -> bytes:
    """The shipped rule with some members changed, as canonical JSON."""
    shipped = json.loads(incentive.shipped_rules()["metro-points", 1])
    document = copy.deepcopy(shipped) | {"version": version} | changes
    if caps is not None:
        document["caps"] = caps
    return canonical.dumps(document)


def a_method(**changes: Any) -> bytes:
    """The shipped metro method with some members changed, as canonical JSON."""
    document = json.loads(methodology.shipped_methods()[SCENARIO, 1])
    return canonical.dumps(document | changes)


@dataclass
class World:
    """An installation in one database, at the instant of its clock."""

    db: Database
    vault: Vault
    clock: FixedClock
    people: list[UUID] = field(default_factory=list)
    made: int = 0

    async def enact(
        self,
        *,
        rule: bytes | None = None,
        method: bytes | None = None,
        envelope: int = 1_000_000,
        people: int = 2,
        period: str = "year",
        programme_from: date = date(2026, 1, 1),
    ) -> None:
        """One programme with its rule and method in force, a budget and people who consented."""
        async with self.db.transaction() as tx:
            now = self.clock.now()
            published = await methodology.publish(tx, method or a_method(), now)
            await methodology.enact(tx, published.id, published.version, now)
            programme = a_programme(budget_period=period, day_from=programme_from)
            await incentive.create_programme(tx, programme, now)
            await self.enact_rule(tx, rule or a_rule())
            key = (PROGRAMME, "2026" if period == "year" else "total")
            await incentive.set_envelope(tx, key, envelope)
            await self.add_people(tx, people)

    async def enact_rule(self, tx: Tx, document: bytes) -> None:
        now = self.clock.now()
        rule = await incentive.publish(tx, document, now)
        await incentive.set_status(tx, rule.id, rule.version, "enacted", now)

    async def add_people(self, tx: Tx, count: int) -> None:
        for _ in range(count):
            name = f"p{len(self.people)}"
            person = await citizens.create_or_get(tx, self.vault, "sandbox", name, self.clock)
            await citizens.give_consent(tx, person, "metro", SCENARIO, CONSENT_FROM)
            self.people.append(person)

    async def record(
        self, *trips: dict[str, Any], consent_from: datetime | None = None
    ) -> list[UUID]:
        """One upload of these trips (see `trip`), with its outbox row."""
        async with self.db.transaction() as tx:
            if consent_from is not None:
                await tx.execute("UPDATE consent SET given_at = $1", consent_from)
            return await self.record_in(tx, trips)

    async def record_in(self, tx: Tx, trips: Sequence[dict[str, Any]]) -> list[UUID]:
        read = evidence.read_upload(
            "metro",
            json.dumps([self.event(each) for each in trips]).encode(),
            {},
            city_tz="Asia/Shanghai",
            replay_allowed=False,
        )
        assert not read.rejected
        upload = Upload(
            upload_id=new_id(),
            partner_id="metro",
            webhook_id=str(new_id()),
            request_digest=bytes(32),
            scheme="v1s2",
            key_id="k",
            origin="signed-upload",
            received_at=self.clock.now(),
            event_count=len(trips),
        )
        accepted = [
            Accepted(evidence_id, event, self.people[each["person"]], "L3")
            for evidence_id, event, each in zip(
                new_ids(len(trips)), read.events, trips, strict=True
            )
        ]
        await evidence.store_events(tx, self.vault, upload, accepted)
        await evidence.store_upload(tx, upload, accepted, [], b"{}")
        await self.deliver(tx, upload.upload_id, len(accepted))
        return [one.evidence_id for one in accepted]

    async def deliver(self, tx: Tx, upload_id: UUID, count: int) -> None:
        """The outbox row of an upload, once more if it was there before."""
        payload = {"upload_id": str(upload_id), "count": count}
        await outbox.put(tx, "award", str(upload_id), payload)

    def event(self, each: dict[str, Any]) -> dict[str, Any]:
        self.made += 1
        return {
            "specversion": "1.0",
            "id": f"t-{self.made}",
            "source": "/gate",
            "type": each["scenario"],
            "subject": "b",
            "time": to_text(each["at"]),
            "data": each["data"],
        }

    async def award(self, **options: Any) -> Counts:
        """One turn of the award flow."""
        return await award_once(self.db, self.vault, self.clock, **options)

    async def recomputed(self, **options: Any) -> Recomputed:
        """Everything derived again."""
        days: dict[str, Any] = {"day_from": date(2000, 1, 1), "day_to": date(2099, 12, 31)}
        return await recompute(self.db, self.vault, **days | options)


def trip(
    person: int = 0,
    *,
    distance_m: Any = 12_000,
    day: date = date(2026, 11, 21),
    hour: int = 4,
    minute: int = 0,
    scenario: str = SCENARIO,
    data: Any = None,
) -> dict[str, Any]:
    """A metro trip of one person. Hours are UTC: 4 is noon in the city."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)
    shown = {"distance_m": distance_m} if data is None else data
    return {"person": person, "at": at, "scenario": scenario, "data": shown}


def a_programme(**changes: Any) -> incentive.Programme:
    """The programme of the shipped rule."""
    values: dict[str, Any] = {
        "programme_id": PROGRAMME,
        "name": "绿色出行 2026",
        "points_class": "carbon",
        "day_from": date(2026, 1, 1),
        "day_to": None,
        "budget_period": "year",
        "expiry_months": 24,
    }
    return incentive.Programme(**values | changes)


async def rows(db: Database, sql: str, *args: Any) -> list[Any]:
    """What a query finds."""
    async with db.transaction() as tx:
        return await tx.fetch(sql, *args)


async def states(world: World) -> dict[Any, tuple[str, str | None]]:
    """State and reason of every decision, by evidence."""
    found = await rows(world.db, "SELECT * FROM decision")
    return {row["evidence_id"]: (row["state"], row["reason"]) for row in found}


async def amounts(world: World) -> list[int]:
    """Points of every award, in the order they were made."""
    return [
        row["amount"] for row in await rows(world.db, "SELECT amount FROM award ORDER BY award_id")
    ]
