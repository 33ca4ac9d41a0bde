r"""Everything we hold of a person, in one signed file for them alone.

The signature covers `tanhui-export-v1\n<export id>\n<SM3 of the document as CJ>\n`, by the key that
signs the log's heads, so whoever has trust.json can check it.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from backend import views
from backend.flows.seal_log import CHECKPOINT_KEY
from backend.kit import canonical
from backend.kit.clock import to_text
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.services import Services
from backend.kit.sm import sm3
from backend.rewards import redemptions

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class PersonExport:
    """A signed file: `document` is canonical JSON; `signature` b64 of DER, `public_key` b64."""

    export_id: UUID
    document: bytes
    sm3: str
    text: str
    signature: str
    public_key: str


async def export_person(tx: Tx, services: Services, citizen_id: UUID) -> PersonExport:
    """All rows of a person, opened, as of one snapshot. `tx` is repeatable read."""
    document = canonical.dumps(
        {
            "format": "tanhui-person-v1",
            "issuer": services.settings.issuer_id,
            "exported_at": to_text(services.clock.now()),
            "citizen": await _citizen(tx, citizen_id),
            **{name: await _rows(tx, sql, citizen_id) for name, sql in _TABLES.items()},
            "activities": await _activities(tx, citizen_id),
            "redemptions": await _redemptions(tx, services, citizen_id),
        }
    )
    export_id, digest = new_id(), sm3(document).hex()
    text = f"tanhui-export-v1\n{export_id}\n{digest}\n"
    key = services.vault.sm2_key(CHECKPOINT_KEY)
    return PersonExport(
        export_id,
        document,
        digest,
        text,
        b64encode(key.sign_der(text.encode())).decode(),
        b64encode(key.public_key.to_bytes()).decode(),
    )


_TABLES = {
    "consents": """SELECT c.consent_id, c.partner_id, c.scenario, c.given_at, c.withdrawn_at,
                          r.text_version, encode(r.text_digest, 'hex') AS text_sm3
                   FROM consent AS c LEFT JOIN consent_receipt AS r USING (consent_id)
                   WHERE c.citizen_id = $1 ORDER BY c.consent_id""",
    "movements": """SELECT transfer_id AS movement_id, act, class, amount, of_transfer,
                           programme_id, city_day, note, created_at
                    FROM transfer WHERE citizen_id = $1 ORDER BY transfer_id""",
    "notices": """SELECT topic, about, facts, created_at, read_at FROM citizen_notice
                  WHERE citizen_id = $1 ORDER BY notice_id""",
    "accesses": """SELECT who, what, why, at FROM citizen_access
                   WHERE citizen_id = $1 ORDER BY access_id""",
    "appeals": """SELECT case_id AS appeal_id, kind, about_kind, about, state, deadline, opened_at,
                         outcome, reason, remedy, decided_at
                  FROM case_file WHERE citizen_id = $1 ORDER BY case_id""",
    "shares": """SELECT share_id, transfer_id, created_at, expires_at, revoked_at FROM share
                 WHERE citizen_id = $1 ORDER BY created_at, share_id""",
    "sign_ins": """SELECT device, created_at, revoked_at FROM login
                   WHERE citizen_id = $1 ORDER BY login_id""",
    "partners_bound": """SELECT partner_id, created_at FROM binding
                         WHERE citizen_id = $1 ORDER BY binding_id""",
}


async def _citizen(tx: Tx, citizen_id: UUID) -> dict[str, Any]:
    person = await views.person_of(tx, citizen_id)
    if person is None:
        raise LookupError(f"no citizen {citizen_id}")
    return {
        "citizen_id": str(citizen_id),
        "provider": person.provider,
        "created_at": to_text(person.created_at),
        "accounts": {name: account.hex() for name, account in person.accounts.items()},
    }


async def _rows(tx: Tx, sql: str, citizen_id: UUID) -> list[dict[str, Any]]:
    return [_plain(row) for row in await tx.fetch(sql, citizen_id)]


async def _activities(tx: Tx, citizen_id: UUID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: UUID | None = None
    while True:
        page = await views.activities_of(tx, citizen_id, before=before, limit=PAGE)
        found += [
            {
                "activity_id": str(each.activity_id),
                "partner_id": each.partner_id,
                "event_id": each.event_id,
                "scenario": each.scenario,
                "occurred_at": each.occurred_text,
                "city_day": each.city_day.isoformat(),
                "state": each.state,
                "reason": each.reason,
                "reduction_mg": each.reduction_mg,
                "points": each.points,
            }
            for each in page
        ]
        if len(page) < PAGE:
            return found
        before = page[-1].activity_id


async def _redemptions(tx: Tx, services: Services, citizen_id: UUID) -> list[dict[str, Any]]:
    found: Sequence[redemptions.Redemption] = await redemptions.redemptions_of(
        tx, citizen_id, before=None, limit=100_000
    )
    return [
        {
            "redemption_id": str(each.redemption_id),
            "reward_id": each.reward_id,
            "price_points": each.price_points,
            "state": each.state,
            "code": each.code(services.vault),
            "created_at": to_text(each.created_at),
        }
        for each in found
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON knows it: days, instants and ids as text."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            plain[name] = to_text(value)
        elif isinstance(value, date | UUID):
            plain[name] = str(value)
        elif name == "facts":
            plain[name] = json.loads(value)
        else:
            plain[name] = value
    return plain
