"""method version × stored evidence → difference: what another method would have given.

Nothing is written. The evidence of past days is quantified once more by the candidate, whatever
its window and status, and held against what was decided then. Events that were decided for other
reasons than quantity (consent, corrections, double claims) are set aside.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from backend import evidence, incentive, methodology
from backend.evidence import EvidenceRow
from backend.flows.resolve_history import resolve_history
from backend.kit.db import Database, Row, Tx
from backend.kit.vault import Vault

PAGE = 5_000

SET_ASIDE = ("consent-withdrawn", "corrected", "double-claim", "evidence-erased", "retracted")
"""Reasons of refusals that no method has a say in."""


@dataclass(slots=True)
class Tally:
    """What was decided and what the candidate gives, over some events.

    Reductions in mg. `refused` counts the events with a reduction then and a refusal now by its
    reason, `accepted` those the other way round, `refused_still` those refused by both, `changed`
    those with another reduction.
    """

    events: int = 0
    before_mg: int = 0
    after_mg: int = 0
    changed: int = 0
    accepted: int = 0
    refused_still: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])

    def add(self, before_mg: int | None, after: methodology.Quantified | str) -> None:
        """Count one event; `after` is a reduction or the reason of a refusal."""
        self.events += 1
        if isinstance(after, str):
            if before_mg is None:
                self.refused_still += 1
            else:
                self.before_mg += before_mg
                self.refused[after] += 1
            return
        self.after_mg += after.reduction_mg
        if before_mg is None:
            self.accepted += 1
        else:
            self.before_mg += before_mg
            self.changed += before_mg != after.reduction_mg


@dataclass(slots=True)
class Backtest:
    """Tallies by scenario, by district and by partner.

    A district is what was attested of the person; the partner stands for it where nothing was.
    `events` were compared; `set_aside` and `erased` could not be.
    """

    events: int = 0
    set_aside: int = 0
    erased: int = 0
    by_scenario: dict[str, Tally] = field(default_factory=dict[str, Tally])
    by_district: dict[str, Tally] = field(default_factory=dict[str, Tally])
    by_partner: dict[str, Tally] = field(default_factory=dict[str, Tally])


# Keyset pages in the order of ids; $5 is where the last page ended.
_WHICH = """
    FROM evidence AS e JOIN decision AS d USING (evidence_id)
    WHERE e.scenario = ANY($1::text[]) AND e.city_day >= $2 AND e.city_day <= $3
"""
_TOTAL = "SELECT count(*)" + _WHICH
_PAGE = (
    """SELECT e.evidence_id, d.reduction_mg,
              d.state = 'applied' OR coalesce(d.reason = ANY($4::text[]), false)
              OR EXISTS (SELECT FROM supersession AS s WHERE s.evidence_id = e.evidence_id) AS aside
    """  # noqa: S608 - constants only
    + _WHICH
    + " AND e.evidence_id > $5 ORDER BY e.evidence_id LIMIT $6"
)


async def backtest(
    db: Database,
    vault: Vault,
    method: methodology.Method,
    *,
    day_from: date,
    day_to: date,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Backtest:
    """Compare a method with what was decided on city days `day_from` to `day_to`, both included.

    One snapshot, in pages; `progress` is told (done, total) after each. Raises
    `evidence.EvidenceDamaged` where a stored body is not the one that was recorded.
    """
    result = Backtest()
    scenarios = list(method.scenarios)
    calendar = methodology.MethodCalendar(((method, date.min, None),))
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        total = await tx.fetchval(_TOTAL, scenarios, day_from, day_to)
        done, last = 0, UUID(int=0)
        progress(done, total)
        while True:
            page = await tx.fetch(_PAGE, scenarios, day_from, day_to, list(SET_ASIDE), last, PAGE)
            if not page:
                return result
            await _compare(tx, vault, method, calendar, page, result)
            done, last = done + len(page), page[-1]["evidence_id"]
            progress(done, total)


async def _compare(
    tx: Tx,
    vault: Vault,
    method: methodology.Method,
    calendar: methodology.MethodCalendar,
    page: Sequence[Row],
    result: Backtest,
) -> None:
    before = {row["evidence_id"]: row["reduction_mg"] for row in page if not row["aside"]}
    result.set_aside += len(page) - len(before)
    rows = await evidence.load_evidence(tx, vault, before)
    history: Mapping[UUID, Mapping[str, object]] = {}
    missing: Mapping[UUID, str] = {}
    if method.needs.history:
        chains = await evidence.chains_of(tx, list(before))
        found = await resolve_history(tx, rows, calendar, chains)
        history, missing = found.values, found.refused
    facts = await incentive.facts_of(tx, {row.citizen_id for row in rows})
    for row in rows:
        if row.data is None:
            result.erased += 1
            continue
        district = facts.get(row.citizen_id, incentive.NO_FACTS).get("district")
        after = _quantified(method, row, history, missing)
        for tallies, name in (
            (result.by_scenario, row.scenario),
            (result.by_district, district or row.partner_id),
            (result.by_partner, row.partner_id),
        ):
            tally = tallies.get(name)
            if tally is None:
                tally = tallies[name] = Tally()
            tally.add(before[row.evidence_id], after)
        result.events += 1


_NOTHING: Mapping[str, object] = {}


def _quantified(
    method: methodology.Method,
    row: EvidenceRow,
    history: Mapping[UUID, Mapping[str, object]],
    missing: Mapping[UUID, str],
) -> methodology.Quantified | str:
    reason = missing.get(row.evidence_id)
    if reason is not None:
        return reason
    found = methodology.quantify(method, row.data or {}, history.get(row.evidence_id, _NOTHING))
    return found.reason if isinstance(found, methodology.Refused) else found
