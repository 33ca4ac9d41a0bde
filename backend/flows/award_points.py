"""evidence → reduction → award → posting: recorded events become points, many in one commit.

Events come as outbox rows of topic `award`, one for each upload. Everything an award changes is
written in one transaction: the decision, the award with every value used, the transfer and its
postings, balances, lots, counters, the budget's purse, and the row that asks for a leaf. A worker
killed anywhere leaves nothing half done, and an outbox row delivered twice adds nothing.

What an event is compared with is resolved first (`resolve_history`); what was corrected, retracted
or contradicted by a stronger report is refused, and what such an event had earned is taken back in
the same commit (`correct_events`, `settle_claims`).

Locks are taken in one order: outbox rows, purses (or whole budgets), people, consents, then the
balances all people share.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs] - it ships none

from backend import citizens, evidence, incentive, ledger, methodology
from backend.evidence import Claim, Decision, EvidenceRow, Reading, Superseded
from backend.flows.award_conditions import Beside, open_conditions, postpone
from backend.flows.correct_events import Overturned, settle_chains
from backend.flows.notice_awards import tell_refusals
from backend.flows.person_lock import lock_people
from backend.flows.resolve_history import History, resolve_history
from backend.flows.settle_claims import exclusive_modes, settle_claims
from backend.incentive import Award, CounterBook, LeaseShort, Purses, RuleInForce, Use
from backend.kit import outbox
from backend.kit.clock import Clock
from backend.kit.db import Database, Tx
from backend.kit.ids import new_ids
from backend.kit.logs import log
from backend.kit.vault import Vault

TOPIC = "award"
EVENTS_MAX = 10_000
"""Events decided in one commit."""
ITEMS_MAX = 1_000
ATTEMPTS_MAX = 8
RETRY_IN_S = 60
_NO_HISTORY: Mapping[str, object] = {}


@dataclass(slots=True)
class Counts:
    """What one call did. `events` = awarded + refused; `points` is the sum of the awards."""

    items: int = 0
    events: int = 0
    awarded: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    points: int = 0


class _Quantified(NamedTuple):
    """An event with its reduction, and the rules that may pay with the counters they read."""

    row: EvidenceRow
    method: methodology.Method
    quantity: methodology.Quantified
    history: Mapping[str, object]
    rules: list[tuple[RuleInForce, Use]]


@dataclass(slots=True)
class _Decided:
    """What a batch comes to, before anything is written."""

    decisions: list[Decision] = field(default_factory=list[Decision])
    awards: list[Award] = field(default_factory=list[Award])
    points: list[ledger.PointAward] = field(default_factory=list[ledger.PointAward])
    claims: list[Claim] = field(default_factory=list[Claim])
    readings: list[Reading] = field(default_factory=list[Reading])
    superseded: dict[UUID, Superseded] = field(default_factory=dict[UUID, Superseded])


class _Turn(NamedTuple):
    """What every batch of one commit has in common. `exact`: charge whole budgets, not purses."""

    vault: Vault
    now: datetime
    city_tz: str
    exact: bool


async def award_once(
    db: Database,
    vault: Vault,
    clock: Clock,
    *,
    city_tz: str = "Asia/Shanghai",
    limit: int = EVENTS_MAX,
) -> Counts:
    """Decide the oldest waiting uploads, up to about `limit` events; zero counts when idle.

    Any number of workers may call it at the same time. Errors of the database pass through and
    leave the work where it was.
    """
    exact = False
    for attempt in range(ATTEMPTS_MAX):
        try:
            async with db.transaction() as tx:
                turn = _Turn(vault, clock.now(), city_tz, exact)
                counts = await _award_waiting(tx, turn, limit)
        except LeaseShort as short:
            exact = not await _lease(db, short) or attempt >= ATTEMPTS_MAX // 2
        except asyncpg.DeadlockDetectedError:
            log("award_deadlocked", attempt=attempt)
        else:
            if counts.items:
                log(
                    "points_awarded",
                    uploads=counts.items,
                    events=counts.events,
                    awarded=counts.awarded,
                    refused=counts.refused,
                    points=counts.points,
                )
            return counts
    return Counts()


async def _lease(db: Database, short: LeaseShort) -> bool:
    """Top up the purses that fell short; False if some budget cannot cover it."""
    async with db.transaction() as tx:
        granted = {
            key: await incentive.lease(tx, key, points)
            for key, points in sorted(short.shortfalls.items())
        }
    return all(granted[key] >= points for key, points in short.shortfalls.items())


async def _award_waiting(tx: Tx, turn: _Turn, limit: int) -> Counts:
    counts = Counts()
    rows: list[EvidenceRow] = []
    finished: list[int] = []
    for item in await _take(tx, limit):
        if rows and len(rows) + int(item.payload["count"]) > limit:
            break
        try:
            rows += await evidence.load_upload(tx, turn.vault, UUID(item.payload["upload_id"]))
            finished.append(item.id)
        except evidence.EvidenceDamaged as damaged:
            # An operator has to look; other uploads go on.
            log("evidence_damaged", evidence_id=damaged.evidence_id)
            await outbox.fail(tx, item.id, str(damaged), RETRY_IN_S)
    if rows:
        await _award_by_halves(tx, turn, rows, counts)
    await outbox.done(tx, finished)
    counts.items = len(finished)
    return counts


async def _take(tx: Tx, limit: int) -> list[outbox.Item]:
    """Lock uploads of about `limit` events, and not many more: other workers want some too."""
    wanted = 1
    while True:
        # Rows that are ours already are found again, so that the list only grows.
        items = await outbox.take(tx, TOPIC, wanted)
        enough = sum(int(item.payload["count"]) for item in items) >= limit
        if enough or len(items) < wanted or wanted >= ITEMS_MAX:
            return items
        wanted = min(4 * wanted, ITEMS_MAX)


# What a row's own content can cause. Anything else (a lost connection, a full disk, a deadlock)
# concerns no row and passes through.
_POISON = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)


async def _award_by_halves(
    tx: Tx, turn: _Turn, rows: Sequence[EvidenceRow], counts: Counts
) -> None:
    """Award a batch; if a row poisons it, halve until that row stands alone and refuse it."""
    try:
        async with tx.savepoint():
            decided = await _award_rows(tx, turn, rows)
    except _POISON as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                await _award_by_halves(tx, turn, half, counts)
            return
        log("poison_event_refused", evidence_id=rows[0].evidence_id, error=type(error).__name__)
        decided = _Decided([_refusal(rows[0], "rule-error", turn.now)])
        await evidence.decide(tx, decided.decisions)
    # Outside of the savepoint: telling of an event can never be the reason to refuse it.
    await tell_refusals(tx, decided.decisions)
    counts.events += len(decided.decisions)
    counts.awarded += sum(d.state == "awarded" for d in decided.decisions)
    counts.refused.update(d.reason for d in decided.decisions if d.reason is not None)
    counts.points += sum(award.amount for award in decided.awards)


async def _award_rows(tx: Tx, turn: _Turn, rows: Sequence[EvidenceRow]) -> _Decided:
    """Decide and write one batch: the sentence of this flow."""
    methods = await methodology.calendar(tx)
    rules = await incentive.calendar(tx)
    beside = await open_conditions(tx, turn.city_tz)
    rows = await postpone(tx, TOPIC, rows, rules, beside, turn.now)
    event_ids = [row.evidence_id for row in rows]
    chains = await evidence.chains_of(tx, event_ids)
    history = await resolve_history(tx, rows, methods, chains)
    decided = _Decided()
    quantified = _quantify(rows, methods, rules, history, turn.now, decided)
    purses = await incentive.open_purses(
        tx, {_budget(q.row, rule) for q in quantified for rule, _ in q.rules}, exact=turn.exact
    )
    people = {row.citizen_id for row in rows}
    await beside.stand(tx, (rule.rule for q in quantified for rule, _ in q.rules), people)
    if chains:
        earlier = (before for event_id in event_ids for before in chains.before(event_id))
        people |= await evidence.people_of(tx, earlier)
    await lock_people(tx, people)
    await beside.meet(tx, rows, people)
    states = await evidence.states_of(tx, event_ids)
    pending = {event_id for event_id, state in states.items() if state == "recorded"}
    # Asked again under the locks: a correction may have been recorded while we waited.
    chains = await evidence.chains_of(tx, event_ids)
    replaced, decided.superseded = settle_chains(event_ids, pending, chains, turn.now)
    open_ids = pending - replaced.keys()
    decided.decisions = [d for d in decided.decisions if d.evidence_id in open_ids]
    open_ids -= {decision.evidence_id for decision in decided.decisions}
    decided.decisions += replaced.values()
    due = [q for q in quantified if q.row.evidence_id in open_ids]
    due = await _consented(tx, due, turn.now, decided)
    due = await _uncontradicted(tx, due, turn.now, decided)
    overturned = Overturned(
        await incentive.standing_awards(tx, decided.superseded) if decided.superseded else [],
        {entry.programme.programme_id: entry.counters for entry in rules.entries},
    )
    wanted = [key for q in due for _, use in q.rules for key in use.wanted()]
    book = await incentive.read_counters(tx, wanted + overturned.counter_keys)
    back = len(overturned.awards)
    ids = new_ids(2 * back + 2 * sum(len(q.rules) for q in due))
    if back:
        await overturned.release(tx, book, ids[:back], turn.now)
    rest = iter(ids[2 * back :])
    for q in sorted(due, key=lambda q: (q.row.occurred_at, q.row.evidence_id)):
        reasons = [_award_one(q, *rule, book, purses, beside, rest, decided) for rule in q.rules]
        refused = None if None in reasons else reasons[0]
        decided.decisions.append(_decision(q, refused, turn.now))
    purses.check()
    decided.readings = [r for event_id, r in history.readings.items() if event_id in pending]
    await beside.conditions.close(tx)
    await _write(tx, turn, decided, book, purses, overturned, ids[back : 2 * back])
    return decided


async def _consented(
    tx: Tx, due: Sequence[_Quantified], now: datetime, decided: _Decided
) -> list[_Quantified]:
    """The events whose consent stands and covers them; the others are refused."""
    standing = await citizens.standing_since(
        tx, {(q.row.citizen_id, q.row.partner_id, q.row.scenario) for q in due}
    )
    covered: list[_Quantified] = []
    for q in due:
        since = standing.get((q.row.citizen_id, q.row.partner_id, q.row.scenario))
        if since is None or q.row.occurred_at < since:
            decided.decisions.append(_refusal(q.row, "consent-withdrawn", now, q))
        else:
            covered.append(q)
    return covered


async def _uncontradicted(
    tx: Tx, due: Sequence[_Quantified], now: datetime, decided: _Decided
) -> list[_Quantified]:
    """The events that no stronger report contradicts; the others are refused `double-claim`."""
    decided.claims, losers = await settle_claims(tx, (q.row for q in due), exclusive_modes())
    for loser, stronger in losers.items():
        decided.superseded.setdefault(loser, Superseded(loser, "double-claim", stronger))
    if not losers:
        return list(due)
    lost = [q for q in due if q.row.evidence_id in losers]
    decided.decisions += [_refusal(q.row, "double-claim", now, q) for q in lost]
    return [q for q in due if q.row.evidence_id not in losers]


def _quantify(
    rows: Sequence[EvidenceRow],
    methods: methodology.MethodCalendar,
    rules: incentive.RuleCalendar,
    history: History,
    now: datetime,
    decided: _Decided,
) -> list[_Quantified]:
    """Reductions of the events that have one; the others are refused with a reason."""
    quantified: list[_Quantified] = []
    in_force = {on: rules.in_force(*on) for on in {(row.city_day, row.scenario) for row in rows}}
    for row in rows:
        method = methods.in_force(row.scenario, row.city_day)
        if row.data is None:
            decided.decisions.append(_refusal(row, "evidence-erased", now))
        elif method is None:
            decided.decisions.append(_refusal(row, "no-method-in-force", now))
        else:
            unknown = history.refused.get(row.evidence_id) if method.needs.history else None
            if unknown is not None:
                decided.decisions.append(_refusal(row, unknown, now))
                continue
            known = history.values.get(row.evidence_id, _NO_HISTORY)
            quantity = methodology.quantify(method, row.data, known)
            if isinstance(quantity, methodology.Refused):
                decided.decisions.append(_refusal(row, quantity.reason, now))
                continue
            found = [(rule, _use(row, rule)) for rule in in_force[row.city_day, row.scenario]]
            q = _Quantified(row, method, quantity, known, found)
            if q.rules:
                quantified.append(q)
            else:
                decided.decisions.append(_refusal(row, "no-rule-in-force", now, q))
    return quantified


def _award_one(
    q: _Quantified,
    in_force: RuleInForce,
    use: Use,
    book: CounterBook,
    purses: Purses,
    beside: Beside,
    ids: Iterator[UUID],
    decided: _Decided,
) -> str | None:
    """Apply one programme's rule to one event; the reason if it pays nothing because of it."""
    row, rule = q.row, in_force.rule
    excluded = beside.refusal(row, rule.programme) if beside.excludes else None
    if excluded is not None:
        return excluded
    data = row.data or {}
    if q.method.derived:
        data = methodology.with_derived(q.method.derived, data)
    counters = use.needed(book)
    history = q.history
    if rule.needs.history:
        history = {**history, **beside.looked_up(row, rule, _budget(row, in_force))}
    reduction = incentive.Reduction(
        q.quantity.reduction_mg, row.scenario, row.evidence_level, q.method.status
    )
    paid = incentive.apply_rule(rule, reduction, data, history, counters)
    if isinstance(paid, incentive.RuleRefused):
        return paid.reason
    caps = use.caps(paid.rows)
    used_before = use.used_before(book, caps)
    amount, cut_by = incentive.cut(caps, paid.points_before_caps, used_before)
    if amount:
        refusal = purses.spend(_budget(row, in_force), amount)
        if refusal is not None:
            return refusal
    use.count(book, amount, paid.rows)
    if rule.needs.history:
        beside.join(rule.programme, row.citizen_id)
    award_id, transfer_id = next(ids), next(ids)
    decided.awards.append(
        Award(
            award_id=award_id,
            evidence_id=row.evidence_id,
            citizen_id=row.citizen_id,
            city_day=row.city_day,
            rule=rule,
            rule_rows=paid.rows,
            points_before_caps=paid.points_before_caps,
            amount=amount,
            method_id=q.method.id,
            method_version=q.method.version,
            method_digest=q.method.digest,
            reduction=reduction,
            origin=row.origin,
            inputs={**q.quantity.inputs, **paid.inputs},
            history={**q.quantity.history, **paid.history},
            counters=counters,
            caps=caps,
            used_before=used_before,
            cut_by=cut_by,
            transfer_id=transfer_id if amount else None,
        )
    )
    if amount:
        decided.points.append(_point_award(row, in_force, transfer_id, amount))
    return None


def _point_award(
    row: EvidenceRow, in_force: RuleInForce, transfer_id: UUID, amount: int
) -> ledger.PointAward:
    rule = in_force.rule
    return ledger.PointAward(
        transfer_id=transfer_id,
        citizen_id=row.citizen_id,
        points_class=rule.points_class,
        amount=amount,
        programme_id=rule.programme,
        rule_id=rule.id,
        rule_version=rule.version,
        city_day=row.city_day,
        expiry_month=ledger.expiry_month_of(row.city_day, in_force.programme.expiry_months),
    )


async def _write(
    tx: Tx,
    turn: _Turn,
    decided: _Decided,
    book: CounterBook,
    purses: Purses,
    overturned: Overturned,
    reversal_ids: Sequence[UUID],
) -> None:
    """Everything the batch changes; the rows that all people share come last."""
    now = turn.now
    await evidence.decide(tx, decided.decisions)
    if decided.readings:
        await evidence.store_readings(tx, decided.readings)
    if decided.claims:
        await evidence.store_claims(tx, decided.claims)
    if decided.superseded:
        touched = overturned.evidence_ids.union(d.evidence_id for d in decided.decisions)
        fallen = {each: fall for each, fall in decided.superseded.items() if each in touched}
        await evidence.supersede(tx, fallen, now)
    await incentive.store_awards(tx, decided.awards, now)
    await incentive.write_counters(tx, book)
    await incentive.close_purses(tx, purses)
    if overturned.awards:
        await overturned.reverse(tx, decided.superseded, reversal_ids, now, turn.city_tz)
    if not decided.points:
        return
    for points_class in sorted({award.points_class for award in decided.points}):
        people = {a.citizen_id for a in decided.points if a.points_class == points_class}
        await citizens.accounts_of(tx, turn.vault, people, points_class)
    await tx.copy(
        "unsealed", ("kind", "ref", "queued_at"), [(1, a.transfer_id, now) for a in decided.points]
    )
    await ledger.award_points(tx, decided.points, now)


def _budget(row: EvidenceRow, in_force: RuleInForce) -> incentive.BudgetKey:
    programme = in_force.programme
    period = incentive.budget_period(programme.budget_period, row.city_day)
    return programme.programme_id, period


def _use(row: EvidenceRow, in_force: RuleInForce) -> Use:
    return incentive.use_of(
        in_force.rule,
        in_force.counters,
        row.citizen_id,
        row.city_day,
        row.scenario,
        row.evidence_level,
        plain=in_force.plain,
    )


def _refusal(
    row: EvidenceRow, reason: str, now: datetime, q: _Quantified | None = None
) -> Decision:
    if q is not None:
        return _decision(q, reason, now)
    return Decision(row.evidence_id, "refused", reason, None, None, None, now)


def _decision(q: _Quantified, reason: str | None, now: datetime) -> Decision:
    return Decision(
        q.row.evidence_id,
        "awarded" if reason is None else "refused",
        reason,
        q.method.id,
        q.method.version,
        q.quantity.reduction_mg,
        now,
    )
