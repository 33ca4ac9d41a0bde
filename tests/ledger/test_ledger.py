"""The ledger one act at a time: award, reverse, hold, refund, erase; and what it refuses."""

from datetime import date
from typing import Any

import asyncpg
import pytest

from backend import ledger
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.ledger import chart
from tests.ledger.builders import (
    DAY,
    MONTHS,
    NOW,
    PEOPLE,
    a_point_award,
    hold,
    refund,
    reverse,
    spend,
)


class _Undo(Exception):
    pass


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
