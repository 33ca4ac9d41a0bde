"""draft × stored evidence → what it would have paid: people, points, money, tonnes, budget.

Nothing is written. Every event of the window that was quantified then is run once through the draft
and once through the versions that were in force, with counters, caps, quota and budget as they
would have grown; both runs start from what real awards had used before the window. The draft's own
window is not asked. Events that no rule has a say in (consent, corrections, double claims) are set
aside. Where nobody attested a person's district, the partner stands for it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from backend import evidence, incentive, methodology
from backend.flows.backtest_method import SET_ASIDE
from backend.flows.resolve_history import NEEDS, resolve_history
from backend.incentive import (
    Occasion,
    Outcome,
    Programme,
    Reduction,
    Rule,
    RuleCalendar,
    Shift,
    Terms,
    TermsCalendar,
    Trial,
    TrialEvent,
)
from backend.kit.clock import city_day
from backend.kit.db import Database, Row, Tx
from backend.kit.needs import DocumentError
from backend.kit.vault import Vault

PAGE = 5_000
AWARDS_PAGE = 20_000
Heard = Callable[[int, int], Awaitable[bool]]
"""Told (done, total) after each page; False stops the simulation."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Stopped(Exception):
    """Whoever asked for the simulation does not want it any more."""


@dataclass(slots=True)
class Simulated:
    """Two runs over the same events, side by side.

    `in_force` is None where the programme has no enacted rule. `paid_then` are the points that
    these events really earned. `budget_left` are points of the last period at the window's start.
    """

    rule: Rule
    programme: Programme
    terms: Terms
    day_from: date
    day_to: date
    events: int = 0
    set_aside: int = 0
    erased: int = 0
    paid_then: int = 0
    draft: Outcome = field(default_factory=Outcome)
    in_force: Outcome | None = None
    by_scenario: dict[str, Shift] = field(default_factory=dict[str, Shift])
    by_district: dict[str, Shift] = field(default_factory=dict[str, Shift])
    people: dict[UUID, int] = field(default_factory=dict[UUID, int])
    envelope: int | None = None
    budget_left: int | None = None
    exhaustion: incentive.Exhaustion | None = None


async def _go_on(_done: int, _total: int) -> bool:
    return True


async def simulate(
    db: Database,
    vault: Vault,
    rule: Rule,
    *,
    day_from: date,
    day_to: date,
    city_tz: str = "Asia/Shanghai",
    heard: Heard = _go_on,
) -> Simulated:
    """Run a draft over city days `day_from` to `day_to`, both included, in one snapshot.

    Raises DocumentError `unknown-programme`, Stopped, and `evidence.EvidenceDamaged` where a body
    is not the one that was recorded.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        calendar = await incentive.calendar(tx, hold=False)
        programme = await incentive.programme_of(tx, rule.programme)
        if programme is None:
            raise DocumentError("unknown-programme", rule.programme)
        terms = await incentive.terms_calendar(tx)
        result = Simulated(rule, programme, terms.of(rule.programme, day_to), day_from, day_to)
        runs = await _open_runs(tx, rule, calendar, result)
        reader = await _Reader.open(tx, vault, runs.rules(), programme, terms, city_tz)
        scenarios = [s for s in methodology.scenarios() if runs.concern(s)]
        total = await tx.fetchval(_TOTAL, scenarios, day_from, day_to)
        done, last = 0, UUID(int=0)
        while await heard(done, total):
            arguments = (scenarios, day_from, day_to, list(SET_ASIDE), last, PAGE, rule.programme)
            page = await tx.fetch(_PAGE, *arguments)
            if not page:
                _foresee(result)
                return result
            events = await reader.read(page, result)
            for event in sorted(events, key=lambda e: (e.occurred_at, e.evidence_id)):
                runs.add(event, result)
            done, last = done + len(page), page[-1]["evidence_id"]
    raise Stopped


_WHICH = """
    FROM evidence AS e JOIN decision AS d USING (evidence_id)
    WHERE e.scenario = ANY($1::text[]) AND e.city_day >= $2 AND e.city_day <= $3
      AND d.reduction_mg IS NOT NULL
"""
_TOTAL = "SELECT count(*)" + _WHICH
# Keyset pages in the order of ids, which is that of recording.
_PAGE = (
    """SELECT e.evidence_id, e.citizen_id, e.partner_id, e.scenario, e.city_day, e.occurred_at,
              e.recorded_at, e.evidence_level, d.method_id, d.method_version, d.reduction_mg,
              coalesce(d.reason = ANY($4::text[]), false)
              OR EXISTS (SELECT FROM supersession AS s WHERE s.evidence_id = e.evidence_id)
              AS aside, a.amount, a.inputs
    """  # noqa: S608 - constants only
    + _WHICH.replace(
        "USING (evidence_id)",
        """USING (evidence_id)
           LEFT JOIN award AS a ON a.evidence_id = e.evidence_id AND a.programme_id = $7
                               AND a.evidence_id > $5""",
    )
    # Said of each table, so that no join begins anew with every page.
    + """ AND e.evidence_id > $5 AND d.evidence_id > $5
          ORDER BY e.evidence_id LIMIT $6"""
)


class _Event(NamedTuple):
    """An event as both runs see it; `refusal` is what the programme's terms have against it."""

    evidence_id: UUID
    occurred_at: Any
    district: str
    refusal: str | None
    trial: TrialEvent
    period: str
    paid_then: int


@dataclass(slots=True)
class _Runs:
    """The draft and the versions in force, each with its own counters and budget."""

    draft: Rule
    calendar: RuleCalendar
    programme: Programme
    after: Trial
    before: Trial | None
    asked: dict[tuple[date, str], tuple[Rule | None, Rule | None]] = field(
        default_factory=dict[tuple[date, str], tuple[Rule | None, Rule | None]]
    )
    """The draft and the rule in force for a day and scenario; None where one has no say."""

    def rules(self) -> list[Rule]:
        """Every rule that may be asked."""
        in_force = [e.rule for e in self.calendar.entries if e.programme == self.programme]
        return [self.draft, *in_force]

    def concern(self, scenario: str) -> bool:
        """Whether some rule may pay for a scenario."""
        return any(rule.concerns(scenario) for rule in self.rules())

    def add(self, event: _Event, result: Simulated) -> None:
        """Run one event through both and note the difference."""
        trial = event.trial
        scenario, reduction_mg = trial.reduction.scenario, trial.reduction.reduction_mg
        draft, in_force = self._rules_for(trial.city_day, scenario)
        after = self._paid(self.after, draft, event)
        was = 0
        if result.in_force is not None and self.before is not None:
            before = self._paid(self.before, in_force, event)
            was = _tally(result.in_force, trial, before)
        now = _tally(result.draft, trial, after)
        result.events += 1
        result.paid_then += event.paid_then
        for shifts, name in ((result.by_scenario, scenario), (result.by_district, event.district)):
            shift = shifts.get(name)
            if shift is None:
                shift = shifts[name] = Shift()
            shift.add(trial.citizen_id, was, now, reduction_mg)
        if was != now:
            result.people[trial.citizen_id] = result.people.get(trial.citizen_id, 0) + now - was

    def _rules_for(self, day: date, scenario: str) -> tuple[Rule | None, Rule | None]:
        known = self.asked.get((day, scenario))
        if known is None:
            in_force = [
                entry.rule
                for entry in self.calendar.in_force(day, scenario)
                if entry.programme == self.programme
            ]
            draft = self.draft if self.draft.concerns(scenario) else None
            known = self.asked[day, scenario] = (draft, in_force[0] if in_force else None)
        return known

    @staticmethod
    def _paid(run: Trial, rule: Rule | None, event: _Event) -> incentive.Paid | str:
        if event.refusal is not None:
            return event.refusal
        if rule is None:
            return "no-rule-in-force"
        return run.pay(rule, event.trial, event.period)


def _tally(outcome: Outcome, trial: TrialEvent, paid: incentive.Paid | str) -> int:
    reduction = trial.reduction
    return outcome.add(
        trial.citizen_id, trial.city_day, reduction.evidence_level, reduction.reduction_mg, paid
    )


async def _open_runs(tx: Tx, rule: Rule, calendar: RuleCalendar, result: Simulated) -> _Runs:
    """Both runs as they stand on the eve of the window."""
    programme = result.programme
    in_force = [e.rule for e in calendar.entries if e.programme == programme]
    states = await incentive.budgets(tx)
    envelope = {s.period: s.envelope for s in states if s.programme_id == programme.programme_id}
    spent: dict[str, int] = {}
    for row in await tx.fetch(_SPENT, programme.programme_id, result.day_from):
        period = incentive.budget_period(programme.budget_period, row["day"])
        spent[period] = spent.get(period, 0) + row["points"]
    left = {period: points - spent.get(period, 0) for period, points in envelope.items()}
    kept = tuple(dict.fromkeys(name for each in in_force for name in each.counters()))
    runs = _Runs(
        rule,
        calendar,
        programme,
        Trial(rule.counters(), envelope, dict(left)),
        Trial(kept, envelope, dict(left)) if in_force else None,
    )
    result.in_force = Outcome() if in_force else None
    last = incentive.budget_period(programme.budget_period, result.day_to)
    result.envelope, result.budget_left = envelope.get(last), left.get(last)
    await _remember(tx, runs, result)
    return runs


_SPENT = """SELECT date_trunc('year', city_day)::date AS day, sum(amount)::bigint AS points
            FROM award WHERE programme_id = $1 AND city_day < $2 GROUP BY 1"""
_EARLIER = """
    SELECT a.award_id, a.citizen_id, a.city_day, a.scenario, a.evidence_level, a.rule_id,
           a.rule_version, a.rule_rows, a.amount
    FROM award AS a
    WHERE a.programme_id = $1 AND a.city_day < $2 AND a.award_id > $3
      AND NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)
    ORDER BY a.award_id LIMIT $4"""


async def _remember(tx: Tx, runs: _Runs, result: Simulated) -> None:
    """Count what real awards had counted before the window, and who was in line."""
    last = UUID(int=0)
    while True:
        page = await tx.fetch(
            _EARLIER, runs.programme.programme_id, result.day_from, last, AWARDS_PAGE
        )
        if not page:
            return
        for row in page:
            rows = row["rule_rows"]
            on = Occasion(
                row["city_day"],
                row["scenario"],
                row["evidence_level"],
                incentive.rule_ref(row["rule_id"], row["rule_version"]),
                rows[0] if len(rows) == 1 else None,
            )
            for run in (runs.after, runs.before):
                if run is not None:
                    run.count(row["citizen_id"], on, row["amount"])
                    run.line.setdefault(row["citizen_id"], len(run.line) + 1)
        last = page[-1]["award_id"]


@dataclass(slots=True)
class _Reader:
    """Rows of a page to events: values out of awards where they suffice, else out of bodies."""

    tx: Tx
    vault: Vault
    programme: Programme
    terms: TermsCalendar
    zone: ZoneInfo
    city_tz: str
    inputs: frozenset[str]
    calendar_names: Sequence[str]
    meters: bool
    statuses: Mapping[tuple[str, int], str]
    methods: methodology.MethodCalendar
    facts: dict[UUID, Mapping[str, str]] | None
    blacklists: Mapping[tuple[str, UUID], Sequence[incentive.Blacklisted]]

    @classmethod
    async def open(
        cls,
        tx: Tx,
        vault: Vault,
        rules: Sequence[Rule],
        programme: Programme,
        terms: TermsCalendar,
        city_tz: str,
    ) -> "_Reader":
        history = {name for rule in rules for name in rule.needs.history}
        statuses = {
            (row["method_id"], row["version"]): row["status"]
            for row in await tx.fetch("SELECT method_id, version, status FROM method")
        }
        known = await tx.fetchval("SELECT EXISTS (SELECT FROM eligibility_fact)")
        listed = await tx.fetch(
            "SELECT DISTINCT citizen_id FROM blacklisting WHERE programme_id = $1",
            programme.programme_id,
        )
        return cls(
            tx=tx,
            vault=vault,
            programme=programme,
            terms=terms,
            zone=ZoneInfo(city_tz),
            city_tz=city_tz,
            inputs=frozenset(name for rule in rules for name in rule.needs.event),
            calendar_names=incentive.calendar_names(sorted(history)),
            meters=not history.isdisjoint(NEEDS),
            statuses=statuses,
            methods=await methodology.calendar(tx),
            facts={} if known else None,
            blacklists=await incentive.blacklisted(
                tx, [programme.programme_id], [row["citizen_id"] for row in listed]
            ),
        )

    async def read(self, page: Sequence[Row], result: Simulated) -> list[_Event]:
        """The events of a page that can be run; the others are counted in `result`."""
        rows = [row for row in page if not row["aside"]]
        result.set_aside += len(page) - len(rows)
        inputs = {row["evidence_id"]: self._awarded_inputs(row) for row in rows}
        missing = [i for i, known in inputs.items() if known is None or self.meters]
        history: Mapping[UUID, Mapping[str, object]] = {}
        if missing:
            history = await self._load(missing, inputs)
        await self._learn({row["citizen_id"] for row in rows})
        events: list[_Event] = []
        for row in rows:
            known = inputs[row["evidence_id"]]
            if known is None:
                result.erased += 1
            else:
                events.append(self._event(row, known, history.get(row["evidence_id"], {})))
        return events

    def _awarded_inputs(self, row: Row) -> Mapping[str, object] | None:
        """What the award stated, if it has all that is needed; None where the body must be read."""
        if not self.inputs:
            return {}
        if row["inputs"] is None:
            return None
        inputs = _decode(row["inputs"])
        return inputs if self.inputs <= inputs.keys() else None

    async def _load(
        self, ids: Iterable[UUID], inputs: dict[UUID, Mapping[str, object] | None]
    ) -> Mapping[UUID, Mapping[str, object]]:
        """Read bodies into `inputs` (None where one was erased) and what meters say of history."""
        loaded = await evidence.load_evidence(self.tx, self.vault, ids)
        specs = methodology.scenarios()
        for row in loaded:
            spec = specs.get(row.scenario)
            if row.data is not None:
                derived = () if spec is None else spec.derived
                inputs[row.evidence_id] = methodology.with_derived(derived, row.data)
            elif inputs[row.evidence_id] is not None and not self.inputs:
                inputs[row.evidence_id] = {}
        if not self.meters:
            return {}
        chains = await evidence.chains_of(self.tx, [row.evidence_id for row in loaded])
        return (await resolve_history(self.tx, loaded, self.methods, chains)).values

    async def _learn(self, people: set[UUID]) -> None:
        if self.facts is None:
            return
        fresh = people - self.facts.keys()
        if fresh:
            self.facts.update(dict.fromkeys(fresh, incentive.NO_FACTS))
            self.facts.update(await incentive.facts_of(self.tx, fresh))

    def _event(
        self, row: Row, inputs: Mapping[str, object], looked_up: Mapping[str, object]
    ) -> _Event:
        day, citizen_id = row["city_day"], row["citizen_id"]
        facts = incentive.NO_FACTS if self.facts is None else self.facts[citizen_id]
        history: Mapping[str, object] = looked_up
        if self.calendar_names:
            local = row["occurred_at"].astimezone(self.zone)
            spans = {n: incentive.calendar_value(n, local) for n in self.calendar_names}
            history = {**looked_up, **spans}
        status = self.statuses.get((row["method_id"], row["method_version"]), "approved")
        reduction = Reduction(row["reduction_mg"], row["scenario"], row["evidence_level"], status)
        return _Event(
            evidence_id=row["evidence_id"],
            occurred_at=row["occurred_at"],
            district=facts.get("district") or row["partner_id"],
            refusal=self._refusal(row, facts) if self.terms or self.blacklists else None,
            trial=TrialEvent(citizen_id, day, reduction, inputs, history),
            period=incentive.budget_period(self.programme.budget_period, day),
            paid_then=row["amount"] or 0,
        )

    def _refusal(self, row: Row, facts: Mapping[str, str]) -> str | None:
        programme_id, day = self.programme.programme_id, row["city_day"]
        terms = self.terms.of(programme_id, day)
        recorded = city_day(row["recorded_at"], self.city_tz)
        reason = terms.refusal(row["scenario"], row["evidence_level"], day, recorded)
        if reason is not None:
            return reason
        if not terms.eligibility.admits(facts):
            return "not-eligible"
        entries = self.blacklists.get((programme_id, row["citizen_id"]), ())
        return "blacklisted" if any(each.covers(day) for each in entries) else None


def _foresee(result: Simulated) -> None:
    """When the budget would end, going on from the window as the draft would have paid."""
    if result.budget_left is None:
        return
    days = (result.day_to - result.day_from).days + 1
    series = [result.draft.by_day[result.day_from + timedelta(days=n)] for n in range(days)]
    if result.draft.exhausted_on is not None:
        gone = result.draft.exhausted_on
        result.exhaustion = incentive.Exhaustion(gone, gone, gone)
        return
    try:
        left = result.budget_left - sum(series)
        result.exhaustion = incentive.exhaustion(series, left, result.day_to)
    except ValueError:
        result.exhaustion = None  # the window is too short to look ahead
