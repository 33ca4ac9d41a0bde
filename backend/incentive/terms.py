"""What the organiser of a programme lays down beside its rules: who takes part, where, until when.

Terms are a dated record of the database, not of the chain: they decide whether an event counts in a
programme at all, and a refused event has no receipt. What an event is worth stands in the signed
rule alone. A version holds for city days from its `day_from` until that of the next; nothing is
edited.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from backend.kit import canonical
from backend.kit.db import Tx
from backend.kit.needs import DocumentError, items, mapping, text, whole

JURISDICTIONS = Path(__file__).parent / "jurisdictions.json"
DEBITORS = ("citizen", "authority", "operator")
LEVELS = ("L0", "L1", "L2", "L3", "L4")


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What somebody must have attested of a person; None and () ask for nothing."""

    real_name: bool = False
    age_min: int | None = None
    districts: tuple[str, ...] = ()
    vehicle_classes: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether anything is asked at all."""
        return self != Eligibility()

    def admits(self, facts: Mapping[str, str]) -> bool:
        """Whether a person with these attested facts may take part."""
        if self.real_name and facts.get("real_name") != "true":
            return False
        if self.age_min is not None and int(facts.get("age_at_least", "0")) < self.age_min:
            return False
        if self.districts and facts.get("district") not in self.districts:
            return False
        return not self.vehicle_classes or facts.get("vehicle_class") in self.vehicle_classes


@dataclass(frozen=True, slots=True)
class PointPolicy:
    """What may become of the points, and who may take them from an account.

    `worth_points` points are worth `worth_fen` fen; both are 0 where points have no money value.
    """

    cash_out: bool = False
    debit: tuple[str, ...] = ("citizen",)
    worth_points: int = 0
    worth_fen: int = 0

    def fen_of(self, points: int) -> int | None:
        """The money value of points, rounded down; None where they have none."""
        return points * self.worth_fen // self.worth_points if self.worth_points else None


@dataclass(frozen=True, slots=True)
class Watch:
    """What raises alarms, and after how many violations a person earns nothing for how long.

    `awards_per_day`: more awards of one person in a day. `top_percent`: this share of the last 30
    days' points or more goes to one person. `budget_days`: so many days before the budget is
    expected to end.
    """

    awards_per_day: int | None = None
    top_percent: int | None = None
    budget_days: int = 14
    violations_max: int | None = None
    blacklist_days: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of a programme's terms. Empty lists admit everything.

    `claim_days`: days after the activity within which a report still counts. `issue_delay_days`:
    days after the activity before points are given. `levels` are the evidence levels that count.
    `envelope_fen` is what the organiser set aside in money, or None.
    """

    version: int = 0
    day_from: date = date.min
    jurisdiction: str = "cn"
    organiser: str = ""
    scenarios: tuple[str, ...] = ()
    levels: tuple[str, ...] = LEVELS
    claim_days: int | None = None
    issue_delay_days: int = 0
    notice_days: int = 0
    envelope_fen: int | None = None
    eligibility: Eligibility = field(default_factory=Eligibility)
    policy: PointPolicy = field(default_factory=PointPolicy)
    watch: Watch = field(default_factory=Watch)

    def refusal(self, scenario: str, level: str, city_day: date, recorded_day: date) -> str | None:
        """Why an event does not count, as far as the event alone says it."""
        if self.scenarios and scenario not in self.scenarios:
            return "scenario-not-covered"
        if level not in self.levels:
            return "evidence-level-not-covered"
        if self.claim_days is not None and recorded_day > city_day + timedelta(self.claim_days):
            return "claim-too-late"
        return None


NO_TERMS = Terms()
"""Of a programme whose organiser laid down nothing: everything counts."""


@cache
def jurisdictions() -> dict[str, dict[str, Any]]:
    """What the law of a place allows, with source and grade, by its id."""
    return json.loads(JURISDICTIONS.read_text(encoding="utf-8"))


def read_terms(document: object, version: int = 0, day_from: date = date.min) -> Terms:
    """Terms of a JSON object; members left out have their usual value.

    Raises DocumentError `bad-terms`.
    """
    doc = _known(document, Terms, "terms")
    terms = Terms(
        version=version,
        day_from=day_from,
        jurisdiction=text(doc.get("jurisdiction", "cn"), "bad-terms"),
        organiser=text(doc.get("organiser"), "bad-terms"),
        scenarios=_texts(doc, "scenarios"),
        levels=_texts(doc, "levels", LEVELS),
        claim_days=_days(doc, "claim_days"),
        issue_delay_days=_days(doc, "issue_delay_days") or 0,
        notice_days=_days(doc, "notice_days") or 0,
        envelope_fen=_whole(doc, "envelope_fen"),
        eligibility=_eligibility(doc.get("eligibility", {})),
        policy=_policy(doc.get("policy", {})),
        watch=_watch(doc.get("watch", {})),
    )
    if not set(terms.levels) <= set(LEVELS):
        raise DocumentError("bad-terms", f"levels are some of {', '.join(LEVELS)}")
    return terms


def as_document(terms: Terms) -> dict[str, Any]:
    """The terms as a JSON object, version and first day left out."""
    document = asdict(terms)
    del document["version"], document["day_from"]
    return document


async def record_terms(
    tx: Tx, programme_id: str, document: object, day_from: date, by: str, at: datetime
) -> Terms:
    """Lay down the next version, for city days from `day_from`.

    Raises DocumentError: `bad-terms`, `unknown-programme`, `terms-in-the-past` where an earlier
    version begins later, `unknown-jurisdiction`, or `jurisdiction-forbids` where the law of the
    place does not allow it.
    """
    expiry_months = await tx.fetchval(
        "SELECT expiry_months FROM programme WHERE programme_id = $1 FOR UPDATE", programme_id
    )
    if expiry_months is None:
        raise DocumentError("unknown-programme", programme_id)
    last = await tx.fetchrow(
        """SELECT version, day_from FROM programme_terms WHERE programme_id = $1
           ORDER BY version DESC LIMIT 1""",
        programme_id,
    )
    version = 1 if last is None else last["version"] + 1
    if last is not None and day_from < last["day_from"]:
        raise DocumentError("terms-in-the-past", f"version {last['version']} begins later")
    terms = read_terms(document, version, day_from)
    check_law(terms, expiry_months)
    await tx.execute(
        """INSERT INTO programme_terms (programme_id, version, day_from, document, recorded_by,
               recorded_at) VALUES ($1, $2, $3, $4, $5, $6)""",
        programme_id,
        version,
        day_from,
        canonical.dumps(as_document(terms)),
        by,
        at,
    )
    return terms


class TermsCalendar:
    """The terms of all programmes by city day."""

    def __init__(self, versions: Mapping[str, Sequence[Terms]]) -> None:
        self._versions = versions

    def __bool__(self) -> bool:
        return bool(self._versions)

    def of(self, programme_id: str, city_day: date) -> Terms:
        """The latest version that holds on a day."""
        found = NO_TERMS
        for terms in self._versions.get(programme_id, ()):
            if terms.day_from <= city_day:
                found = terms
        return found


async def terms_calendar(tx: Tx) -> TermsCalendar:
    """Every version of every programme's terms."""
    versions: dict[str, list[Terms]] = {}
    for row in await tx.fetch(
        """SELECT programme_id, version, day_from, document FROM programme_terms
           ORDER BY programme_id, version"""
    ):
        terms = _stored(row["document"], row["version"], row["day_from"])
        versions.setdefault(row["programme_id"], []).append(terms)
    return TermsCalendar(versions)


@lru_cache(maxsize=256)
def _stored(document: bytes, version: int, day_from: date) -> Terms:
    return read_terms(canonical.loads_strict(document), version, day_from)


def check_law(terms: Terms, expiry_months: int) -> None:
    """Raise DocumentError `unknown-jurisdiction` or `jurisdiction-forbids`; points live so long."""
    law = jurisdictions().get(terms.jurisdiction)
    if law is None:
        known = ", ".join(jurisdictions())
        raise DocumentError("unknown-jurisdiction", f"{terms.jurisdiction}: one of {known}")
    against = None
    if terms.policy.cash_out and not law["cash_out"]:
        against = "points are not paid out in money"
    elif (
        terms.policy.cash_out
        and law["cash_out_needs_real_name"]
        and not (terms.eligibility.real_name)
    ):
        against = "paying out needs real names"
    elif "operator" in terms.policy.debit and not law["operator_debit"]:
        against = "the operator may not debit points"
    elif expiry_months > law["expiry_months_max"]:
        against = f"points live at most {law['expiry_months_max']} months"
    elif terms.notice_days < law["notice_days_min"]:
        against = f"a public notice lasts at least {law['notice_days_min']} days"
    if against is not None:
        raise DocumentError("jurisdiction-forbids", f"{law['name']}: {against} ({law['source']})")


def _eligibility(document: object) -> Eligibility:
    doc = _known(document, Eligibility, "eligibility")
    return Eligibility(
        real_name=_truth(doc, "real_name"),
        age_min=_days(doc, "age_min"),
        districts=_texts(doc, "districts"),
        vehicle_classes=_texts(doc, "vehicle_classes"),
    )


def _policy(document: object) -> PointPolicy:
    doc = _known(document, PointPolicy, "policy")
    policy = PointPolicy(
        cash_out=_truth(doc, "cash_out"),
        debit=_texts(doc, "debit", ("citizen",)),
        worth_points=_whole(doc, "worth_points") or 0,
        worth_fen=_whole(doc, "worth_fen") or 0,
    )
    if not set(policy.debit) <= set(DEBITORS):
        raise DocumentError("bad-terms", f"debit names some of {', '.join(DEBITORS)}")
    if (policy.worth_points == 0) != (policy.worth_fen == 0):
        raise DocumentError("bad-terms", "worth_points and worth_fen belong together")
    if policy.cash_out and not policy.worth_points:
        raise DocumentError("bad-terms", "what is paid out has a worth")
    return policy


def _watch(document: object) -> Watch:
    doc = _known(document, Watch, "watch")
    days = _days(doc, "budget_days")
    return Watch(
        awards_per_day=_days(doc, "awards_per_day"),
        top_percent=_days(doc, "top_percent"),
        budget_days=14 if days is None else days,
        violations_max=_days(doc, "violations_max"),
        blacklist_days=_days(doc, "blacklist_days"),
    )


def _known(document: object, kind: type, what: str) -> dict[str, Any]:
    doc = mapping(document, "bad-terms")
    odd = doc.keys() - ({each.name for each in fields(kind)} - {"version", "day_from"})
    if odd:
        raise DocumentError("bad-terms", f"{what} has no member {', '.join(sorted(odd))}")
    return doc


def _texts(doc: Mapping[str, Any], name: str, usual: tuple[str, ...] = ()) -> tuple[str, ...]:
    listed = [text(each, "bad-terms") for each in items(doc.get(name, list(usual)), "bad-terms")]
    return tuple(dict.fromkeys(listed))


def _whole(doc: Mapping[str, Any], name: str) -> int | None:
    value = doc.get(name)
    return None if value is None else whole(value, "bad-terms")


def _days(doc: Mapping[str, Any], name: str) -> int | None:
    value = doc.get(name)
    return None if value is None else whole(value, "bad-terms", most=36_500)


def _truth(doc: Mapping[str, Any], name: str) -> bool:
    value = doc.get(name, False)
    if type(value) is not bool:
        raise DocumentError("bad-terms", f"{name} is true or false")
    return value
