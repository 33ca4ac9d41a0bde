"""Keeping evidence: what is known already, writing an upload in one go, reading it back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import msgspec

from backend.evidence.bodies import day_key, day_keys, decrypt_bodies, encrypt_bodies
from backend.evidence.events import Event, Rejected, event_digest
from backend.kit.db import Row, Tx
from backend.kit.ids import new_ids
from backend.kit.sm import sm3
from backend.kit.vault import Vault

EVIDENCE_COLUMNS = [
    "evidence_id",
    "upload_id",
    "partner_id",
    "source",
    "event_id",
    "event_digest",
    "scenario",
    "citizen_id",
    "occurred_at",
    "occurred_text",
    "originaltime",
    "city_day",
    "origin",
    "evidence_level",
    "recorded_at",
]
BODY_COLUMNS = ["evidence_id", "recorded_day", "nonce", "position", "body"]
REJECTION_COLUMNS = [
    "rejection_id",
    "upload_id",
    "partner_id",
    "n",
    "digest",
    "reason",
    "rejected_at",
]
DECISION_COLUMNS = [
    "evidence_id",
    "state",
    "reason",
    "method_id",
    "method_version",
    "reduction_mg",
    "decided_at",
]


_IDENTITY = attrgetter("event.event_id", "event.source")


class IdentityTaken(Exception):
    """Another upload recorded one of these events while we were at it: look again."""


class PoisonRow(Exception):
    """The database refuses one of these rows for what it holds."""


class EvidenceDamaged(Exception):
    """A stored body does not have the digest that was recorded with it."""

    def __init__(self, evidence_id: UUID) -> None:
        super().__init__(f"the body of evidence {evidence_id} does not match its digest")
        self.evidence_id = evidence_id


class Recorded(NamedTuple):
    """An event of this partner that is recorded already."""

    evidence_id: UUID
    digest: bytes


class Accepted(NamedTuple):
    """An event about to be recorded, with what recording adds to it."""

    evidence_id: UUID
    event: Event
    citizen_id: UUID
    evidence_level: str


@dataclass(frozen=True, slots=True)
class Upload:
    """The frame of an upload: the same for all its rows."""

    upload_id: UUID
    partner_id: str
    webhook_id: str
    request_digest: bytes
    scheme: str
    key_id: str
    origin: str
    received_at: datetime
    event_count: int

    @property
    def recorded_day(self) -> date:
        """The UTC day whose partition and key its bodies use."""
        return self.received_at.astimezone(UTC).date()


class StoredAnswer(NamedTuple):
    """What an earlier request under the same webhook-id was, and was answered."""

    request_digest: bytes
    answer: bytes


class EvidenceRow(NamedTuple):
    """Evidence as the award flow reads it. `data` is None once the body has been erased."""

    evidence_id: UUID
    upload_id: UUID
    partner_id: str
    source: str
    event_id: str
    digest: bytes
    scenario: str
    citizen_id: UUID
    occurred_at: datetime
    occurred_text: str
    originaltime: str | None
    city_day: date
    origin: str
    evidence_level: str
    data: dict[str, Any] | None


class Decision(NamedTuple):
    """What became of an event: a row of `decision`. `reason` is set exactly when refused."""

    evidence_id: UUID
    state: Literal["refused", "awarded", "applied"]
    reason: str | None
    method_id: str | None
    method_version: int | None
    reduction_mg: int | None
    decided_at: datetime


async def stored_answer(tx: Tx, partner_id: str, webhook_id: str) -> StoredAnswer | None:
    """The answer given to this webhook-id, after waiting for a twin that is being answered."""
    name = f"tanhui-upload-v1\n{partner_id}\n{webhook_id}"
    await tx.lock(int.from_bytes(sm3(name.encode())[:8], signed=True))
    row = await tx.fetchrow(
        "SELECT request_digest, answer FROM upload WHERE partner_id = $1 AND webhook_id = $2",
        partner_id,
        webhook_id,
    )
    return None if row is None else StoredAnswer(row["request_digest"], row["answer"])


async def recorded_identities(
    tx: Tx, partner_id: str, identities: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Recorded]:
    """Which (source, event_id) of this partner are recorded, and with which digest."""
    # Arrays rather than a join: whatever the planner believes about the table's size, it reads the
    # index or the table once, never the table once for each event.
    rows = await tx.fetch(
        """SELECT source, event_id, evidence_id, event_digest FROM evidence
           WHERE partner_id = $1 AND event_id = ANY($2::text[]) AND source = ANY($3::text[])""",
        partner_id,
        [event_id for _, event_id in identities],
        list({source for source, _ in identities}),
    )
    return {
        (row["source"], row["event_id"]): Recorded(row["evidence_id"], row["event_digest"])
        for row in rows
    }


async def store_events(
    tx: Tx, vault: Vault, upload: Upload, accepted: Sequence[Accepted], *, careful: bool = False
) -> list[Accepted]:
    """Write events and their encrypted bodies by COPY; those the database refuses, if any.

    Raises `IdentityTaken`, or `PoisonRow` when a row is refused for what it holds; both leave the
    transaction broken. With `careful` a poison row is found by halving under savepoints and
    returned, and all others are written.
    """
    if not accepted:
        return []
    key = await day_key(tx, vault, upload.recorded_day)
    # Written in the order of identities, two uploads with common events never wait crosswise.
    ordered = sorted(accepted, key=_IDENTITY)
    nonce, bodies = encrypt_bodies(key, [one.event.canonical for one in ordered])
    rows = [
        (
            evidence_id,
            upload.upload_id,
            upload.partner_id,
            event.source,
            event.event_id,
            event.digest,
            event.scenario,
            citizen_id,
            event.occurred_at,
            event.occurred_text,
            event.originaltime,
            event.city_day,
            upload.origin,
            evidence_level,
            upload.received_at,
        )
        for evidence_id, event, citizen_id, evidence_level in ordered
    ]
    day = upload.recorded_day
    body_rows = [
        (one.evidence_id, day, nonce, position, body)
        for one, (position, body) in zip(ordered, bodies, strict=True)
    ]
    if not careful:
        await _copy(tx, rows, body_rows)
        return []
    poisoned = await _copy_by_halves(tx, rows, body_rows)
    return [ordered[i] for i in poisoned]


async def _copy(tx: Tx, rows: Sequence[Any], body_rows: Sequence[Any]) -> None:
    try:
        await tx.copy("evidence", EVIDENCE_COLUMNS, rows)
        await tx.copy("evidence_body", BODY_COLUMNS, body_rows)
    except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError) as error:
        raise IdentityTaken from error
    except (asyncpg.PostgresError, ValueError, OverflowError, TypeError) as error:
        if _refuses_content(error):
            raise PoisonRow(str(error)[:200]) from error
        raise


async def _copy_by_halves(tx: Tx, rows: Sequence[Any], body_rows: Sequence[Any]) -> list[int]:
    """Positions of the rows that cannot be written; the others are."""
    poisoned: list[int] = []
    pending = [(0, len(rows))]
    while pending:
        start, end = pending.pop()
        try:
            async with tx.savepoint():
                await _copy(tx, rows[start:end], body_rows[start:end])
        except PoisonRow:
            if end - start == 1:
                poisoned.append(start)
            else:
                middle = (start + end) // 2
                pending += [(middle, end), (start, middle)]
    return poisoned


# SQLSTATE classes: data exception, integrity constraint, program limit exceeded.
_CONTENT_CLASSES = ("22", "23", "54")


def _refuses_content(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        sqlstate: str = getattr(error, "sqlstate", None) or ""
        return sqlstate[:2] in _CONTENT_CLASSES
    return True  # the driver could not even encode a value


async def store_upload(
    tx: Tx,
    upload: Upload,
    accepted: Sequence[Accepted],
    rejected: Sequence[Rejected],
    answer: bytes,
) -> None:
    """Write the upload with its answer, and the rejections as digest and reason."""
    if rejected:
        ids = new_ids(len(rejected))
        await tx.copy(
            "rejection",
            REJECTION_COLUMNS,
            [
                (
                    rejection_id,
                    upload.upload_id,
                    upload.partner_id,
                    one.n,
                    one.digest,
                    one.problem,
                    upload.received_at,
                )
                for rejection_id, one in zip(ids, rejected, strict=True)
            ],
        )
    ids_accepted = [one.evidence_id for one in accepted]
    await tx.execute(
        """INSERT INTO upload (upload_id, partner_id, webhook_id, request_digest, scheme, key_id,
               received_at, event_count, evidence_from, evidence_to, answer)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)""",
        upload.upload_id,
        upload.partner_id,
        upload.webhook_id,
        upload.request_digest,
        upload.scheme,
        upload.key_id,
        upload.received_at,
        upload.event_count,
        min(ids_accepted, default=None),
        max(ids_accepted, default=None),
        answer,
    )


_SELECT_ROWS = """
    SELECT e.evidence_id, e.upload_id, e.partner_id, e.source, e.event_id, e.event_digest,
           e.scenario, e.citizen_id, e.occurred_at, e.occurred_text, e.originaltime, e.city_day,
           e.origin, e.evidence_level, b.recorded_day, b.nonce, b.position, b.body
    FROM evidence e
    LEFT JOIN evidence_body b ON b.evidence_id = e.evidence_id
         AND b.recorded_day = (e.recorded_at AT TIME ZONE 'UTC')::date
"""


async def load_upload(tx: Tx, vault: Vault, upload_id: UUID) -> list[EvidenceRow]:
    """The events of an upload in the order in which they were reported.

    Raises `EvidenceDamaged` if a body is not the one that was recorded.
    """
    rows = await tx.fetch(
        _SELECT_ROWS
        + """JOIN upload u ON u.upload_id = $1
             WHERE e.evidence_id BETWEEN u.evidence_from AND u.evidence_to
               AND e.upload_id = $1
             ORDER BY e.evidence_id""",
        upload_id,
    )
    return await _open_rows(tx, vault, rows)


async def load_evidence(tx: Tx, vault: Vault, evidence_ids: Iterable[UUID]) -> list[EvidenceRow]:
    """Some events by id, in the order of their ids; unknown ids are absent."""
    rows = await tx.fetch(
        _SELECT_ROWS + "WHERE e.evidence_id = ANY($1::uuid[]) ORDER BY e.evidence_id",
        list(evidence_ids),
    )
    return await _open_rows(tx, vault, rows)


_decode = msgspec.json.Decoder().decode


async def _open_rows(tx: Tx, vault: Vault, rows: Sequence[Row]) -> list[EvidenceRow]:
    keys = await day_keys(tx, vault, (r["recorded_day"] for r in rows if r["body"] is not None))
    streams: dict[tuple[date, bytes], list[int]] = {}
    for i, row in enumerate(rows):
        if row["body"] is not None and row["recorded_day"] in keys:
            streams.setdefault((row["recorded_day"], row["nonce"]), []).append(i)
    bodies: list[bytes | None] = [None] * len(rows)
    for (day, nonce), members in streams.items():
        parts = [(rows[i]["position"], rows[i]["body"]) for i in members]
        for i, body in zip(members, decrypt_bodies(keys[day], nonce, parts), strict=True):
            bodies[i] = body
    opened: list[EvidenceRow] = []
    for row, body in zip(rows, bodies, strict=True):
        data: dict[str, Any] | None = None
        if body is not None:
            if event_digest(row["partner_id"], body) != row["event_digest"]:
                raise EvidenceDamaged(row["evidence_id"])
            data = _decode(body)["data"]
        opened.append(EvidenceRow._make((*list(row.values())[:14], data)))
    return opened


async def decide(tx: Tx, decisions: Sequence[Decision]) -> None:
    """Write what became of events; each event is decided once."""
    await tx.copy("decision", DECISION_COLUMNS, decisions)


async def states_of(tx: Tx, evidence_ids: Iterable[UUID]) -> dict[UUID, str]:
    """`recorded`, `refused` or `awarded`, as far as this room knows; unknown ids are absent."""
    rows = await tx.fetch(
        """SELECT e.evidence_id, coalesce(d.state, 'recorded') AS state
           FROM evidence e LEFT JOIN decision d USING (evidence_id)
           WHERE e.evidence_id = ANY($1::uuid[])""",
        list(evidence_ids),
    )
    return {row["evidence_id"]: row["state"] for row in rows}


@dataclass(frozen=True, slots=True)
class Fate:
    """Which upload recorded an event, and why it was refused or taken back if it was."""

    upload_id: UUID
    reason: str | None


async def fates_of(tx: Tx, evidence_ids: Iterable[UUID]) -> dict[UUID, Fate]:
    """Upload and reason of refusal by evidence id; unknown ids are absent."""
    rows = await tx.fetch(
        """SELECT e.evidence_id, e.upload_id, coalesce(d.reason, s.reason) AS reason
           FROM evidence e LEFT JOIN decision d USING (evidence_id)
           LEFT JOIN supersession s ON s.evidence_id = e.evidence_id
           WHERE e.evidence_id = ANY($1::uuid[])""",
        list(evidence_ids),
    )
    return {row["evidence_id"]: Fate(row["upload_id"], row["reason"]) for row in rows}


async def find_events(
    tx: Tx, partner_id: str, event_id: str, source: str | None = None
) -> list[Row]:
    """A partner's events under this id: one for each source, in the order of recording."""
    return await tx.fetch(
        """SELECT e.evidence_id, e.upload_id, e.source, e.event_id, e.event_digest, e.scenario,
                  e.occurred_text, e.originaltime, e.city_day, e.origin, e.evidence_level,
                  e.recorded_at, coalesce(d.reason, s.reason) AS reason, d.method_id,
                  d.method_version, d.reduction_mg, o.evidence_id AS instead_id,
                  o.partner_id AS instead_partner, o.event_id AS instead_event
           FROM evidence e LEFT JOIN decision d USING (evidence_id)
           LEFT JOIN supersession s ON s.evidence_id = e.evidence_id
                AND (d.reason IS NULL OR d.reason = s.reason)
           LEFT JOIN evidence o ON o.evidence_id = s.by_evidence_id
           WHERE e.partner_id = $1 AND e.event_id = $2 AND ($3::text IS NULL OR e.source = $3)
           ORDER BY e.evidence_id LIMIT 2""",
        partner_id,
        event_id,
        source,
    )


async def find_upload(tx: Tx, partner_id: str, upload_id: UUID) -> Row | None:
    """A partner's upload with the answer it got; None if there is none of this partner."""
    return await tx.fetchrow(
        """SELECT upload_id, webhook_id, scheme, key_id, received_at, event_count, answer
           FROM upload WHERE upload_id = $1 AND partner_id = $2""",
        upload_id,
        partner_id,
    )
