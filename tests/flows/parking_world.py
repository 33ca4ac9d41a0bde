"""A car park with everything a stay needs: operator, gates with keys, spaces, prices, shares."""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from backend import citizens, devices, partners
from backend.flows.park_stay import Passed, SignedBatch, record_passes
from backend.flows.reserve_space import Wish, reserve_space
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import Vault
from backend.parking import (
    Calendar,
    Lot,
    Plates,
    Space,
    assets,
    gates,
    split,
    tariff,
    terms,
    windows,
)

CITY = timezone(timedelta(hours=8))
PLATE = "粤B12345"
GATE_KEY = Sm2PrivateKey(0x5A5A5A)
OWNER_KEY = Sm2PrivateKey(0x77AA)


def at(text: str) -> datetime:
    """`11-21 09:00` of 2026 on the city's clock."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=CITY)


def a_policy(**changes: Any) -> dict[str, Any]:
    """Open at all hours of every day."""
    return {
        "format": "tanhui-window-v1",
        "weekly": [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}],
        "dated": [],
        "holidays": "as-weekday",
        "quiet": [],
        "classes": ["small"],
        "violations_max": 2,
        "text": "全天共享",
    } | changes


def a_tariff(**changes: Any) -> dict[str, Any]:
    """Five yuan for every started hour, thirty a day."""

    def fen(value: int) -> dict[str, Any]:
        return {"value": value, "unit": "fen", "date": "2026", "reference": "示例", "grade": "G"}

    return {
        "format": "tanhui-tariff-v1",
        "lot": "plaza",
        "version": 1,
        "day_from": "2026-01-01",
        "day_to": None,
        "name": "示例",
        "parking_day": "00:00",
        "bands": [],
        "needs": {
            "event": {},
            "history": {},
            "counters": {},
            "params": {"hour_fen": fen(500), "day_fen": fen(3_000)},
        },
        "day": "(minutes + 59) / 60 * hour_fen > day_fen ? day_fen"
        " : (minutes + 59) / 60 * hour_fen",
        "total": "sum_fen > coupon_fen ? sum_fen - coupon_fen : 0",
        "cancel": "0",
        "text": "每小时 5 元,每日封顶 30 元。",
    } | changes


def a_contract(**changes: Any) -> dict[str, Any]:
    """Owner 60, manager 15, operator (merchant of record) 20, platform 3, city 2 per cent."""

    def share(party: str, share_bp: int, via: str) -> dict[str, Any]:
        return {"party": party, "share_bp": share_bp, "via": via}

    return {
        "format": "tanhui-split-v1",
        "lot": "plaza",
        "version": 1,
        "day_from": "2026-01-01",
        "day_to": None,
        "rail": "rail.sandbox",
        "merchant": "operator",
        "without_space": "manager",
        "shares": [
            share("space-owner", 6_000, "payout"),
            share("manager", 1_500, "split"),
            share("operator", 2_000, "keep"),
            share("platform", 300, "split"),
            share("city", 200, "payout"),
        ],
    } | changes


@dataclass
class ParkingWorld:
    """An operated lot in one database, at the instant of its clock."""

    db: Database
    vault: Vault
    clock: FixedClock
    calendar: Calendar = field(default_factory=Calendar)
    sent: int = 0

    def __post_init__(self) -> None:
        self.plates = Plates(self.vault)

    async def open(self, *, spaces: int = 2) -> None:
        """People and parties, then the lot with its terms, then its spaces and the driver's car."""
        async with self.db.transaction() as tx:
            await self.enter_parties(tx)
            await self.build_lot(tx)
            await self.open_spaces(tx, spaces)
            await assets.bind_vehicle(
                tx,
                self.plates,
                self.driver,
                PLATE,
                vehicle_class="small",
                fuel="petrol",
                now=self.clock.now(),
            )

    async def enter_parties(self, tx: Any) -> None:
        now = self.clock.now()
        await partners.register_partner(
            tx, "plaza-op", "示范停车", required_scheme="v1s2", scenarios=[], now=now
        )
        await partners.add_key(
            tx,
            self.vault,
            "plaza-op",
            "statement-1",
            scheme="v1s2",
            purpose="statement",
            public_key=OWNER_KEY.public_key.to_bytes(),
            valid_from=now - timedelta(days=90),
        )
        self.driver = await self.person(tx, "driver")
        self.owner_id = await self.person(tx, "owner")
        parties: Any = (
            ("operator", "operator", "plaza-op", True),
            ("manager", "manager", "plaza-op", True),
            ("platform", "platform", None, True),
            ("city", "city", None, False),
        )
        for party_id, kind, partner_id, merchant in parties:
            await assets.enter_party(
                tx,
                party_id,
                kind=kind,
                name=party_id,
                merchant=merchant,
                now=now,
                partner_id=partner_id,
            )
        await assets.enter_party(
            tx,
            "owner-1",
            kind="person",
            name="业主",
            merchant=False,
            now=now,
            citizen_id=self.owner_id,
        )

    async def build_lot(self, tx: Any) -> None:
        now = self.clock.now()
        self.lot: Lot = await assets.put_lot(
            tx,
            "plaza",
            operator_id="plaza-op",
            name="示范广场",
            latitude_udeg=22_540_000,
            longitude_udeg=114_050_000,
            capacity=100,
            base_search_s=396,
            now=now,
        )
        await devices.register_device(
            tx,
            "gate-1",
            operator_id="plaza-op",
            place="plaza",
            lane="1",
            purpose="gate",
            public_key=GATE_KEY.public_key.to_bytes(),
            now=now,
        )
        await terms.publish_tariff(tx, self.lot, tariff.read_tariff(a_tariff()), now)
        await terms.publish_contract(tx, self.lot, split.read_contract(a_contract()), now)

    async def open_spaces(self, tx: Any, count: int) -> None:
        now, policy = self.clock.now(), windows.read_policy(a_policy())
        self.spaces: list[Space] = []
        for n in range(count):
            label = f"A-{n + 1:02d}"
            space = await assets.add_space(tx, self.lot, label, "standard", "owner-1", now)
            await assets.set_policy(tx, space.space_id, policy)
            self.spaces.append(await assets.find_space(tx, space.space_id))

    async def person(self, tx: Any, name: str) -> UUID:
        return await citizens.create_or_get(tx, self.vault, "sandbox", name, self.clock)

    async def reserve(self, starts: str, ends: str, *, space: int = 0, now: datetime | None = None):
        wish = Wish(self.spaces[space].space_id, PLATE, at(starts), at(ends), confirmed=True)
        async with self.db.transaction() as tx:
            return await reserve_space(
                tx, self.plates, self.calendar, self.driver, wish, now or self.clock.now()
            )

    def batch(self, *events: tuple[Any, ...], seq: int | None = None, **more: Any) -> SignedBatch:
        """Events (direction, time, plate) or (direction, time, plate, space) signed by the gate."""
        listed = []
        for n, (direction, when, plate, *space) in enumerate(events):
            self.sent += 1
            listed.append(
                {
                    "seq": self.sent if seq is None else seq + n,
                    "direction": direction,
                    "time": (at(when) if isinstance(when, str) else when).isoformat(),
                    "plate": plate,
                    **({"space": space[0]} if space else {}),
                    **more,
                }
            )
        return self.signed({"device_id": "gate-1", "events": listed})

    def signed(self, payload: Any, key: Sm2PrivateKey = GATE_KEY) -> SignedBatch:
        body = json.dumps(payload, ensure_ascii=False).encode()
        device_id = payload["device_id"]
        text = devices.signed_text(device_id, gates.batch_digest(body))
        return SignedBatch(device_id, body, key.sign_der(text))

    async def passes(self, *events: tuple[Any, ...], **options: Any) -> Passed:
        return await self.send(self.batch(*events, **options))

    async def send(self, batch: SignedBatch) -> Passed:
        return await record_passes(
            self.db, self.plates, self.calendar, "plaza-op", batch, self.clock.now()
        )

    async def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        async with self.db.transaction(readonly=True) as tx:
            return [dict(row) for row in await tx.fetch(sql, *args)]

    async def day(self) -> date:
        return self.clock.now().astimezone(CITY).date()
