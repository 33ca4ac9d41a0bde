"""A stay from reservation to a co-signed statement, over the doors, in an operated car park.

What happened yesterday (a reservation, and the phone's arrival) is entered when the city is
founded, because a tour lasts seconds and a statement needs a day that is over. Everything else of
the step goes through HTTP: the gates' signed passes, payment, statement, co-signature.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from backend import citizens, devices, partners
from backend.demo.city import CITIZENS, CONSENT_AGE
from backend.flows.report_stay import PARTNER_ID, SCENARIO, enter_platform
from backend.flows.reserve_space import Wish, reserve_space
from backend.flows.run_lot import publish_contract, publish_tariff
from backend.flows.share_space import right_changed
from backend.flows.verify_settlement import check_on_chain
from backend.kit.clock import city_day, whole_second
from backend.kit.db import Tx
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import write_secret_file
from backend.parking import Plates, assets, city_calendar, gates, reservations, windows
from backend.partner_client import (
    Credentials,
    PartnerDoor,
    check_parking_statement,
    sign_parking_statement,
)

OPERATOR = "parking"
LOT = "civic-square"
GATE = "civic-square-gate-1"
STATEMENT_KEY = "parking-statement-1"
SPACES = 20
WAIT_S_MAX = 30

_PARTIES: tuple[tuple[str, assets.PartyKind, str, str | None, bool], ...] = (
    ("square-operator", "operator", "示范停车", OPERATOR, True),
    ("square-manager", "manager", "示范物业", OPERATOR, True),
    ("tanhui-platform", "platform", "碳惠平台", None, True),
    ("city-fund", "city", "城市缓堵基金", None, False),
    ("square-owner", "public-body", "示范机关(车位业主)", None, False),
)


def _fen(value: int) -> dict[str, Any]:
    reference = "示例价格(尚无价格主管部门文件)"
    return {
        "value": value,
        "unit": "fen",
        "date": "2026-01-01",
        "reference": reference,
        "grade": "G",
    }


TARIFF: dict[str, Any] = {
    "format": "tanhui-tariff-v1",
    "lot": LOT,
    "version": 1,
    "day_from": "2026-01-01",
    "day_to": None,
    "name": "示例:共享车位",
    "parking_day": "00:00",
    "bands": [{"name": "night", "from": "22:00", "to": "07:00"}],
    "needs": {
        "event": {},
        "history": {},
        "counters": {},
        "params": {
            "half_hour_fen": _fen(300),
            "night_fen": _fen(500),
            "day_max_fen": _fen(4_000),
            "free_minutes": {**_fen(15), "unit": "min"},
        },
    },
    "day": "total_minutes <= free_minutes ? 0"
    " : ((minutes - night_minutes + 29) / 30 * half_hour_fen > day_max_fen ? day_max_fen"
    " : (minutes - night_minutes + 29) / 30 * half_hour_fen)"
    " + (night_minutes > 0 ? night_fen : 0)",
    "total": "sum_fen > coupon_fen ? sum_fen - coupon_fen : 0",
    "cancel": "by_owner || notice_minutes >= 60 ? 0 : 200",
    "text": "15 分钟内免费;日间每半小时 3 元,每日封顶 40 元;夜间(22:00–07:00)每次 5 元。",
}
CONTRACT: dict[str, Any] = {
    "format": "tanhui-split-v1",
    "lot": LOT,
    "version": 1,
    "day_from": "2026-01-01",
    "day_to": None,
    "rail": "rail.sandbox",
    "merchant": "square-operator",
    "without_space": "square-manager",
    "shares": [
        {"party": "space-owner", "share_bp": 6_000, "via": "payout"},
        {"party": "square-manager", "share_bp": 1_500, "via": "split"},
        {"party": "square-operator", "share_bp": 2_000, "via": "keep"},
        {"party": "tanhui-platform", "share_bp": 300, "via": "split"},
        {"party": "city-fund", "share_bp": 200, "via": "payout"},
    ],
}
WINDOWS: dict[str, Any] = {
    "format": "tanhui-window-v1",
    "weekly": [
        {"days": [1, 2, 3, 4, 5], "from": "00:00", "to": "24:00"},
        {"days": [6, 7], "from": "00:00", "to": "24:00"},
    ],
    "dated": [],
    "holidays": "as-weekday",
    "quiet": [],
    "classes": ["small"],
    "violations_max": 2,
    "text": "全天共享;小型车;半年内两次违规的不再接待。",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the tour needs to know of yesterday's reservation, and the keys the others hold."""

    citizen: str
    plate: str
    starts_at: str
    ends_at: str
    reservation_id: str
    day: str
    gate_key_pem: str
    statement_key_pem: str


async def open_car_park(services: Services, papers: Path) -> None:
    """Enter the car park and yesterday's reservation; what stands is not entered twice."""
    now = services.clock.now()
    gate_key = services.vault.sm2_key("demo-parking-gate")
    statement_key = services.vault.sm2_key("demo-parking-statement")
    async with services.db.transaction() as tx:
        await enter_platform(tx, services.vault, services.clock)
        await partners.register_partner(
            tx,
            "rail.sandbox",
            "沙箱支付渠道",
            required_scheme="v1s2",
            scenarios=[],
            now=now,
        )
        known = {key.key_id for key in await partners.key_history(tx, OPERATOR)}
        if STATEMENT_KEY not in known:
            await partners.add_key(
                tx,
                services.vault,
                OPERATOR,
                STATEMENT_KEY,
                scheme="v1s2",
                purpose="statement",
                public_key=statement_key.public_key.to_bytes(),
                valid_from=now - timedelta(days=30),
            )
        await _build(tx, services, gate_key)
    await publish_tariff(services.db, OPERATOR, LOT, TARIFF, now)
    await publish_contract(services.db, OPERATOR, LOT, CONTRACT, now)
    prepared = await _yesterday(services, gate_key, statement_key)
    text = json.dumps(asdict(prepared))
    write_secret_file(papers / "parking.json", text.encode(), replace=True)


async def _build(tx: Tx, services: Services, gate_key: Sm2PrivateKey) -> None:
    now = services.clock.now()
    for party_id, kind, name, partner_id, merchant in _PARTIES:
        await assets.enter_party(
            tx, party_id, kind=kind, name=name, merchant=merchant, now=now, partner_id=partner_id
        )
    lot = await assets.put_lot(
        tx,
        LOT,
        operator_id=OPERATOR,
        name="示范市民广场停车场",
        latitude_udeg=22_543_000,
        longitude_udeg=114_057_000,
        capacity=120,
        base_search_s=396,
        now=now,
    )
    await devices.register_device(
        tx,
        GATE,
        operator_id=OPERATOR,
        place=LOT,
        lane="1",
        purpose="gate",
        public_key=gate_key.public_key.to_bytes(),
        now=now,
    )
    if await assets.spaces_of_owner(tx, "square-owner"):
        return
    policy = windows.read_policy(WINDOWS)
    for n in range(SPACES):
        space = await assets.add_space(tx, lot, f"S-{n + 1:02d}", "standard", "square-owner", now)
        await assets.set_policy(tx, space.space_id, policy)
        await right_changed(tx, space.space_id)


async def _yesterday(
    services: Services, gate_key: Sm2PrivateKey, statement_key: Sm2PrivateKey
) -> Prepared:
    """A reservation of yesterday morning by one of the city's citizens, in a full car park."""
    city_tz, now = services.settings.city_tz, services.clock.now()
    calendar, plates = city_calendar(city_tz), Plates(services.vault)
    name = secrets.choice(CITIZENS)
    plate = f"粤B{secrets.randbelow(90_000) + 10_000}"
    midnight = datetime.combine(
        city_day(now, city_tz) - timedelta(days=1), datetime.min.time(), ZoneInfo(city_tz)
    )
    # Somewhere in the morning, so that a tour taken again finds another time free.
    starts_at = midnight + timedelta(hours=8, minutes=secrets.randbelow(120))
    ends_at = starts_at + timedelta(hours=2)
    async with services.db.transaction() as tx:
        citizen_id = await citizens.create_or_get(
            tx, services.vault, "sandbox", name, services.clock
        )
        await citizens.give_consent(
            tx, citizen_id, PARTNER_ID, SCENARIO, whole_second(now - CONSENT_AGE)
        )
        await assets.bind_vehicle(
            tx, plates, citizen_id, plate, vehicle_class="small", fuel="petrol", now=now
        )
        lot = await assets.find_lot(tx, LOT)
        await assets.count_spaces(tx, lot, [(starts_at - timedelta(minutes=10), 114, 120)])
        space = secrets.choice(await assets.spaces_of_owner(tx, "square-owner"))
        held = await reserve_space(
            tx,
            plates,
            calendar,
            citizen_id,
            Wish(space.space_id, plate, starts_at, ends_at, confirmed=True),
            starts_at - timedelta(minutes=30),
        )
        arrived_at = starts_at - timedelta(seconds=96)
        await reservations.arrive(tx, citizen_id, held.reservation_id, arrived_at)
    return Prepared(
        citizen=name,
        plate=plate,
        starts_at=starts_at.isoformat(),
        ends_at=ends_at.isoformat(),
        reservation_id=str(held.reservation_id),
        day=starts_at.date().isoformat(),
        gate_key_pem=gate_key.to_pem().decode(),
        statement_key_pem=statement_key.to_pem().decode(),
    )


@dataclass(slots=True)
class Visit:
    """A driver, a gate, an operator and a party, each with what only they hold."""

    base_url: str
    rpc_url: str
    http: httpx.Client
    operator: Credentials
    papers: Path

    def walk(self) -> dict[str, Any]:
        """Gates, payment, statement, check against the chain, co-signature. Raises ValueError."""
        prepared = Prepared(**json.loads((self.papers / "parking.json").read_bytes()))
        door = PartnerDoor(self.base_url, self.operator, self.http)
        phone = self._sign_in(prepared.citizen)
        self._second_booking_is_refused(phone, prepared)
        self._pass_gates(door, prepared)
        stay = self._pay(phone, prepared)
        file = self._statement(door, prepared)
        check = check_parking_statement(file)
        if not check.holds:
            raise ValueError("; ".join(check.faults))
        self._tampered_fails(file)
        self._on_chain(check.account, check.count, check.root, prepared, check.part)
        key = Sm2PrivateKey.from_pem(prepared.statement_key_pem)
        path = f"{_statement_path(prepared.day, check.part)}/cosignature"
        signed = door.ask("POST", path, {"signature": sign_parking_statement(check, key)})
        return {
            "charge_fen": stay["charge_fen"],
            "share_fen": check.total_fen,
            "lines": check.count,
            "cosigned_by": signed["key_id"],
        }

    def _sign_in(self, name: str) -> Mapping[str, str]:
        code = f"{name}-{secrets.token_hex(4)}"
        answer = self.http.post(
            f"{self.base_url}/miniapp/v1/login", json={"provider": "sandbox", "code": code}
        )
        answer.raise_for_status()
        return {"authorization": f"Bearer {answer.json()['access_token']}"}

    def _second_booking_is_refused(self, phone: Mapping[str, str], prepared: Prepared) -> None:
        """Two holds of one space for tomorrow: the second is refused; then it is let go."""
        start = datetime.fromisoformat(prepared.starts_at) + timedelta(days=2)
        span = {"from": start.isoformat(), "to": (start + timedelta(hours=1)).isoformat()}
        near = self._get(phone, "/parking/lots", {"near": "22.543,114.057", **span})
        if not near["items"] or near["items"][0]["free"] < 1:
            raise ValueError("no free space was found")
        spaces = self._get(phone, f"/parking/lots/{LOT}/spaces", span)
        wish = {
            "space_id": spaces["items"][0]["space_id"],
            "plate": prepared.plate,
            "starts_at": span["from"],
            "ends_at": span["to"],
        }
        first = self._send(phone, "POST", "/parking/reservations", wish)
        second = self._send(phone, "POST", "/parking/reservations", wish)
        if (first.status_code, second.status_code) != (201, 409):
            raise ValueError(f"two bookings of one space: {first.text}, {second.text}")
        held = first.json()["reservation_id"]
        self._send(phone, "DELETE", f"/parking/reservations/{held}", None).raise_for_status()

    def _pass_gates(self, door: PartnerDoor, prepared: Prepared) -> None:
        """In and out, the exit first and once too often, as an offline buffer sends it."""
        start = datetime.fromisoformat(prepared.starts_at)
        end = datetime.fromisoformat(prepared.ends_at) - timedelta(minutes=5)
        seq = int(time.time() * 1_000)
        key = Sm2PrivateKey.from_pem(prepared.gate_key_pem)
        batches = [
            self._batch(key, prepared, seq + 1, "out", end),
            self._batch(key, prepared, seq, "in", start),
            self._batch(key, prepared, seq + 1, "out", end),
        ]
        answer = door.ask("POST", "/parking/passes", {"batches": batches})
        stored = [each.get("stored") for each in answer["batches"]]
        if stored != [1, 1, 0]:
            raise ValueError(f"the gates' passes: {answer}")

    def _batch(
        self, key: Sm2PrivateKey, prepared: Prepared, seq: int, direction: str, at: datetime
    ) -> dict[str, str]:
        event = {
            "seq": seq,
            "direction": direction,
            "time": at.isoformat(timespec="seconds"),
            "plate": prepared.plate,
        }
        payload = json.dumps({"device_id": GATE, "events": [event]}, ensure_ascii=False)
        text = devices.signed_text(GATE, gates.batch_digest(payload.encode()))
        return {"device_id": GATE, "payload": payload, "signature": _base64(key.sign_der(text))}

    def _pay(self, phone: Mapping[str, str], prepared: Prepared) -> dict[str, Any]:
        stays = self._get(phone, "/parking/stays", {})["items"]
        begun = datetime.fromisoformat(prepared.starts_at)
        mine = next(s for s in stays if datetime.fromisoformat(s["entered_at"]) == begun)
        path = f"/parking/stays/{mine['stay_id']}/pay"
        self._send(phone, "POST", path, {}).raise_for_status()
        return mine

    def _statement(self, door: PartnerDoor, prepared: Prepared) -> bytes:
        """Wait until the day's statement that holds this stay is closed and on chain."""
        deadline_s = time.monotonic() + WAIT_S_MAX
        while time.monotonic() < deadline_s:
            listed = door.ask("GET", f"/parking/statements/{prepared.day}")["items"]
            fresh = [s for s in listed if s["party"] == "square-operator" and not s["cosigned"]]
            if fresh:
                file = door.ask("GET", _statement_path(prepared.day, fresh[-1]["part"]))
                if file["tx"] is not None:
                    return json.dumps(file, ensure_ascii=False).encode()
            time.sleep(0.2)
        raise ValueError(f"no statement on chain after {WAIT_S_MAX} s")

    def _tampered_fails(self, file: bytes) -> None:
        document = json.loads(file)
        document["lines"][0]["amount_fen"] += 100
        if check_parking_statement(json.dumps(document).encode()).holds:
            raise ValueError("a statement with a changed line passed the check")

    def _on_chain(
        self, account: bytes, count: int, root: bytes, prepared: Prepared, part: int
    ) -> None:
        trust = self.http.get(f"{self.base_url}/public/v1/trust").json()
        contract = trust["chain"]["contracts"]["ParkingSettlement"]["address"]
        settled = asyncio.run(
            check_on_chain(
                self.rpc_url,
                contract,
                lot_id=LOT,
                day=date.fromisoformat(prepared.day),
                part=part,
                account=account,
                count=count,
                root=root,
            )
        )
        if settled.reason:
            raise ValueError(settled.reason)

    def _get(self, phone: Mapping[str, str], path: str, query: Mapping[str, str]) -> dict[str, Any]:
        answer = self.http.get(
            f"{self.base_url}/miniapp/v1{path}", params=dict(query), headers=dict(phone)
        )
        answer.raise_for_status()
        return answer.json()

    def _send(
        self, phone: Mapping[str, str], method: str, path: str, body: object
    ) -> httpx.Response:
        headers = {**phone, "idempotency-key": secrets.token_hex(16)}
        return self.http.request(
            method, f"{self.base_url}/miniapp/v1{path}", json=body, headers=headers
        )


def _statement_path(day: str, part: int) -> str:
    return f"/parking/lots/{LOT}/statements/{day}/{part}/square-operator"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
