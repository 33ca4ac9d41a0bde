"""The laws of awards, asked of the database: counters, caps and budgets equal their sums."""

from collections.abc import Iterable

from backend.incentive.counters import COUNTERS, WINDOWS
from backend.incentive.document import read_rule
from backend.kit.db import Tx
from backend.kit.laws import Difference, broken, differences

_CHARACTERS = {"day": 10, "month": 7, "year": 4}

# Counters = Σ awards that were not released. $1, $2, $3: the counters each programme keeps, as
# (programme, name, length of the period's text).
_COUNTERS = """
    WITH kept AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) AS k (programme_id, name, length)),
    counted AS (
        SELECT a.citizen_id, a.programme_id, k.name, left(a.city_day::text, k.length) AS period,
               CASE WHEN k.name LIKE 'points%' THEN sum(a.amount) ELSE count(*) END AS value
        FROM award AS a JOIN kept AS k USING (programme_id)
        WHERE NOT EXISTS (SELECT FROM award_release AS r WHERE r.award_id = a.award_id)
        GROUP BY 1, 2, 3, 4)
    SELECT concat_ws(' ', citizen_id, programme_id, name, period) AS subject,
           coalesce(s.value, 0)::text AS expected, coalesce(c.value, 0)::text AS found
    FROM counted AS s FULL JOIN counter AS c USING (citizen_id, programme_id, name, period)
    WHERE coalesce(s.value, 0) <> coalesce(c.value, 0)"""

# Ordered by what was used before each, the awards of a person, programme and window add up
# without gap or overlap; where one was released, in the order of the ids, which are made under
# the person's lock. A release is a step that takes its award's points off again. $1…$4: the window
# of each cap, as (rule, version, position, window).
_CAPS = """
    WITH cap AS (
        SELECT rule_id, rule_version, position, w."window"
        FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[])
             AS w (rule_id, rule_version, position, "window")),
    used AS (
        SELECT DISTINCT a.award_id, a.citizen_id, a.programme_id, cap."window", a.amount,
               left(a.city_day::text, CASE cap."window" WHEN 'day' THEN 10 WHEN 'month' THEN 7
                                      ELSE 4 END) AS period,
               (stated.cap ->> 'used_before')::bigint AS used_before
        FROM award AS a
        CROSS JOIN LATERAL jsonb_array_elements(a.stated -> 'caps')
                           WITH ORDINALITY AS stated (cap, position)
        JOIN cap USING (rule_id, rule_version, position)),
    steps AS (
        SELECT award_id, award_id AS step, citizen_id, programme_id, "window", period, amount,
               used_before
        FROM used
        UNION ALL
        SELECT u.award_id, r.release_id, u.citizen_id, u.programme_id, u."window", u.period,
               -u.amount, NULL
        FROM used AS u JOIN award_release AS r USING (award_id)),
    placed AS (
        SELECT *, count(*) FILTER (WHERE used_before IS NULL) OVER w = 0 AS rising,
               count(used_before) OVER w AS stating
        FROM steps WINDOW w AS (PARTITION BY citizen_id, programme_id, "window", period)),
    chained AS (
        SELECT *, coalesce(sum(amount) OVER (
                   PARTITION BY citizen_id, programme_id, "window", period
                   ORDER BY CASE WHEN rising THEN used_before ELSE 0 END, rising AND amount > 0,
                            step
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS sum_before
        FROM placed)
    SELECT concat_ws(' ', award_id, "window", period) AS subject, sum_before::text AS expected,
           used_before::text AS found
    FROM chained AS c
    WHERE used_before <> sum_before
      AND stating = (SELECT count(*) FROM award AS a
                     WHERE a.citizen_id = c.citizen_id AND a.programme_id = c.programme_id
                       AND left(a.city_day::text, length(c.period)) = c.period)"""

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
    found = await broken(tx, _LAWS)
    kept = sorted({(r.programme, name) for r in map(read_rule, documents) for name in r.counters()})
    lengths = {
        name: _CHARACTERS[window] for name in COUNTERS for window in WINDOWS if window in name
    }
    found += differences(
        "counters-equal-awards",
        await tx.fetch(
            _COUNTERS,
            [programme for programme, _ in kept],
            [name for _, name in kept],
            [lengths[name] for _, name in kept],
        ),
    )
    return found + differences("caps-add-up", await tx.fetch(_CAPS, *_cap_columns(documents)))


def _cap_columns(documents: Iterable[bytes]) -> list[list[object]]:
    caps = [
        (rule.id, rule.version, position, cap.window)
        for rule in map(read_rule, documents)
        for position, cap in enumerate(rule.caps, start=1)
    ]
    return [[cap[at] for cap in caps] for at in range(4)]
