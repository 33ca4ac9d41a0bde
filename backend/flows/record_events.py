"""signed event → evidence: what a partner signed becomes durable before it is answered."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from backend import citizens, evidence
from backend.citizens import Reporter
from backend.evidence import Accepted, Correction, Event, Recorded, Rejected, Upload
from backend.flows.correct_events import place_in_chains
from backend.kit import outbox
from backend.kit.canonical import NotJson
from backend.kit.clock import Clock, city_day
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id, new_ids
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import sm3
from backend.kit.vault import Vault
from backend.partners import Partner, SignedRequest

TIME_AHEAD_MAX = timedelta(seconds=300)
ATTEMPTS_MAX = 5
LEVEL_BY_HMAC = "L2"
"""The highest level of evidence where the platform could have made the signature itself."""

StatesOf = Callable[[Tx, Iterable[UUID]], Awaitable[Mapping[UUID, str]]]


class Scenario(Protocol):
    """What recording needs to know of a scenario."""

    @property
    def data_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of an event's `data`."""
        ...

    @property
    def evidence_level(self) -> str:
        """`L0` to `L4`: the level of a report signed by the partner's own key."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What recording goes by: the same for every upload of this process."""

    checks: Mapping[str, evidence.Check]
    evidence_levels: Mapping[str, str]
    city_tz: str
    replay_allowed: bool
    states_of: StatesOf

    @classmethod
    def of(
        cls,
        scenarios: Mapping[str, Scenario],
        *,
        city_tz: str,
        production: bool,
        states_of: StatesOf = evidence.states_of,
    ) -> "Terms":
        """Compile the scenarios' schemas. Raises `evidence.SchemaNotSupported`."""
        return cls(
            checks={
                name: evidence.compile_schema(scenario.data_schema)
                for name, scenario in scenarios.items()
            },
            evidence_levels={name: scenario.evidence_level for name, scenario in scenarios.items()},
            city_tz=city_tz,
            replay_allowed=not production,
            states_of=states_of,
        )


async def record_events(
    db: Database,
    vault: Vault,
    clock: Clock,
    terms: Terms,
    partner: Partner,
    request: SignedRequest,
    *,
    sent: bytes,
    data: bytes,
) -> bytes:
    """Record an upload in one commit and return its answer (JSON, for a 202).

    `sent` is the body as it was sent and signed, `data` the same inflated. The answer to a
    webhook-id is given again byte for byte; with another body it is `Problem` 409
    `webhook-id-conflict`. Other problems: 422 `not-json`, 413 `too-many-events`, 503
    `recording-busy`. Errors of the database pass through.
    """
    try:
        read = evidence.read_upload(
            partner.partner_id,
            data,
            terms.checks,
            city_tz=terms.city_tz,
            replay_allowed=partner.replay and terms.replay_allowed,
        )
    except NotJson as error:
        raise Problem(422, "not-json", f"请求体不是合法的 JSON:{error}") from error
    upload = Upload(
        upload_id=new_id(),
        partner_id=partner.partner_id,
        webhook_id=request.webhook_id,
        request_digest=sm3(sent),
        scheme=request.scheme,
        key_id=request.key_id,
        origin=request.origin,
        received_at=clock.now(),
        event_count=read.event_count,
    )
    careful = False
    for _ in range(ATTEMPTS_MAX):
        try:
            async with db.transaction() as tx:
                return await _record(
                    tx, vault, clock, terms, partner, upload, read, careful=careful
                )
        except evidence.IdentityTaken:
            continue
        except evidence.PoisonRow as error:
            log("poison_row_met", upload_id=upload.upload_id, error=str(error))
            careful = True
    raise Problem(
        503,
        "recording-busy",
        "同一批事件正在被多个请求同时上报,请稍后重试",
        headers={"Retry-After": "1"},
    )


async def _record(
    tx: Tx,
    vault: Vault,
    clock: Clock,
    terms: Terms,
    partner: Partner,
    upload: Upload,
    read: evidence.ReadUpload,
    *,
    careful: bool,
) -> bytes:
    earlier = await evidence.stored_answer(tx, upload.partner_id, upload.webhook_id)
    if earlier is not None:
        if earlier.request_digest != upload.request_digest:
            raise Problem(
                409,
                "webhook-id-conflict",
                "该 webhook-id 已用于另一请求体;新的内容须使用新的 webhook-id",
                webhook_id=upload.webhook_id,
            )
        return earlier.answer
    upload = await _on_an_open_day(tx, clock, terms, upload)
    judged = await _judge(tx, terms, partner, upload, read)
    poisoned = await evidence.store_events(tx, vault, upload, judged.accepted, careful=careful)
    if poisoned:
        judged.turn_away(poisoned)
    if judged.corrections:
        await evidence.store_corrections(tx, judged.corrections)
    answer = await _answer(tx, terms, upload, judged)
    await evidence.store_upload(tx, upload, judged.accepted, judged.rejected, answer)
    if judged.accepted:
        await outbox.put(
            tx,
            "award",
            str(upload.upload_id),
            {"upload_id": str(upload.upload_id), "count": len(judged.accepted)},
        )
    log(
        "upload_recorded",
        upload_id=upload.upload_id,
        partner_id=upload.partner_id,
        accepted=len(judged.accepted),
        duplicates=len(judged.duplicates),
        rejected=len(judged.rejected),
    )
    return answer


async def _on_an_open_day(tx: Tx, clock: Clock, terms: Terms, upload: Upload) -> Upload:
    """The upload, received on a day that is not closed before this commit.

    Who waited past midnight, for a twin or for the day's closing, is received on the new day.
    """
    while True:
        day = city_day(upload.received_at, terms.city_tz)
        await evidence.hold_day(tx, upload.partner_id, day)
        now = clock.now()
        if city_day(now, terms.city_tz) == day:
            return upload
        upload = replace(upload, received_at=now)


@dataclass(slots=True)
class _Judged:
    """Each event of an upload in exactly one list. Duplicates name the evidence they repeat."""

    accepted: list[Accepted]
    duplicates: list[tuple[Event, UUID]]
    rejected: list[Rejected]
    corrections: list[Correction] = field(default_factory=list[Correction])

    def turn_away(self, poisoned: Iterable[Accepted]) -> None:
        """Reject what the database would not take, and what repeats it in the same upload."""
        gone = {one.evidence_id for one in poisoned}
        turned = [one.event for one in self.accepted if one.evidence_id in gone]
        turned += [event for event, evidence_id in self.duplicates if evidence_id in gone]
        self.accepted = [one for one in self.accepted if one.evidence_id not in gone]
        self.duplicates = [pair for pair in self.duplicates if pair[1] not in gone]
        self.rejected += [_rejected(event, "not-recordable") for event in turned]
        self.corrections = [each for each in self.corrections if each.evidence_id not in gone]


async def _judge(
    tx: Tx, terms: Terms, partner: Partner, upload: Upload, read: evidence.ReadUpload
) -> _Judged:
    """Decide about every event in memory, before anything is written."""
    partner_id = partner.partner_id
    events = read.events
    known = await evidence.recorded_identities(
        tx, partner_id, [(event.source, event.event_id) for event in events]
    )
    reporters = await citizens.reporters_of(
        tx, partner_id, [event.subject_hash for event in events]
    )
    levels = {
        scenario: _level_of(level, upload.origin)
        for scenario, level in terms.evidence_levels.items()
        if scenario in partner.scenarios
    }
    judged = _Judged([], [], list(read.rejected))
    ids = new_ids(len(events))
    latest = upload.received_at + TIME_AHEAD_MAX
    for evidence_id, event in zip(ids, events, strict=True):
        identity = (event.source, event.event_id)
        twin = known.get(identity)
        if twin is not None:
            if twin.digest == event.digest:
                judged.duplicates.append((event, twin.evidence_id))
            else:
                judged.rejected.append(_rejected(event, "event-id-conflict"))
            continue
        level = levels.get(event.scenario)
        reporter = reporters.get(event.subject_hash)
        problem = _refusal(terms, event, level, reporter, latest)
        if problem is not None or level is None or reporter is None:
            judged.rejected.append(_rejected(event, problem or "bad-shape"))
            continue
        judged.accepted.append(Accepted(evidence_id, event, reporter.citizen_id, level))
        # Only an accepted event occupies its identity.
        known[identity] = Recorded(evidence_id, event.digest)
    if any(one.event.amends is not None for one in judged.accepted):
        await _place(tx, partner_id, judged)
    return judged


async def _place(tx: Tx, partner_id: str, judged: _Judged) -> None:
    """Find what each correction takes the place of; those that name nothing are turned away."""
    placed = await place_in_chains(tx, partner_id, judged.accepted)
    judged.corrections = placed.corrections
    problems = placed.problems
    judged.rejected += [
        _rejected(event, problems[evidence_id])
        for event, evidence_id in [
            *((one.event, one.evidence_id) for one in judged.accepted),
            *judged.duplicates,
        ]
        if evidence_id in problems
    ]
    judged.accepted = [one for one in judged.accepted if one.evidence_id not in problems]
    judged.duplicates = [pair for pair in judged.duplicates if pair[1] not in problems]


def _refusal(
    terms: Terms,
    event: Event,
    level: str | None,
    reporter: Reporter | None,
    latest: datetime,
) -> str | None:
    """Why a well-shaped, new event is turned away: scenario, subject, consent, time, in turn."""
    if level is None:
        known = event.scenario in terms.evidence_levels
        return "scenario-not-allowed" if known else "unknown-scenario"
    if reporter is None:
        return "unknown-subject"
    consent = reporter.consents.get(event.scenario)
    if consent is None:
        return "no-consent"
    given_at, withdrawn_at = consent
    if withdrawn_at is not None:
        return "consent-withdrawn"
    # `given_at` is a whole second: the consent covers from that second's beginning.
    if event.occurred_at < given_at:
        return "no-consent"
    if event.occurred_at > latest:
        return "time-in-future"
    return None


def _level_of(level: str, origin: str) -> str:
    return min(level, LEVEL_BY_HMAC) if origin == "shared-secret" else level


def _rejected(event: Event, problem: str) -> Rejected:
    return Rejected(event.n, event.event_id, event.digest, problem)


async def _answer(tx: Tx, terms: Terms, upload: Upload, judged: _Judged) -> bytes:
    """The answer to an upload; events and rejections in the order in which they were reported."""
    states: Mapping[UUID, str] = {}
    listed = [(one.event, one.evidence_id) for one in judged.accepted]
    if judged.duplicates:
        fresh = {one.evidence_id for one in judged.accepted}
        older = {evidence_id for _, evidence_id in judged.duplicates} - fresh
        states = await terms.states_of(tx, older) if older else states
        listed = sorted(listed + judged.duplicates, key=lambda pair: pair[0].n)
    return msgspec.json.encode(
        {
            "upload_id": upload.upload_id,
            "accepted": len(judged.accepted),
            "duplicates": len(judged.duplicates),
            "rejected": [
                {"index": one.n, "event_id": one.event_id, "problem": one.problem}
                for one in sorted(judged.rejected, key=lambda one: one.n)
            ],
            "events": [
                {
                    "event_id": event.event_id,
                    "evidence_id": evidence_id,
                    "state": states.get(evidence_id, "recorded"),
                }
                for event, evidence_id in listed
            ],
        }
    )
