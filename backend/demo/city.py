"""The sample city: partners, citizens, consents and officials, entered by the product's own code.

Everything here can be run again at any moment. Secrets that a partner or official would hold are
written to `var/demo/city.json` (mode 600) before the platform learns of them, so that a start
that was killed half way continues with the same keys.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from backend import citizens, methodology, partners
from backend.kit.clock import to_text, whole_second
from backend.kit.db import Tx
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import write_secret_file
from backend.partners import Scheme

METRO = "transit.metro.trip"
CITIZENS = tuple(f"demo-{number:02d}" for number in range(1, 21))
CONSENT_AGE = timedelta(days=3 * 365)
"""How long before the first start the sample citizens consented; replayed files fall inside."""


class Plan(NamedTuple):
    """A partner as the city's planner has it, before it holds a key."""

    partner_id: str
    name: str
    scheme: Scheme
    scenarios: tuple[str, ...]
    replay: bool


PLANS = (
    Plan("metro", "示范地铁", "v1s2", (METRO,), replay=False),
    Plan("bus", "示范公交", "v1sm", ("transit.bus.trip",), replay=False),
    Plan("bike", "示范单车", "v1", ("bike.shared.ride", "bike.electric.ride"), replay=False),
    Plan("grid", "示范电网", "v1s2", ("energy.home.month",), replay=False),
    Plan("charge", "示范充电", "v1", ("ev.charge.session",), replay=False),
    Plan("parking", "示范停车", "v1s2", ("parking.shared.stay",), replay=False),
    Plan("metro-archive", "示范地铁(历史数据导入)", "v1", (METRO,), replay=True),
    Plan("bus-archive", "示范公交(历史数据导入)", "v1", ("transit.bus.trip",), replay=True),
    Plan("bike-archive", "示范单车(历史数据导入)", "v1", ("bike.shared.ride",), replay=True),
    Plan("energy-archive", "示范电网(历史数据导入)", "v1", ("energy.home.month",), replay=True),
    Plan("ev-archive", "示范充电(历史数据导入)", "v1", ("ev.charge.session",), replay=True),
)
"""The city's partners; one takes part once the platform knows one of its scenarios."""


@dataclass(frozen=True, slots=True)
class SamplePartner:
    """One partner of the sample city, with what only it would hold."""

    partner_id: str
    name: str
    scheme: Scheme
    key_id: str
    secret: str | None
    private_key_pem: str | None
    scenarios: list[str]
    replay: bool


@dataclass(frozen=True, slots=True)
class SampleOfficial:
    """One official of the sample city: the password of account and key file, the authenticator."""

    user: str
    name: str
    role: str
    password: str
    totp_secret: str | None = None


OFFICES = (
    ("sys-admin", "系统管理员", "system_admin"),
    ("sec-admin", "安全管理员", "security_admin"),
    ("audit-admin", "审计管理员", "audit_admin"),
    ("drafter-a", "起草人甲", "drafter"),
    ("approver-a", "审批人甲", "approver"),
    ("approver-b", "审批人乙", "approver"),
    ("finance-a", "财务甲", "finance"),
    ("auditor-a", "审计员甲", "auditor"),
    ("partners-a", "合作方管理员甲", "partner_manager"),
)
"""(user, name, role) of everybody in office."""

FEWEST_OFFICES = tuple(
    each for each in OFFICES if each[2] in ("system_admin", "security_admin", "approver")
)
"""Without these nothing can be enacted."""


@dataclass(frozen=True, slots=True)
class City:
    """The sample city's outside holdings, as kept in `city.json`."""

    partners: tuple[SamplePartner, ...]
    officials: tuple[SampleOfficial, ...]

    def partner(self, partner_id: str) -> SamplePartner:
        """One partner by id."""
        return next(p for p in self.partners if p.partner_id == partner_id)

    def with_official(self, changed: SampleOfficial) -> "City":
        """The city with one official's entry replaced."""
        people = tuple(changed if each.user == changed.user else each for each in self.officials)
        return replace(self, officials=people)


def load_or_draw(path: Path, offices: Sequence[tuple[str, str, str]] = OFFICES) -> City:
    """The city's holdings from the file, drawn and written first where there is none."""
    raw: Mapping[str, Any] = {"partners": [], "officials": []}
    if path.exists():
        raw = json.loads(path.read_text("utf-8"))
    known = {entry["partner_id"]: SamplePartner(**entry) for entry in raw["partners"]}
    people = {entry["user"]: SampleOfficial(**entry) for entry in raw["officials"]}
    officials = tuple(
        people.get(user) or SampleOfficial(user, name, role, secrets.token_urlsafe(16))
        for user, name, role in offices
    )
    plans = [plan for plan in PLANS if set(plan.scenarios) <= methodology.scenarios().keys()]
    city = City(tuple(known.get(plan.partner_id) or _drawn(plan) for plan in plans), officials)
    save(path, city)
    return city


def save(path: Path, city: City) -> None:
    """Keep the city's holdings in a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(city), ensure_ascii=False, indent=1).encode()
    write_secret_file(path, text, replace=True)


def _drawn(plan: Plan) -> SamplePartner:
    secret = pem = None
    if plan.scheme == "v1s2":
        pem = Sm2PrivateKey.generate().to_pem().decode()
    else:
        secret = partners.new_webhook_secret()
    return SamplePartner(
        partner_id=plan.partner_id,
        name=plan.name,
        scheme=plan.scheme,
        key_id=f"{plan.partner_id}-{plan.scheme}-1",
        secret=secret,
        private_key_pem=pem,
        scenarios=list(plan.scenarios),
        replay=plan.replay,
    )


async def settle(services: Services, city: City, kept: Path) -> list[dict[str, Any]]:
    """Enter partners, citizens, consents and bindings. Returns `sign_ins.partners` of api.md.

    `kept` is the partners' own file of binding tokens: who is bound there is not bound again.
    """
    bound = _bound_before(kept)
    async with services.db.transaction() as tx:
        known = {row["key_id"] for row in await tx.fetch("SELECT key_id FROM partner_key")}
        first_start = await tx.fetchval("SELECT min(created_at) FROM partner")
        now = services.clock.now()
        for partner in city.partners:
            await _enter_partner(tx, services, partner, known_keys=known)
        consented_at = whole_second((first_start or now) - CONSENT_AGE)
        people = {
            name: await citizens.create_or_get(tx, services.vault, "sandbox", name, services.clock)
            for name in CITIZENS
        }
        stand = {row["partner_id"] for row in await tx.fetch("SELECT partner_id FROM binding")}
        for partner in city.partners:
            if partner.partner_id not in bound or partner.partner_id not in stand:
                subjects = await _bind(tx, services, partner, people, consented_at)
                bound[partner.partner_id] = subjects
    write_secret_file(kept, json.dumps(bound).encode(), replace=True)
    return [_sign_in(partner, bound[partner.partner_id]) for partner in city.partners]


def _bound_before(kept: Path) -> dict[str, list[dict[str, Any]]]:
    return json.loads(kept.read_text("utf-8")) if kept.exists() else {}


async def _bind(
    tx: Tx,
    services: Services,
    partner: SamplePartner,
    people: Mapping[str, UUID],
    consented_at: datetime,
) -> list[dict[str, Any]]:
    """Everybody consents to the partner's scenarios; one binding token serves them all."""
    subjects: list[dict[str, Any]] = []
    for name, citizen_id in people.items():
        for scenario in partner.scenarios:
            consent = await citizens.give_consent(
                tx, citizen_id, partner.partner_id, scenario, consented_at
            )
            code = await citizens.new_binding_code(
                tx, citizen_id, consent.consent_id, partner.partner_id, services.clock
            )
            token = await citizens.exchange_code(
                tx, services.vault, partner.partner_id, code.code, name, services.clock
            )
            subjects.append(
                {
                    "token": token,
                    "citizen": name,
                    "scenario": scenario,
                    "consent_from": to_text(consent.given_at),
                }
            )
    return subjects


async def _enter_partner(
    tx: Tx, services: Services, partner: SamplePartner, *, known_keys: set[str]
) -> None:
    now = services.clock.now()
    await partners.register_partner(
        tx,
        partner.partner_id,
        partner.name,
        required_scheme=partner.scheme,
        scenarios=partner.scenarios,
        now=now,
        replay=partner.replay,
    )
    if partner.key_id in known_keys:
        return
    public_key = None
    if partner.private_key_pem is not None:
        public_key = Sm2PrivateKey.from_pem(partner.private_key_pem.encode()).public_key
    await partners.add_key(
        tx,
        services.vault,
        partner.partner_id,
        partner.key_id,
        scheme=partner.scheme,
        valid_from=now,
        secret=partner.secret,
        public_key=None if public_key is None else public_key.to_bytes(),
    )


def _sign_in(partner: SamplePartner, subjects: list[dict[str, Any]]) -> dict[str, Any]:
    key = (
        {"secret": partner.secret}
        if partner.secret is not None
        else {"private_key_pem": partner.private_key_pem}
    )
    return {
        "partner_id": partner.partner_id,
        "scheme": partner.scheme,
        "key_id": partner.key_id,
        **key,
        "scenarios": partner.scenarios,
        "subjects": subjects,
    }
