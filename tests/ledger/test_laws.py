"""The ledger's laws as properties over random histories, each shown to fail when code is broken.

A history is a list of awards, reversals, holds and what becomes of them, refunds and lapses of two
people, run against the real database; after it the laws of `replay` must hold, and what is stored
must agree with a plain model in memory.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from backend import ledger
from backend.kit.db import Database, Tx
from backend.ledger import holds, journal, service
from tests.ledger.builders import DAY, MONTHS, NOW, PEOPLE, a_point_award, hold, refund, reverse


@dataclass
class Model:
    """What a person has, without lots or accounts: points with those held, and debt."""

    points: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    debt: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    standing: list[tuple[UUID, UUID, int]] = field(default_factory=list)
    holds: list[tuple[UUID, UUID, int]] = field(default_factory=list)
    spent: list[tuple[UUID, UUID, int]] = field(default_factory=list)

    def net(self, person: UUID) -> int:
        return self.points[person] - self.held[person] - self.debt[person]

    def gain(self, person: UUID, amount: int) -> None:
        repaid = min(amount, self.debt[person])
        self.debt[person] -= repaid
        self.points[person] += amount - repaid

    def award(self, award: ledger.PointAward) -> None:
        self.gain(award.citizen_id, award.amount)
        self.standing.append((award.transfer_id, award.citizen_id, award.amount))

    def reverse(self, at: int) -> UUID | None:
        if not self.standing:
            return None
        transfer_id, person, amount = self.standing.pop(at % len(self.standing))
        taken = min(amount, self.points[person] - self.held[person])
        self.points[person] -= taken
        self.debt[person] += amount - taken
        return transfer_id

    def hold(self, hold_id: UUID, person: UUID, amount: int) -> None:
        self.held[person] += amount
        self.holds.append((hold_id, person, amount))

    def settle(self, at: int, *, post: bool) -> UUID | None:
        if not self.holds:
            return None
        hold_id, person, amount = self.holds.pop(at % len(self.holds))
        self.held[person] -= amount
        if post:
            self.points[person] -= amount
            self.spent.append((hold_id, person, amount))
        return hold_id

    def refund(self, at: int) -> UUID | None:
        if not self.spent:
            return None
        transfer_id, person, amount = self.spent.pop(at % len(self.spent))
        self.gain(person, amount)
        return transfer_id


_PERSON = st.sampled_from(PEOPLE)
_AWARD = st.tuples(_PERSON, st.integers(1, 50), st.sampled_from(MONTHS))
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("award"), st.lists(_AWARD, min_size=1, max_size=4)),
        st.tuples(st.just("reverse"), st.integers(0, 20)),
        st.tuples(st.just("hold"), st.tuples(_PERSON, st.integers(1, 60))),
        st.tuples(st.sampled_from(["post", "void", "refund"]), st.integers(0, 20)),
        st.tuples(st.just("expire"), st.sampled_from([date(2028, 2, 1), date(2028, 3, 15)])),
    ),
    min_size=1,
    max_size=14,
)


_SPENT_REVERSED_EARNED = [
    ("award", [(PEOPLE[0], 10, MONTHS[0])]),
    ("hold", (PEOPLE[0], 7)),
    ("post", 0),
    ("reverse", 0),
    ("award", [(PEOPLE[0], 4, MONTHS[1]), (PEOPLE[1], 9, MONTHS[0]), (PEOPLE[0], 5, MONTHS[2])]),
]
"""A debt of 7, repaid in two steps."""

_REVERSED_WHILE_HELD = [
    ("award", [(PEOPLE[0], 10, MONTHS[0])]),
    ("hold", (PEOPLE[0], 6)),
    ("reverse", 0),
    ("void", 0),
    ("expire", date(2028, 3, 15)),
    ("award", [(PEOPLE[0], 9, MONTHS[2])]),
]
"""A debt beside points that a voided hold set free: together they are nothing."""

_REFUNDED_AFTER_REVERSAL = [
    ("award", [(PEOPLE[0], 10, MONTHS[0])]),
    ("hold", (PEOPLE[0], 8)),
    ("post", 0),
    ("reverse", 0),
    ("refund", 0),
]
"""What comes back repays the debt first."""

_LAPSED_WHILE_HELD = [
    ("award", [(PEOPLE[0], 10, MONTHS[0]), (PEOPLE[0], 5, MONTHS[2])]),
    ("hold", (PEOPLE[0], 8)),
    ("expire", date(2028, 2, 1)),
    ("post", 0),
    ("expire", date(2028, 2, 1)),
    ("refund", 0),
]
"""Of a lapsed lot only what is not held lapses; a refund comes back to where it was."""


class _Undo(Exception):
    pass


async def _step(tx: Tx, model: Model, kind: str, what: Any) -> None:
    """One step of a history, in the database and in the model."""
    if kind == "award":
        awards = [
            a_point_award(citizen_id=p, amount=amount, expiry_month=month)
            for p, amount, month in what
        ]
        await ledger.award_points(tx, awards, NOW)
        for award in awards:
            model.award(award)
    elif kind == "hold":
        hold_id = await hold(tx, *what)
        assert (hold_id is not None) == (model.net(what[0]) >= what[1])
        if hold_id is not None:
            model.hold(hold_id, *what)
    elif kind == "expire":
        for each in await ledger.expire_lapsed(tx, PEOPLE, what, NOW):
            model.points[each.citizen_id] -= each.amount
        for person in PEOPLE:
            balance = await ledger.balance_of(tx, person, "carbon")
            late = [n for month, n in balance.free_lots.items() if month < what.replace(day=1)]
            assert not balance.available or not late
    elif kind == "reverse":
        if (of := model.reverse(what)) is not None:
            await reverse(tx, of)
    elif kind == "refund":
        if (of := model.refund(what)) is not None:
            await refund(tx, of)
    elif (hold_id := model.settle(what, post=kind == "post")) is not None:
        settle = ledger.post_hold(tx, hold_id, DAY, NOW) if kind == "post" else None
        assert await (settle or ledger.void_hold(tx, hold_id, NOW))


async def run_history(db: Database, steps: list[Any]) -> list[Any]:
    """Run a history in a transaction that is undone; what the laws and the model say against it."""
    found: list[Any] = []
    try:
        async with db.transaction() as tx:
            model = Model()
            for kind, what in steps:
                await _step(tx, model, kind, what)
            found += await ledger.replay(tx)
            for person in PEOPLE:
                balance = await ledger.balance_of(tx, person, "carbon")
                lots = sum(n for _, n in balance.lots)
                stored = (balance.available, balance.held, balance.debt, lots)
                net = model.net(person)
                wanted = (max(net, 0), model.held[person], max(-net, 0), model.points[person])
                if stored != wanted:
                    found.append((person, wanted, stored))
            raise _Undo
    except _Undo:
        return found


@pytest.fixture
def laws_hold(server: Any, shared_database: str) -> Any:
    """A property check: runs histories on the shared database, each undone."""
    runner = asyncio.Runner()
    db = runner.run(Database.open(server.url("app", shared_database), size=1))

    def check(examples: int = 60) -> None:
        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
            # Shrinking is for people; a broken variant only has to be caught.
            phases=[Phase.explicit, Phase.generate],
            report_multiple_bugs=False,
        )
        @example(_SPENT_REVERSED_EARNED)
        @example(_REVERSED_WHILE_HELD)
        @example(_LAPSED_WHILE_HELD)
        @example(_REFUNDED_AFTER_REVERSAL)
        @given(_STEPS)
        def histories(steps: list[Any]) -> None:
            assert runner.run(run_history(db, steps)) == []

        histories()

    yield check
    runner.run(db.close())
    runner.close()


def test_the_laws_hold_in_every_history(laws_hold: Any) -> None:
    laws_hold()


async def _balances_twice(tx: Tx, movements: Any) -> None:
    await _MOVE(tx, movements)
    only = journal.Movements()
    only.balances = {k: list(v) for k, v in movements.balances.items()}
    await _MOVE(tx, only)


async def _lots_forgotten(tx: Tx, movements: Any) -> None:
    movements.lots = {k: v for k, v in movements.lots.items() if v > 0}
    await _MOVE(tx, movements)


async def _one_side_only(tx: Tx, movements: Any) -> None:
    movements.balances = {
        k: v for k, v in movements.balances.items() if not k[0].startswith("programme:")
    }
    await _MOVE(tx, movements)


def _debt_not_repaid(award: Any, debt: int) -> Any:
    return _AWARD_POSTINGS(award, 0 * debt)


def _debt_repaid_twice(award: Any, debt: int) -> Any:
    return [*_AWARD_POSTINGS(award, debt), *_AWARD_POSTINGS(award, debt)]


def _no_debt_left(citizen_id: Any, points_class: str, amount: int, lots: Any, first: Any) -> Any:
    return _REVERSAL_POSTINGS(
        citizen_id, points_class, min(amount, sum(lots.values())), lots, first
    )


def _spent_from_nowhere(
    citizen_id: Any, points_class: str, lots: Any, amount: int, end: str
) -> Any:
    return _SPENDING_POSTINGS(citizen_id, points_class, lots, max(1, amount - 1), end)


def _refund_forgets_the_debt(who: Any, what: str, spent: Any, _debt: int, month: Any) -> Any:
    return _REFUND_POSTINGS(who, what, spent, 0, month)


_MOVE = service._move
_SPENDING_POSTINGS = journal.spending_postings
_REFUND_POSTINGS = journal.refund_postings
_AWARD_POSTINGS = journal.award_postings
_REVERSAL_POSTINGS = journal.reversal_postings


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("_move", _balances_twice),
        ("_move", _lots_forgotten),
        ("_move", _one_side_only),
        ("award_postings", _debt_not_repaid),
        ("award_postings", _debt_repaid_twice),
        ("reversal_postings", _no_debt_left),
        ("spending_postings", _spent_from_nowhere),
        ("refund_postings", _refund_forgets_the_debt),
    ],
)
def test_each_law_fails_when_the_code_is_broken(
    laws_hold: Any, monkeypatch: pytest.MonkeyPatch, name: str, broken: Any
) -> None:
    room = holds if name in ("spending_postings", "refund_postings") else service
    monkeypatch.setattr(room, name, broken)
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        laws_hold()
