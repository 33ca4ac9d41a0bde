"""Everything awarded, derived again from the evidence: documents → reduction → points → sums.

Awards are redone from the decrypted evidence and the documents they name, with the history,
counters and cap values stated beside them; those statements are then checked against each other
and against the journal. A history is derived again from the base month's own evidence. What was
erased is counted, not called a difference.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from backend import evidence, incentive, ledger, methodology
from backend.evidence import EvidenceRow, Reading
from backend.flows.check_parking import check_parking
from backend.flows.resolve_history import NEEDS, values_of
from backend.flows.settle_claims import exclusive_modes
from backend.kit.db import Database, Row, Tx
from backend.kit.laws import Difference, broken, differences
from backend.kit.vault import Vault

PAGE = 2_000
_NONE = UUID(int=0)


@dataclass(slots=True)
class Recomputed:
    """What was redone: `awards` compared, of which `erased` could not be, and what differs."""

    awards: int = 0
    erased: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])


# An award and its transfer say the same, and neither stands without the other.
_PAIRS = {
    "awards-have-their-transfer": """
        SELECT a.award_id::text AS subject,
               concat_ws(' ', a.amount, a.class, a.programme_id, a.rule_id, a.rule_version,
                         a.citizen_id, a.city_day) AS expected,
               concat_ws(' ', t.act, t.amount, t.class, t.programme_id, t.rule_id, t.rule_version,
                         t.citizen_id, t.city_day) AS found
        FROM award AS a LEFT JOIN transfer AS t USING (transfer_id)
        WHERE a.transfer_id IS NOT NULL
          AND (t.act, t.amount, t.class, t.programme_id, t.rule_id, t.rule_version, t.citizen_id,
               t.city_day)
              IS DISTINCT FROM
              ('award', a.amount, a.class, a.programme_id, a.rule_id, a.rule_version, a.citizen_id,
               a.city_day)""",
    "transfers-have-their-award": """
        SELECT t.transfer_id::text AS subject, 'an award' AS expected, 'none' AS found
        FROM transfer AS t LEFT JOIN award AS a USING (transfer_id)
        WHERE t.act = 'award' AND a.award_id IS NULL""",
    "decisions-have-their-award": """
        SELECT d.evidence_id::text AS subject, 'an award' AS expected, 'none' AS found
        FROM decision AS d LEFT JOIN award AS a USING (evidence_id)
        WHERE d.state = 'awarded' AND a.award_id IS NULL""",
    "the-superseded-is-taken-back": """
        SELECT a.award_id::text AS subject, 'a counter-entry and a release' AS expected,
               concat_ws(' ', t.transfer_id, r.release_id) AS found
        FROM supersession AS s JOIN award AS a USING (evidence_id)
        LEFT JOIN transfer AS t ON t.of_transfer = a.transfer_id AND t.act = 'reverse'
        LEFT JOIN award_release AS r USING (award_id)
        WHERE (a.transfer_id IS NOT NULL AND t.transfer_id IS NULL) OR r.award_id IS NULL""",
    "only-the-superseded-is-released": """
        SELECT r.award_id::text AS subject, 'a superseded event' AS expected, 'none' AS found
        FROM award_release AS r LEFT JOIN award AS a USING (award_id)
        LEFT JOIN supersession AS s USING (evidence_id)
        WHERE s.evidence_id IS NULL""",
    "numbers-in-line-hold": """
        SELECT a.award_id::text AS subject, coalesce(p.number::text, 'none') AS expected,
               a.stated -> 'history' ->> 'person_number' AS found
        FROM award AS a LEFT JOIN programme_person AS p USING (programme_id, citizen_id)
        WHERE a.stated -> 'history' ->> 'person_number' IS DISTINCT FROM p.number::text
          AND a.stated -> 'history' ? 'person_number'""",
    "the-last-of-a-chain-stands": """
        SELECT d.evidence_id::text AS subject, 'superseded' AS expected, 'standing' AS found
        FROM correction AS c
        CROSS JOIN LATERAL (
            SELECT c.root_id AS evidence_id
            UNION ALL
            SELECT e.evidence_id FROM correction AS e WHERE e.root_id = c.root_id AND e.n < c.n
        ) AS earlier
        JOIN decision AS later ON later.evidence_id = c.evidence_id
        JOIN decision AS d ON d.evidence_id = earlier.evidence_id
        WHERE d.state = 'awarded' AND coalesce(later.reason, '') <> 'rule-error'
          AND NOT EXISTS (SELECT FROM supersession AS s
                          WHERE s.evidence_id = d.evidence_id)""",
}

# No two standing awards of a person need them at the same time. $1, $2: scenarios and their
# exclusive modes; $3: how many seconds clocks may differ.
_CONTRADICTIONS = """
    WITH mode AS (SELECT * FROM unnest($1::text[], $2::text[]) AS m (scenario, mode)),
    standing AS (
        SELECT c.*, m.mode FROM claim AS c JOIN mode AS m USING (scenario)
        JOIN decision AS d USING (evidence_id)
        WHERE d.state = 'awarded'
          AND NOT EXISTS (SELECT FROM supersession AS s WHERE s.evidence_id = c.evidence_id)),
    reached AS (
        SELECT *, max(ends_at) OVER (
                   PARTITION BY citizen_id, mode ORDER BY starts_at, evidence_id
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
        FROM standing)
    SELECT concat_ws(' ', 'evidence', a.evidence_id, b.evidence_id) AS subject,
           'one of them' AS expected, 'both' AS found
    FROM reached AS b JOIN standing AS a USING (citizen_id, mode)
    WHERE b.reach > b.starts_at + make_interval(secs => $3)
      AND (a.starts_at, a.evidence_id) < (b.starts_at, b.evidence_id)
      AND a.starts_at + make_interval(secs => $3) < b.ends_at
      AND b.starts_at + make_interval(secs => $3) < a.ends_at"""


async def recompute(
    db: Database,
    vault: Vault,
    *,
    day_from: date,
    day_to: date,
    city_tz: str = "Asia/Shanghai",
    sample: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Recomputed:
    """Redo the awards of city days `day_from` to `day_to`, both included, in one snapshot.

    With `sample`, that many of them, drawn by `seed`; sums, caps, budgets and the ledger are
    always checked as a whole. `progress` is told (done, total) after each page.
    """
    result = Recomputed()
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        result.differences += await ledger.replay(tx)
        result.differences += await incentive.check_laws(tx)
        result.differences += await broken(tx, _PAIRS)
        result.differences += await check_parking(tx)
        result.differences += await _contradictions(tx)
        ids = await _award_ids(tx, day_from, day_to, sample, seed)
        progress(0, len(ids))
        for at in range(0, len(ids), PAGE):
            page = ids[at : at + PAGE]
            await _redo_page(tx, vault, page, city_tz, result)
            progress(min(at + PAGE, len(ids)), len(ids))
    return result


async def _contradictions(tx: Tx) -> list[Difference]:
    modes = {name: mode for name, mode in exclusive_modes().items() if mode is not None}
    rows = await tx.fetch(
        _CONTRADICTIONS,
        list(modes),
        list(modes.values()),
        evidence.TOLERANCE.total_seconds(),
    )
    return differences("nobody-is-in-two-places", rows)


async def _award_ids(
    tx: Tx, day_from: date, day_to: date, sample: int | None, seed: int
) -> list[UUID]:
    rows = await tx.fetch(
        "SELECT award_id FROM award WHERE city_day BETWEEN $1 AND $2 ORDER BY award_id",
        day_from,
        day_to,
    )
    ids = [row["award_id"] for row in rows]
    if sample is None or sample >= len(ids):
        return ids
    # The same seed draws the same awards; nothing here is secret.
    return sorted(random.Random(seed).sample(ids, sample))  # noqa: S311


async def _redo_page(
    tx: Tx, vault: Vault, page: Sequence[UUID], city_tz: str, result: Recomputed
) -> None:
    awards = await tx.fetch("SELECT * FROM award WHERE award_id = ANY($1::uuid[])", list(page))
    loaded = await _load(tx, vault, {award["evidence_id"] for award in awards})
    bases = await evidence.bases_of(tx, loaded)
    base_rows = await _load(tx, vault, set(bases.values())) if bases else {}
    methods, rules = await _documents(tx, awards)
    for award in sorted(awards, key=lambda award: award["award_id"]):
        row = loaded.get(award["evidence_id"])
        method = methods[award["method_id"], award["method_version"]]
        rule = rules[award["rule_id"], award["rule_version"]]
        result.awards += 1
        if row is None:
            result.differences.append(_differs(award, "evidence", "a readable body", "none"))
        elif row.data is None or _erased(base := base_rows.get(bases.get(row.evidence_id, _NONE))):
            result.erased += 1
        elif method is None or rule is None:
            result.differences.append(_differs(award, "documents", "published", "absent"))
        else:
            found = _as_found(award, row, method, rule)
            result.differences += [
                _differs(award, name, value, found[name])
                for name, value in _as_expected(award, row, base, method, rule, city_tz).items()
                if found[name] != value
            ]


def _erased(row: EvidenceRow | None) -> bool:
    return row is not None and row.data is None


async def _load(tx: Tx, vault: Vault, wanted: set[UUID]) -> dict[UUID, EvidenceRow]:
    """The evidence by id; where a body is damaged, the row is left out."""
    while True:
        try:
            return {r.evidence_id: r for r in await evidence.load_evidence(tx, vault, wanted)}
        except evidence.EvidenceDamaged as damaged:
            wanted = wanted - {damaged.evidence_id}


_Methods = dict[tuple[str, int], methodology.Method | None]
_Rules = dict[tuple[str, int], incentive.Rule | None]


async def _documents(tx: Tx, awards: Sequence[Row]) -> tuple[_Methods, _Rules]:
    """Each method and rule version that these awards name; None where it is not stored."""
    methods: _Methods = {}
    rules: _Rules = {}
    for award in awards:
        key = (award["method_id"], award["method_version"])
        if key not in methods:
            document = await methodology.document_of(tx, *key)
            methods[key] = None if document is None else methodology.read_method(document)
        key = (award["rule_id"], award["rule_version"])
        if key not in rules:
            document = await incentive.document_of(tx, *key)
            rules[key] = None if document is None else incentive.read_rule(document)
    return methods, rules


def _as_expected(
    award: Row,
    row: EvidenceRow,
    base: EvidenceRow | None,
    method: methodology.Method,
    rule: incentive.Rule,
    city_tz: str,
) -> dict[str, Any]:
    """What the evidence and the documents give, with the values stated beside the award."""
    expected: dict[str, Any] = {
        "citizen_id": row.citizen_id,
        "city_day": row.city_day,
        "scenario": row.scenario,
        "evidence_level": row.evidence_level,
        "origin": row.origin,
        "method_digest": method.digest,
        "method_status": method.status,
        "rule_digest": rule.digest,
        "class": rule.points_class,
        "programme_id": rule.programme,
        "covered": True,
    }
    stated: dict[str, Any] = json.loads(award["stated"])
    needed = {*method.needs.history, *rule.needs.history}
    expected["history"] = {
        **_history(base, needed),
        **_spans(row, rule, city_tz),
        **{name: stated["history"].get(name) for name in _STANDING & needed},
    }
    data = methodology.with_derived(method.derived, row.data or {})
    quantity = methodology.quantify(method, row.data or {}, stated["history"])
    if isinstance(quantity, methodology.Refused):
        return expected | {"reduction_mg": f"refused {quantity.reason}"}
    expected["reduction_mg"] = quantity.reduction_mg
    reduction = incentive.Reduction(
        quantity.reduction_mg, row.scenario, row.evidence_level, method.status
    )
    paid = incentive.apply_rule(rule, reduction, data, stated["history"], stated["counters"])
    if isinstance(paid, incentive.RuleRefused):
        return expected | {"points_before_caps": f"refused {paid.reason}"}
    expected |= {
        "inputs": {**quantity.inputs, **paid.inputs},
        "rule_rows": list(paid.rows),
        "points_before_caps": paid.points_before_caps,
    }
    caps = rule.caps_of(row.scenario, row.evidence_level, paid.rows)
    expected["caps"] = [(cap.name, cap.limit) for cap in caps]
    if len(stated["caps"]) == len(caps):
        used_before = [cap["used_before"] for cap in stated["caps"]]
        amount, cut_by = incentive.cut(caps, paid.points_before_caps, used_before)
        expected |= {"amount": amount, "cut_by": cut_by}
    return expected


def _history(base: EvidenceRow | None, needed: set[str]) -> dict[str, object]:
    """What the base month's own evidence gives of the values needed."""
    if base is None or not needed & NEEDS:
        return {}
    month = evidence.read_month(
        base.evidence_id, base.citizen_id, base.partner_id, base.city_day, base.data or {}
    )
    values = values_of(month) if isinstance(month, Reading) else {}
    return {name: value for name, value in values.items() if name in needed}


_STANDING = {"person_number", "budget_left_percent"}
"""Stated of the moment of the award; the first is checked against the line as a whole."""


def _spans(row: EvidenceRow, rule: incentive.Rule, city_tz: str) -> dict[str, object]:
    """What the event's own time says of the hours, weekdays and months that a rule names."""
    local = row.occurred_at.astimezone(ZoneInfo(city_tz))
    names = incentive.calendar_names(rule.needs.history)
    return {name: incentive.calendar_value(name, local) for name in names}


def _as_found(
    award: Row, row: EvidenceRow, method: methodology.Method, rule: incentive.Rule
) -> dict[str, Any]:
    """What is stored, in the same shape."""
    stated: dict[str, Any] = json.loads(award["stated"])
    return {
        **award,
        "inputs": json.loads(award["inputs"]),
        "rule_rows": list(award["rule_rows"]),
        "history": stated["history"],
        "caps": [(cap["name"], cap["limit"]) for cap in stated["caps"]],
        "covered": row.scenario in method.scenarios
        and method.covers(row.city_day)
        and rule.covers(row.city_day),
    }


def _differs(award: Row, name: str, expected: object, found: object) -> Difference:
    subject = f"award {award['award_id']} {name}"
    return Difference("awards-follow-from-evidence", subject, _shown(expected), _shown(found))


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
