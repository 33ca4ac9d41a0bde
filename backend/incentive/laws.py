"""The laws of awards, asked of the database: counters, caps and budgets equal their sums."""

from collections.abc import Iterable

from backend.incentive.document import Rule, read_rule
from backend.incentive.periods import COUNTED_SQL, PERIOD_SQL, CounterName, counter_name
from backend.kit.db import Tx
from backend.kit.laws import Difference, broken, differences

# Counters = Σ awards that were not released. $1…$5: the counters each programme keeps, as
# (programme, name, what, scope, window).
_COUNTERS = f"""
    WITH kept AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                      AS k (programme_id, name, what, scope, window_name)),
    each AS (
        SELECT a.citizen_id, a.programme_id, k.name, {PERIOD_SQL} AS period,
               {COUNTED_SQL} AS value
        FROM award AS a JOIN kept AS k USING (programme_id)
        WHERE NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)),
    counted AS (
        SELECT citizen_id, programme_id, name, period, sum(value) AS value
        FROM each WHERE period IS NOT NULL GROUP BY 1, 2, 3, 4)
    SELECT concat_ws(' ', citizen_id, programme_id, name, period) AS subject,
           coalesce(s.value, 0)::text AS expected, coalesce(c.value, 0)::text AS found
    FROM counted AS s FULL JOIN counter AS c USING (citizen_id, programme_id, name, period)
    WHERE coalesce(s.value, 0) <> coalesce(c.value, 0)"""  # noqa: S608 - constants only

# Ordered by what was used before each, the awards of a person, programme and window add up
# without gap or overlap; where one was released, in the order of the ids, which are made under
# the person's lock. A release is a step that takes its award's points off again. $1…$4: the window
# of each cap over all awards, as (rule, version, name, window). What a cap over a part of them
# used is checked by its counter.
_CAPS = f"""
    WITH cap AS (
        SELECT rule_id, rule_version, name, w.window_name, NULL::text AS scope
        FROM unnest($1::text[], $2::int[], $3::text[], $4::text[])
             AS w (rule_id, rule_version, name, window_name)),
    used AS (
        SELECT DISTINCT a.award_id, a.citizen_id, a.programme_id, k.window_name, a.amount,
               {PERIOD_SQL} AS period, (stated.cap ->> 'used_before')::bigint AS used_before
        FROM award AS a
        CROSS JOIN LATERAL jsonb_array_elements(a.stated -> 'caps') AS stated (cap)
        JOIN cap AS k ON k.rule_id = a.rule_id AND k.rule_version = a.rule_version
                     AND k.name = stated.cap ->> 'name'),
    steps AS (
        SELECT award_id, award_id AS step, citizen_id, programme_id, window_name, period, amount,
               used_before
        FROM used
        UNION ALL
        SELECT u.award_id, r.release_id, u.citizen_id, u.programme_id, u.window_name, u.period,
               -u.amount, NULL
        FROM used AS u JOIN award_release AS r USING (award_id)),
    placed AS (
        SELECT *, count(*) FILTER (WHERE used_before IS NULL) OVER w = 0 AS rising,
               count(used_before) OVER w AS stating
        FROM steps WINDOW w AS (PARTITION BY citizen_id, programme_id, window_name, period)),
    chained AS (
        SELECT *, coalesce(sum(amount) OVER (
                   PARTITION BY citizen_id, programme_id, window_name, period
                   ORDER BY CASE WHEN rising THEN used_before ELSE 0 END, rising AND amount > 0,
                            step
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS sum_before
        FROM placed)
    SELECT concat_ws(' ', award_id, window_name, period) AS subject, sum_before::text AS expected,
           used_before::text AS found
    FROM chained AS c
    WHERE used_before <> sum_before
      AND stating = (SELECT count(*) FROM award AS a
                     CROSS JOIN (SELECT c.window_name, NULL::text AS scope) AS k
                     WHERE a.citizen_id = c.citizen_id AND a.programme_id = c.programme_id
                       AND {PERIOD_SQL} = c.period)"""  # noqa: S608 - constants only

_LAWS = {
    # What budgets say they issued is what awards gave, and no more than the envelope.
    "budgets-equal-awards": """
        WITH given AS (
            SELECT a.programme_id, sum(a.amount) AS amount,
                   CASE p.budget_period WHEN 'total' THEN 'total'
                        ELSE left(a.city_day::text, 4) END AS period
            FROM award AS a JOIN programme AS p USING (programme_id) GROUP BY 1, 3),
        issued AS (
            SELECT b.programme_id, b.period, b.envelope,
                   b.issued + coalesce((SELECT sum(spent) FROM budget_purse AS p
                                        WHERE p.programme_id = b.programme_id
                                          AND p.period = b.period), 0) AS amount
            FROM budget AS b)
        SELECT concat_ws(' ', programme_id, period) AS subject,
               coalesce(g.amount, 0)::text AS expected,
               concat_ws(' of ', coalesce(i.amount, 0), i.envelope) AS found
        FROM given AS g FULL JOIN issued AS i USING (programme_id, period)
        WHERE coalesce(g.amount, 0) <> coalesce(i.amount, 0)
           OR coalesce(i.amount, 0) > coalesce(i.envelope, 0)""",
    # What is leased from a budget is what its purses hold or spent.
    "leases-equal-purses": """
        SELECT concat_ws(' ', b.programme_id, b.period) AS subject, b.leased::text AS expected,
               coalesce(sum(p.leased), 0)::text AS found
        FROM budget AS b LEFT JOIN budget_purse AS p USING (programme_id, period)
        GROUP BY b.programme_id, b.period HAVING b.leased <> coalesce(sum(p.leased), 0)""",
}


async def check_laws(tx: Tx) -> list[Difference]:
    """Every counter, cap or budget that differs from the sums of the awards; empty when sound."""
    documents = [row["document"] for row in await tx.fetch("SELECT document FROM rule")]
    rules = [read_rule(document) for document in documents]
    found = await broken(tx, _LAWS)
    found += differences("counters-equal-awards", await tx.fetch(_COUNTERS, *_kept_columns(rules)))
    return found + differences("caps-add-up", await tx.fetch(_CAPS, *_cap_columns(rules)))


def _kept_columns(rules: Iterable[Rule]) -> list[list[object]]:
    kept: dict[tuple[str, str], CounterName] = {}
    for rule in rules:
        for name in rule.counters():
            counter = counter_name(name)
            if counter is not None:
                kept[rule.programme, name] = counter
    rows = [(*key, c.what, c.scope, c.window) for key, c in sorted(kept.items())]
    return [[row[at] for row in rows] for at in range(5)]


def _cap_columns(rules: Iterable[Rule]) -> list[list[object]]:
    caps = [
        (rule.id, rule.version, cap.name, cap.window)
        for rule in rules
        for cap in rule.caps
        if cap.scope is None
    ]
    return [[cap[at] for cap in caps] for at in range(4)]
