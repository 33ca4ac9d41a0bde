"""The sample city: partners, citizens, consents and officials, entered by the product's own code.

Everything here can be run again at any moment. Secrets that a partner or official would hold are
written to `var/demo/city.json` (mode 600) before the platform learns of them, so that a start
that was killed half way continues with the same keys.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from backend import citizens, partners
from backend.kit.clock import to_text, whole_second
from backend.kit.db import Tx
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import write_secret_file

SCENARIO = "transit.metro.trip"
CITIZENS = tuple(f"demo-{number:02d}" for number in range(1, 21))
CONSENT_AGE = timedelta(days=90)
"""How long before the first start the sample citizens consented; replayed trips fall inside."""


@dataclass(frozen=True, slots=True)
class SamplePartner:
    """One partner of the sample city, with what only it would hold."""

    partner_id: str
    name: str
    scheme: str
    key_id: str
    secret: str | None
    private_key_pem: str | None
    replay: bool


@dataclass(frozen=True, slots=True)
class SampleOfficial:
    """One official of the sample city and the password of their key file."""

    user: str
    name: str
    role: str
    password: str


@dataclass(frozen=True, slots=True)
class City:
    """The sample city's outside holdings, as kept in `city.json`."""

    partners: tuple[SamplePartner, ...]
    officials: tuple[SampleOfficial, ...]

    def partner(self, partner_id: str) -> SamplePartner:
        """One partner by id."""
        return next(p for p in self.partners if p.partner_id == partner_id)


def load_or_draw(path: Path) -> City:
    """The city's holdings from the file, drawn and written first where there is none."""
    if path.exists():
        raw = cast("Mapping[str, Any]", json.loads(path.read_text("utf-8")))
        return City(
            tuple(SamplePartner(**entry) for entry in raw["partners"]),
            tuple(SampleOfficial(**entry) for entry in raw["officials"]),
        )
    city = City(
        partners=(
            _with_sm2_key("metro", "示范地铁", replay=False),
            _with_secret("metro-archive", "示范地铁(历史数据导入)", replay=True),
        ),
        officials=(
            SampleOfficial("approver-a", "审批人甲", "approver", secrets.token_urlsafe(16)),
            SampleOfficial("approver-b", "审批人乙", "approver", secrets.token_urlsafe(16)),
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret_file(path, json.dumps(asdict(city), ensure_ascii=False, indent=1).encode())
    return city


def _with_sm2_key(partner_id: str, name: str, *, replay: bool) -> SamplePartner:
    pem = Sm2PrivateKey.generate().to_pem().decode()
    return SamplePartner(partner_id, name, "v1s2", f"{partner_id}-sm2-1", None, pem, replay)


def _with_secret(partner_id: str, name: str, *, replay: bool) -> SamplePartner:
    secret = partners.new_webhook_secret()
    return SamplePartner(partner_id, name, "v1", f"{partner_id}-hmac-1", secret, None, replay)


async def settle(services: Services, city: City) -> list[dict[str, Any]]:
    """Enter partners, citizens, consents and bindings. Returns `sign_ins.partners` of api.md."""
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
        entries: list[dict[str, Any]] = []
        for partner in city.partners:
            subjects: list[dict[str, Any]] = []
            for name, citizen_id in people.items():
                consent = await citizens.give_consent(
                    tx, citizen_id, partner.partner_id, SCENARIO, consented_at
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
                        "scenario": SCENARIO,
                        "consent_from": to_text(consent.given_at),
                    }
                )
            entries.append(_sign_in(partner, subjects))
    return entries


async def _enter_partner(
    tx: Tx, services: Services, partner: SamplePartner, *, known_keys: set[str]
) -> None:
    now = services.clock.now()
    await partners.register_partner(
        tx,
        partner.partner_id,
        partner.name,
        required_scheme="v1s2" if partner.scheme == "v1s2" else "v1",
        scenarios=[SCENARIO],
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
        scheme="v1s2" if partner.scheme == "v1s2" else "v1",
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
        "scenarios": [SCENARIO],
        "subjects": subjects,
    }
