"""Builders of partners, subjects, events and signed requests, each with defaults for everything."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from backend import citizens, partners
from backend.kit.clock import Clock
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.kit.sm import Sm2PrivateKey, hmac_sm3
from backend.kit.vault import Vault
from backend.partners import Partner, Scheme, SignedRequest, sign_content

METRO = "transit.metro.trip"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SM2_KEY = Sm2PrivateKey(0x1234567890ABCDEF)


def an_event(**changes: Any) -> dict[str, Any]:
    """A metro trip that ended at 08:00 of 2026-11-22; `without` names members to leave out."""
    without = changes.pop("without", ())
    event = {
        "specversion": "1.0",
        "id": "t-1",
        "source": "/gate",
        "type": METRO,
        "time": "2026-11-22T08:00:00+08:00",
        "subject": "b",
        "data": {"distance_m": 12000},
    }
    event |= changes
    return {name: value for name, value in event.items() if name not in without}


def as_json(value: Any) -> bytes:
    """Ordinary JSON, as a partner's library would write it: with blanks and unsorted."""
    return json.dumps(value, ensure_ascii=False).encode()


def sign(
    scheme: Scheme, key: bytes | Sm2PrivateKey, webhook_id: str, timestamp: int, body: bytes
) -> str:
    """One entry of the header `webhook-signature`."""
    content = sign_content(webhook_id, timestamp, body, scheme)
    if isinstance(key, Sm2PrivateKey):
        made = key.sign_der(content)
    elif scheme == "v1sm":
        made = hmac_sm3(key, content)
    else:
        made = hmac.new(key, content, hashlib.sha256).digest()
    return f"{scheme},{base64.b64encode(made).decode()}"


def signed_headers(
    body: bytes,
    at: datetime,
    *,
    webhook_id: str = "msg-1",
    scheme: Scheme = "v1",
    key: bytes | Sm2PrivateKey | None = None,
    **more: str,
) -> dict[str, str]:
    """The headers of a signed request; further ones by name with `_` for `-`."""
    if key is None:
        key = SM2_KEY if scheme == "v1s2" else bytes(range(32))
    timestamp = int(at.timestamp())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(scheme, key, webhook_id, timestamp, body),
    } | {name.replace("_", "-"): value for name, value in more.items()}


@dataclass(frozen=True)
class Town:
    """A partner with some citizens who consented to it: `subjects` maps names to tokens."""

    partner_id: str
    subjects: Mapping[str, str]
    citizen_ids: Mapping[str, UUID] = field(default_factory=dict)

    def event(self, n: int | str = 1, **changes: Any) -> dict[str, Any]:
        """The `n`th trip of this town's first citizen."""
        first = next(iter(self.subjects.values()))
        return an_event(**{"id": f"t-{n}", "subject": first} | changes)


async def a_town(
    tx: Tx,
    vault: Vault,
    clock: Clock,
    *,
    partner_id: str = "metro",
    scheme: Scheme = "v1",
    names: tuple[str, ...] = ("an",),
    scenarios: tuple[str, ...] = (METRO,),
    consented_to: tuple[str, ...] = (METRO,),
    given_at: datetime | None = None,
    replay: bool = False,
) -> Town:
    """Register a partner with one key, and citizens bound to it who consented 30 days ago."""
    now = clock.now()
    await partners.register_partner(
        tx,
        partner_id,
        f"合作平台 {partner_id}",
        required_scheme=scheme,
        scenarios=scenarios,
        now=now,
        replay=replay,
    )
    is_sm2 = scheme == "v1s2"
    await partners.add_key(
        tx,
        vault,
        partner_id,
        "key-1",
        scheme=scheme,
        valid_from=now - timedelta(days=30),
        secret=None if is_sm2 else SECRET,
        public_key=SM2_KEY.public_key.to_bytes() if is_sm2 else None,
    )
    tokens: dict[str, str] = {}
    ids: dict[str, UUID] = {}
    for name in names:
        citizen_id = await citizens.create_or_get(tx, vault, "sandbox", name, clock)
        ids[name] = citizen_id
        consent_id = None
        for scenario in consented_to:
            consent = await citizens.give_consent(
                tx, citizen_id, partner_id, scenario, given_at or now - timedelta(days=30)
            )
            consent_id = consent.consent_id
        code = await citizens.new_binding_code(
            tx, citizen_id, consent_id or new_id(), partner_id, clock
        )
        tokens[name] = await citizens.exchange_code(
            tx, vault, partner_id, code.code, f"user-{name}", clock
        )
    return Town(partner_id, tokens, ids)


def a_request(
    partner_id: str = "metro", webhook_id: str = "msg-1", scheme: Scheme = "v1"
) -> SignedRequest:
    """A request whose signature was checked."""
    return SignedRequest(partner_id, webhook_id, scheme, "key-1")


async def the_partner(db: Database, vault: Vault, partner_id: str = "metro") -> Partner:
    """The partner as the door loads it."""
    async with db.transaction(readonly=True) as tx:
        partner = await partners.load_partner(tx, vault, partner_id)
    assert partner is not None
    return partner


def utc_instant(text: str) -> datetime:
    """An instant from its ISO text without a zone, taken as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
