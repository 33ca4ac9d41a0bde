"""The ledger's laws as properties over random histories, each shown to fail when code is broken.

A history is a list of awards and reversals of two people, run against the real database; after it
the laws of `replay` must hold, and what is stored must agree with a plain model in memory.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from backend import ledger
from backend.kit.db import Database, Tx
from backend.kit.ids import new_id
from backend.ledger import chart, holds, journal, service

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = date(2026, 11, 22)
PEOPLE = (UUID(int=1), UUID(int=2))
MONTHS = (date(2028, 1, 1), date(2028, 2, 1), date(2028, 3, 1))


def a_point_award(**changes: Any) -> ledger.PointAward:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "citizen_id": PEOPLE[0],
        "points_class": "carbon",
        "amount": 10,
        "programme_id": "green",
        "rule_id": "metro",
        "rule_version": 1,
        "city_day": DAY,
        "expiry_month": MONTHS[0],
    }
    return ledger.PointAward(**values | changes)


async def reverse(tx: Tx, of: UUID, **changes: Any) -> ledger.Reversal:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "of_transfer": of,
        "city_day": DAY,
        "idempotency_key": f"reverse:{of}",
        "body_digest": bytes(32),
        "note": "误报",
        "at": NOW,
    }
    return await ledger.reverse_award(tx, **values | changes)


async def refund(tx: Tx, of: UUID, **changes: Any) -> ledger.Spent:
    values: dict[str, Any] = {
        "transfer_id": new_id(),
        "of_transfer": of,
        "city_day": DAY,
        "note": "商品已售罄",
        "at": NOW,
    }
    return await ledger.refund_redemption(tx, **values | changes)


async def hold(tx: Tx, citizen_id: UUID, amount: int) -> UUID | None:
    """Set points aside; None where there are too few."""
    hold_id = new_id()
    wanted: dict[str, Any] = {"citizen_id": citizen_id, "points_class": "carbon", "amount": amount}
    try:
        await ledger.hold_points(tx, hold_id=hold_id, **wanted, at=NOW)
    except ledger.LedgerError:
        return None
    return hold_id


async def spend(tx: Tx, citizen_id: UUID, amount: int) -> None:
    """Redeem so many points, or what there is."""
    balance = await ledger.balance_of(tx, citizen_id, "carbon")
    if part := min(amount, balance.available):
        hold_id = await hold(tx, citizen_id, part)
        assert hold_id is not None
        await ledger.post_hold(tx, hold_id, DAY, NOW)


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


async def test_each_law_names_a_row_planted_wrong(tx: Tx) -> None:
    """Every law of `replay` by itself: a planted fault is found, and under the right name."""
    citizen = PEOPLE[0]
    await ledger.award_points(tx, [a_point_award(), a_point_award(citizen_id=PEOPLE[1])], NOW)
    assert await hold(tx, citizen, 3) is not None
    await spend(tx, PEOPLE[1], 4)
    assert await ledger.replay(tx) == []
    points, debt = chart.citizen_points(citizen), chart.citizen_debt(citizen)
    faults = {
        "balances-follow-from-postings": (
            f"UPDATE balance SET input = 11 WHERE account = '{points}'"
        ),
        "lots-follow-from-postings": "UPDATE lot SET open = 11",
        "open-lots-equal-available": "UPDATE lot SET open = 9",
        "holds-are-covered": f"INSERT INTO hold VALUES ('{new_id()}', '{citizen}', 'carbon', 8,"
        " 'open', now())",
        "holds-become-redemptions": "UPDATE hold SET state = 'posted', settled_at = now()",
        "a-refund-is-its-redemption": "INSERT INTO transfer (transfer_id, act, reason, of_transfer,"
        " citizen_id, class, amount, city_day, created_at) SELECT gen_random_uuid(), 'refund', 4,"
        " transfer_id, citizen_id, class, amount, city_day, created_at FROM transfer"
        " WHERE act = 'award'",
        "a-debt-is-repaid-first": f"INSERT INTO balance VALUES ('{debt}', 'POINT/carbon', 0, 1)",
        "totals-are-constant": f"UPDATE balance SET input = 12 WHERE account = '{points}'",
        "a-transfer-is-its-postings": "INSERT INTO transfer SELECT gen_random_uuid(), act, reason,"
        " of_transfer, citizen_id, class, amount, programme_id, rule_id, rule_version, city_day,"
        " idempotency_key, body_digest, note, created_at FROM transfer LIMIT 1",
    }
    from backend.ledger.replay import LAWS

    assert set(faults) == set(LAWS)
    for law, fault in faults.items():
        try:
            async with tx.savepoint():
                await tx.execute(fault)
                assert law in {each.law for each in await ledger.replay(tx)}
                raise _Undo
        except _Undo:
            pass
    assert await ledger.replay(tx) == []


async def test_a_debt_is_repaid_first(tx: Tx) -> None:
    first, second = a_point_award(amount=10), a_point_award(amount=4, expiry_month=MONTHS[1])
    await ledger.award_points(tx, [first], NOW)
    await spend(tx, PEOPLE[0], 7)
    await reverse(tx, first.transfer_id)
    assert await ledger.balance_of(tx, PEOPLE[0], "carbon") == ledger.Balance(0, 0, 7, ())
    await ledger.award_points(tx, [second], NOW)
    assert await ledger.balance_of(tx, PEOPLE[0], "carbon") == ledger.Balance(0, 0, 3, ())
    await ledger.award_points(tx, [a_point_award(amount=5), a_point_award(amount=6)], NOW)
    balance = await ledger.balance_of(tx, PEOPLE[0], "carbon")
    assert (balance.available, balance.debt) == (8, 0)
    assert await ledger.replay(tx) == []


async def test_a_reversal_takes_its_own_lot_first(tx: Tx) -> None:
    early = a_point_award(amount=10, expiry_month=MONTHS[0])
    late = a_point_award(amount=10, expiry_month=MONTHS[2])
    await ledger.award_points(tx, [early, late], NOW)
    await reverse(tx, late.transfer_id)
    assert (await ledger.balance_of(tx, PEOPLE[0], "carbon")).lots == ((MONTHS[0], 10),)


async def test_classes_never_mix(tx: Tx) -> None:
    award = a_point_award(amount=10, points_class="carbon")
    other = a_point_award(amount=20, points_class="congestion")
    await ledger.award_points(tx, [award, other], NOW)
    await spend(tx, PEOPLE[0], 10)
    await reverse(tx, award.transfer_id)
    assert (await ledger.balance_of(tx, PEOPLE[0], "carbon")).debt == 10
    congestion = await ledger.balance_of(tx, PEOPLE[0], "congestion")
    assert (congestion.available, congestion.debt) == (20, 0)
    assert await ledger.replay(tx) == []


async def test_what_is_held_cannot_be_held_again(tx: Tx) -> None:
    await ledger.award_points(tx, [a_point_award(amount=10)], NOW)
    first = await hold(tx, PEOPLE[0], 7)
    assert first is not None
    assert await hold(tx, PEOPLE[0], 4) is None
    assert await ledger.balance_of(tx, PEOPLE[0], "carbon") == ledger.Balance(
        3, 7, 0, ((MONTHS[0], 10),)
    )
    assert await ledger.void_hold(tx, first, NOW)
    assert not await ledger.void_hold(tx, first, NOW)
    with pytest.raises(ledger.LedgerError, match="hold-voided"):
        await ledger.post_hold(tx, first, DAY, NOW)
    second = await hold(tx, PEOPLE[0], 10)
    assert second is not None
    assert await ledger.post_hold(tx, second, DAY, NOW)
    assert not await ledger.post_hold(tx, second, DAY, NOW)
    with pytest.raises(ledger.LedgerError, match="hold-posted"):
        await ledger.void_hold(tx, second, NOW)
    assert await ledger.balance_of(tx, PEOPLE[0], "carbon") == ledger.Balance(0, 0, 0, ())
    assert await ledger.replay(tx) == []


async def test_a_redemption_spends_what_lapses_first_and_a_refund_puts_it_back(tx: Tx) -> None:
    awards = [a_point_award(amount=6, expiry_month=month) for month in reversed(MONTHS)]
    await ledger.award_points(tx, awards, NOW)
    redemption = await hold(tx, PEOPLE[0], 8)
    assert redemption is not None
    await ledger.post_hold(tx, redemption, DAY, NOW)
    left = (await ledger.balance_of(tx, PEOPLE[0], "carbon")).lots
    assert left == ((MONTHS[1], 4), (MONTHS[2], 6))
    # By the time of the refund the first month has lapsed: it comes back to the present one.
    await refund(tx, redemption, city_day=date(2028, 2, 20))
    back = (await ledger.balance_of(tx, PEOPLE[0], "carbon")).lots
    assert back == ((MONTHS[1], 12), (MONTHS[2], 6))
    with pytest.raises(ledger.LedgerError, match="already-refunded"):
        await refund(tx, redemption)
    with pytest.raises(ledger.LedgerError, match="not-a-redemption"):
        await refund(tx, awards[0].transfer_id)
    with pytest.raises(ledger.LedgerError, match="unknown-transfer"):
        await refund(tx, new_id())
    assert await ledger.replay(tx) == []


async def test_erasing_retires_what_is_left(tx: Tx) -> None:
    await ledger.award_points(
        tx, [a_point_award(amount=6), a_point_award(amount=3, points_class="congestion")], NOW
    )
    held = await hold(tx, PEOPLE[0], 2)
    assert held is not None
    with pytest.raises(ledger.LedgerError, match="redemption-under-way"):
        await ledger.retire_all(tx, PEOPLE[0], DAY, NOW)
    await ledger.void_hold(tx, held, NOW)
    spent = await ledger.retire_all(tx, PEOPLE[0], DAY, NOW)
    assert [(each.points_class, each.amount) for each in spent] == [
        ("carbon", 6),
        ("congestion", 3),
    ]
    assert await ledger.retire_all(tx, PEOPLE[0], DAY, NOW) == []
    assert await ledger.replay(tx) == []


async def _everything(tx: Tx) -> list[Any]:
    """Every byte of the ledger."""
    found: list[Any] = []
    for table in ("transfer", "posting", "balance", "lot"):
        rows = await tx.fetch(f"SELECT t::text AS row FROM {table} AS t ORDER BY 1")
        found += [(table, row["row"]) for row in rows]
    return found


async def test_a_refused_operation_changes_no_byte(tx: Tx) -> None:
    award = a_point_award()
    await ledger.award_points(tx, [award], NOW)
    reversal = await reverse(tx, award.transfer_id)
    before = await _everything(tx)
    refusals = {
        "unknown-transfer": {"of": new_id()},
        "already-reversed": {"of": award.transfer_id, "idempotency_key": "another"},
        "not-an-award": {"of": reversal.transfer_id},
        "idempotency-conflict": {"of": award.transfer_id, "body_digest": b"\1" * 32},
    }
    for name, how in refusals.items():
        with pytest.raises(ledger.LedgerError) as refused:
            await reverse(tx, how.pop("of"), **how)  # type: ignore[arg-type]
        assert refused.value.name == name
        assert await _everything(tx) == before, name


async def test_the_same_key_gives_the_first_answer_again(tx: Tx) -> None:
    award = a_point_award()
    await ledger.award_points(tx, [award], NOW)
    first = await reverse(tx, award.transfer_id)
    before = await _everything(tx)
    again = await reverse(tx, award.transfer_id)
    assert (again.transfer_id, again.amount, again.repeated) == (first.transfer_id, 10, True)
    assert await _everything(tx) == before


@pytest.mark.parametrize("table", ["transfer", "posting"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET amount = amount", "DELETE FROM {}", "TRUNCATE {}"]
)
async def test_the_app_s_role_cannot_change_the_journal(tx: Tx, table: str, change: str) -> None:
    await ledger.award_points(tx, [a_point_award()], NOW)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tx.savepoint():
            await tx.execute(change.format(table))


@pytest.mark.parametrize("change", ["UPDATE award SET amount = 0", "DELETE FROM award"])
async def test_the_app_s_role_cannot_change_an_award(tx: Tx, change: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tx.savepoint():
            await tx.execute(change)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE balance SET output = input + 1 WHERE account LIKE '%:points'",
        "UPDATE lot SET open = -1",
    ],
)
async def test_the_database_itself_refuses_points_below_zero(tx: Tx, statement: str) -> None:
    await ledger.award_points(tx, [a_point_award()], NOW)
    with pytest.raises(asyncpg.CheckViolationError):
        async with tx.savepoint():
            await tx.execute(statement)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 11, 22), 24, date(2028, 11, 1)),
        (date(2026, 12, 31), 1, date(2027, 1, 1)),
        (date(2026, 1, 31), 12, date(2027, 1, 1)),
    ],
)
def test_points_lapse_at_a_month_s_end(day: date, months: int, expected: date) -> None:
    assert ledger.expiry_month_of(day, months) == expected


@pytest.mark.parametrize(
    "text",
    [
        "programme:green-2026:issued",
        f"citizen:{PEOPLE[0]}:points",
        f"citizen:{PEOPLE[0]}:debt",
        "class:carbon:reversed",
    ],
)
def test_accounts_read_back_as_spelled(text: str) -> None:
    assert str(chart.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bank:x:issued",
        "programme:Green:issued",
        "programme:green:points",
        "citizen:1:points",
        f"citizen:{PEOPLE[0]}:issued",
        "class:carbon",
    ],
)
def test_what_is_not_in_the_chart_is_no_account(text: str) -> None:
    with pytest.raises(ValueError, match=r"chart|id"):
        chart.parse(text)
