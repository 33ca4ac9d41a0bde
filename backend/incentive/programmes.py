"""Programmes and their rules in the database: published, enacted, in force by city day."""

from dataclasses import dataclass
from datetime import date, datetime

from backend.incentive.counters import backfill_counters, clear_counters
from backend.incentive.document import Rule, read_rule
from backend.incentive.publication import check_publication
from backend.incentive.use import is_plain
from backend.kit.db import Tx
from backend.kit.needs import DocumentError, contains


@dataclass(frozen=True, slots=True)
class Programme:
    """An incentive with its points class, window in city days, budget periods and expiry."""

    programme_id: str
    name: str
    points_class: str
    day_from: date
    day_to: date | None
    budget_period: str
    expiry_months: int


@dataclass(frozen=True, slots=True)
class RuleInForce:
    """A rule with the window it is enacted for, its programme and the counters kept for it.

    `plain`: none of these counters has a scope or looks back (`is_plain`).
    """

    rule: Rule
    day_from: date
    day_to: date | None
    programme: Programme
    counters: tuple[str, ...]
    plain: bool = True


@dataclass(frozen=True, slots=True)
class RuleCalendar:
    """The enacted rules of all programmes, latest enactment first."""

    entries: tuple[RuleInForce, ...]

    def in_force(self, city_day: date, scenario: str | None = None) -> list[RuleInForce]:
        """One rule for each programme that runs on a city day: the latest enacted one.

        With a scenario, only the rules that may pay for it.
        """
        found: dict[str, RuleInForce] = {}
        for entry in self.entries:
            programme = entry.programme
            if (
                programme.programme_id not in found
                and contains(entry.day_from, entry.day_to, city_day)
                and contains(programme.day_from, programme.day_to, city_day)
            ):
                found[programme.programme_id] = entry
        return [
            found[programme_id]
            for programme_id in sorted(found)
            if scenario is None or found[programme_id].rule.concerns(scenario)
        ]


async def create_programme(tx: Tx, programme: Programme, at: datetime) -> None:
    """Store a programme. The same one again changes nothing; a changed one raises ValueError."""
    await tx.execute(
        """INSERT INTO programme (programme_id, name, class, day_from, day_to, budget_period,
               expiry_months, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (programme_id) DO NOTHING""",
        programme.programme_id,
        programme.name,
        programme.points_class,
        programme.day_from,
        programme.day_to,
        programme.budget_period,
        programme.expiry_months,
        at,
    )
    stored = await programme_of(tx, programme.programme_id)
    if stored != programme:
        raise ValueError(f"programme {programme.programme_id} exists with other values: {stored}")


async def programme_of(tx: Tx, programme_id: str) -> Programme | None:
    """A programme by its id, or None."""
    row = await tx.fetchrow(
        """SELECT programme_id, name, class AS points_class, day_from, day_to, budget_period,
                  expiry_months
           FROM programme WHERE programme_id = $1""",
        programme_id,
    )
    return None if row is None else Programme(**row)


async def publish(tx: Tx, document: bytes, at: datetime) -> Rule:
    """Store a rule version as a draft. The same bytes again change nothing.

    Counters that no earlier version of the programme kept are counted from its awards.
    Raises DocumentError: a reason of `read_rule` or `check_publication`, `unknown-programme`,
    `other-class` or `version-exists`.
    """
    rule = read_rule(document)
    check_publication(rule)
    # Awards hold the programme's row shared: none is made while its counters are being added.
    points_class = await tx.fetchval(
        "SELECT class FROM programme WHERE programme_id = $1 FOR UPDATE", rule.programme
    )
    if points_class is None:
        raise DocumentError("unknown-programme", rule.programme)
    if points_class != rule.points_class:
        raise DocumentError("other-class", f"{rule.programme} gives {points_class} points")
    if await document_of(tx, rule.id, rule.version) == document:
        return rule
    kept = await _counters_kept(tx, rule.programme)
    inserted = await tx.fetchval(
        """INSERT INTO rule (rule_id, version, programme_id, document, digest, day_from, day_to,
               status, published_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, 'draft', $8)
           ON CONFLICT (rule_id, version) DO NOTHING RETURNING version""",
        rule.id,
        rule.version,
        rule.programme,
        document,
        rule.digest,
        rule.day_from,
        rule.day_to,
        at,
    )
    if inserted is None:
        raise DocumentError(
            "version-exists", f"{rule.id} version {rule.version} has another document"
        )
    await backfill_counters(tx, rule.programme, [n for n in rule.counters() if n not in kept])
    return rule


async def withdraw_draft(tx: Tx, rule_id: str, version: int) -> None:
    """Take a draft away, so that it can be drafted anew; what only it counted stands at nothing.

    The database refuses it for a version that was approved. Raises DocumentError `unknown-rule`.
    """
    document = await document_of(tx, rule_id, version)
    if document is None:
        raise DocumentError("unknown-rule", f"{rule_id} version {version}")
    rule = read_rule(document)
    await tx.execute("SELECT 1 FROM programme WHERE programme_id = $1 FOR UPDATE", rule.programme)
    await tx.execute("DELETE FROM rule WHERE rule_id = $1 AND version = $2", rule_id, version)
    kept = await _counters_kept(tx, rule.programme)
    await clear_counters(tx, rule.programme, tuple(rule.counters()), kept)


async def document_of(tx: Tx, rule_id: str, version: int) -> bytes | None:
    """The canonical JSON of a rule version, or None."""
    return await tx.fetchval(
        "SELECT document FROM rule WHERE rule_id = $1 AND version = $2", rule_id, version
    )


async def set_status(
    tx: Tx, rule_id: str, version: int, status: str, at: datetime, day_to: date | None = None
) -> None:
    """Move a rule on: draft → approved → enacted → stopped.

    `enacted` puts it in force, as the chain has it; `stopped` keeps its past window and lowers
    the end to `day_to`. Waits for awards under way. Raises DocumentError `unknown-rule`.
    """
    programme_id = await tx.fetchval(
        "SELECT programme_id FROM rule WHERE rule_id = $1 AND version = $2", rule_id, version
    )
    if programme_id is None:
        raise DocumentError("unknown-rule", f"{rule_id} version {version}")
    await tx.execute("SELECT 1 FROM programme WHERE programme_id = $1 FOR UPDATE", programme_id)
    await tx.execute(
        """UPDATE rule SET status = $3,
               enacted_at = CASE WHEN $3 = 'enacted' THEN coalesce(enacted_at, $4)
                                 ELSE enacted_at END,
               day_to = CASE WHEN $5::date IS NULL THEN day_to ELSE least(day_to, $5) END
           WHERE rule_id = $1 AND version = $2""",
        rule_id,
        version,
        status,
        at,
        day_to,
    )


_PROGRAMMES = """
    SELECT programme_id, name, class AS points_class, day_from, day_to, budget_period, expiry_months
    FROM programme ORDER BY programme_id"""


async def calendar(tx: Tx, *, hold: bool = True) -> RuleCalendar:
    """All enacted rules; holds their programmes shared, so that no window moves until `tx` ends.

    Without `hold`, as one snapshot sees them: for a transaction that only reads.
    """
    programmes = {
        row["programme_id"]: Programme(**row)
        for row in await tx.fetch(_PROGRAMMES + (" FOR SHARE" if hold else ""))
    }
    rows = await tx.fetch(
        """SELECT document, programme_id, day_from, day_to,
                  enacted_at IS NOT NULL AND status IN ('enacted', 'stopped') AS stands
           FROM rule ORDER BY enacted_at DESC NULLS LAST, version DESC, rule_id"""
    )
    kept: dict[str, dict[str, None]] = {}
    for row in rows:
        names = kept.setdefault(row["programme_id"], {})
        names.update(dict.fromkeys(read_rule(row["document"]).counters()))
    entries: list[RuleInForce] = []
    for row in rows:
        if row["stands"]:
            rule, names = read_rule(row["document"]), tuple(kept[row["programme_id"]])
            programme = programmes[row["programme_id"]]
            plain = is_plain(rule, names)
            entries.append(
                RuleInForce(rule, row["day_from"], row["day_to"], programme, names, plain)
            )
    return RuleCalendar(tuple(entries))


async def in_force(tx: Tx, city_day: date) -> list[RuleInForce]:
    """The rule of each programme that runs on a city day."""
    return (await calendar(tx)).in_force(city_day)


async def _counters_kept(tx: Tx, programme_id: str) -> set[str]:
    rows = await tx.fetch("SELECT document FROM rule WHERE programme_id = $1", programme_id)
    return {name for row in rows for name in read_rule(row["document"]).counters()}
