"""An installation with every scenario in force, several partners, and events of any kind."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from backend import citizens, incentive, methodology, views
from backend.flows.record_events import Terms, record_events
from backend.kit import canonical
from backend.kit.clock import to_text
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.sm import sm3
from backend.partners import Partner, Scheme, SignedRequest
from tests.flows.award_world import CONSENT_FROM, World

METRO = "transit.metro.trip"
BUS = "transit.bus.trip"
BIKE = "bike.shared.ride"
ENERGY = "energy.home.month"
CHARGE = "ev.charge.session"

NOON = datetime(2026, 11, 21, 4, tzinfo=UTC)


@dataclass
class MixedWorld(World):
    """A world whose events go through the door's own flow, with bindings for every partner."""

    tokens: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    documents: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    """What is in force by id: (1 rule or 2 method, document)."""

    async def found(self, *, people: int = 2, caps: bool = False) -> None:
        """Every shipped method and rule in force, with budgets and people."""
        async with self.db.transaction() as tx:
            now = self.clock.now()
            for key in methodology.shipped_methods():
                document = json.loads(methodology.shipped_methods()[key])
                document["day_from"] = "2024-01-01"
                document["day_to"] = None
                if document["id"] in ("transit.metro.trip", "energy.home.month") and key[1] != 1:
                    continue
                self.documents[document["id"]] = 2, canonical.dumps(document)
                await methodology.publish(tx, canonical.dumps(document), now)
                await methodology.enact(tx, *key, now)
            for shipped in incentive.shipped_rules().values():
                document = json.loads(shipped) | {"day_from": "2024-01-01", "day_to": None}
                if not caps:
                    document["caps"] = []
                await self._open(tx, document)
            for _ in range(people):
                await self.add_person(tx)

    async def _open(self, tx: Tx, document: dict[str, Any]) -> None:
        programme = incentive.Programme(
            programme_id=document["programme"],
            name=document["programme"],
            points_class=document["class"],
            day_from=date(2024, 1, 1),
            day_to=None,
            budget_period="total",
            expiry_months=24,
        )
        await incentive.create_programme(tx, programme, self.clock.now())
        self.documents[document["id"]] = 1, canonical.dumps(document)
        await self.enact_rule(tx, canonical.dumps(document))
        await incentive.set_envelope(tx, (programme.programme_id, "total"), 10**9)

    async def add_person(self, tx: Tx) -> UUID:
        """A citizen who consented to everything, years ago."""
        number = len(self.people)
        person = await citizens.create_or_get(tx, self.vault, "sandbox", f"m{number}", self.clock)
        self.people.append(person)
        return person

    async def bind(self, partner_id: str, number: int, scenario: str) -> str:
        """The token of a person at a partner, with consent to the scenario."""
        async with self.db.transaction() as tx:
            person = self.people[number]
            if not await citizens.standing_since(tx, [(person, partner_id, scenario)]):
                await citizens.give_consent(
                    tx, person, partner_id, scenario, CONSENT_FROM - timedelta(days=900)
                )
            if (partner_id, number) not in self.tokens:
                token = f"{partner_id}-{number}"
                await tx.execute(
                    """INSERT INTO binding (binding_id, partner_id, citizen_id, token_hash,
                           user_ref_hash, created_at) VALUES ($1, $2, $3, $4, $4, $5)""",
                    new_id(),
                    partner_id,
                    person,
                    sm3(token.encode()),
                    self.clock.now(),
                )
                self.tokens[partner_id, number] = token
            return self.tokens[partner_id, number]

    async def send(
        self, *events: dict[str, Any], partner: str = "city", origin: Scheme = "v1s2"
    ) -> dict[str, Any]:
        """One upload of a partner (see `event`) through the door's flow; its answer."""
        shown = [dict(each) for each in events]
        for each in shown:
            person = each.pop("person", 0)
            each["subject"] = await self.bind(partner, person, each["type"])
        body = json.dumps(shown).encode()
        terms = Terms.of(methodology.scenarios(), city_tz="Asia/Shanghai", production=False)
        answer = await record_events(
            self.db,
            self.vault,
            self.clock,
            terms,
            Partner(
                partner, partner, origin, frozenset(methodology.scenarios()), replay=False, keys=()
            ),
            SignedRequest(partner, str(new_id()), origin, "key-1"),
            sent=body,
            data=body,
        )
        return json.loads(answer)

    async def settle(self) -> None:
        """Award until nothing waits."""
        while (await self.award()).items:
            pass

    async def fates(self) -> dict[str, tuple[str, str | None]]:
        """(state, reason) by event id, as citizens and partners see it."""
        async with self.db.transaction() as tx:
            rows = await tx.fetch("SELECT evidence_id, event_id FROM evidence")
            states = await views.states_of(tx, [row["evidence_id"] for row in rows])
            reasons = await tx.fetch(
                """SELECT e.event_id, coalesce(d.reason, s.reason) AS reason FROM evidence AS e
                   LEFT JOIN decision AS d USING (evidence_id)
                   LEFT JOIN supersession AS s ON s.evidence_id = e.evidence_id"""
            )
        why = {row["event_id"]: row["reason"] for row in reasons}
        return {row["event_id"]: (states[row["evidence_id"]], why[row["event_id"]]) for row in rows}

    async def books(self) -> dict[tuple[int, str, str], int]:
        """Points by (person, event id, programme): awards net of reversals, without zeros."""
        async with self.db.transaction() as tx:
            rows = await tx.fetch(
                """SELECT a.citizen_id, e.event_id, a.programme_id, a.amount
                   FROM award AS a JOIN evidence AS e USING (evidence_id)
                   WHERE a.amount > 0 AND NOT EXISTS (
                       SELECT FROM transfer AS r
                       WHERE r.of_transfer = a.transfer_id AND r.act = 'reverse')"""
            )
        return {
            (self.people.index(row["citizen_id"]), row["event_id"], row["programme_id"]): row[
                "amount"
            ]
            for row in rows
        }


def event(
    event_id: str,
    scenario: str = METRO,
    *,
    person: int = 0,
    minute: int = 0,
    at: datetime = NOON,
    data: dict[str, Any] | None = None,
    **extensions: Any,
) -> dict[str, Any]:
    """An event that ended `minute` minutes after `at`; extensions such as `corrects`."""
    defaults: dict[str, dict[str, Any]] = {
        METRO: {"distance_m": 12_000, "duration_s": 1_800},
        BUS: {"trips": 1},
        BIKE: {"distance_m": 2_000, "duration_s": 600},
        CHARGE: {},
        ENERGY: {},
    }
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/s",
        "type": scenario,
        "time": to_text(at + timedelta(minutes=minute)),
        "person": person,
        "data": defaults[scenario] if data is None else data,
        **extensions,
    }


def month(
    event_id: str,
    year: int = 2026,
    number: int = 10,
    *,
    energy_wh: int = 240_000,
    days: int | None = None,
    meter: str = "m-1",
    estimated: bool = False,
    person: int = 0,
    **changes: Any,
) -> dict[str, Any]:
    """A month of home energy; its time is the month's last second in the city."""
    following = date(year + number // 12, number % 12 + 1, 1)
    last = following - timedelta(days=1)
    data = {
        "energy_wh": energy_wh,
        "month": f"{year}-{number:02d}",
        "days": last.day if days is None else days,
        "meter_ref": meter,
        "estimated": estimated,
    }
    at = datetime(last.year, last.month, last.day, 15, 59, 59, tzinfo=UTC)
    corrections = {k: v for k, v in changes.items() if k in ("corrects", "retracts")}
    data |= {k: v for k, v in changes.items() if k not in corrections}
    return event(event_id, ENERGY, person=person, at=at, data=data, **corrections)


def charge(
    event_id: str, *, start: datetime, end: datetime, energy_wh: int, person: int = 0
) -> dict[str, Any]:
    """A charging session; its time is its end."""
    data = {"energy_wh": energy_wh, "start": to_text(start), "end": to_text(end)}
    return event(event_id, CHARGE, person=person, at=end, data=data)


async def sound(world: MixedWorld) -> None:
    """Everything derived again gives what is stored."""
    assert (await world.recomputed()).differences == []
