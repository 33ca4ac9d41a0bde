"""A programme gets its points class and its budget: raised on chain first, lowered there last."""

import re
from dataclasses import dataclass

from backend import incentive
from backend.chain import ChainTx, Purpose, Receipt, contracts, explain_failure
from backend.flows.government_lane import (
    Call,
    Deployed,
    Government,
    deployed,
    nothing_more,
    outcome,
    prepare,
    settle,
    standing,
    terms_now,
)
from backend.incentive import Programme
from backend.kit.db import Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem

CLASS_PURPOSE = "set-class"
BUDGET_PURPOSE = "set-budget"
_GAS = 120_000
_YEAR = re.compile(r"20[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The budget of one period (`total` or a year), in whole points."""

    programme_id: str
    period: str
    points: int


async def open_programme(government: Government, programme: Programme) -> None:
    """Store a programme and make its points class known to the chain. Again changes nothing.

    Raises Problem: 409 `programme-exists` (with other values), `not-deployed`, 502
    `chain-refused`, 503 `chain-away`.
    """
    terms = await terms_now(government)
    async with government.db.transaction() as tx:
        place = await deployed(tx)
        try:
            await incentive.create_programme(tx, programme, government.clock.now())
        except ValueError as error:
            raise Problem(409, "programme-exists", f"激励活动已有别的设定:{error}") from error
        if not await standing(tx, CLASS_PURPOSE, programme.points_class):
            data = contracts.set_class_input(programme.points_class, contracts.DEBIT_CHAIN_SENDER)
            call = Call(CLASS_PURPOSE, programme.points_class, place.carbon_points, data, _GAS)
            await prepare(tx, government, terms, call)
    await settle(government, purposes())
    await _refuse_failed(government, CLASS_PURPOSE, programme.points_class)


async def set_envelope(government: Government, envelope: Envelope) -> None:
    """Set the budget of a period. The chain's cap is the sum of the programme's envelopes.

    Raised: the chain first, the database in the commit that finds it final. Lowered: the
    database first, the chain in the same commit's transaction.
    Raises Problem: 404 `unknown-programme`, 422 `bad-period`, 409 `budget-below-issued`,
    `not-deployed`, 502 `chain-refused`, 503
    `chain-away`.
    """
    terms = await terms_now(government)
    ref = None
    async with government.db.transaction() as tx:
        place = await deployed(tx)
        known = await tx.fetchval(
            "SELECT budget_period FROM programme WHERE programme_id = $1 FOR UPDATE",
            envelope.programme_id,
        )
        _check_period(envelope, known)
        present, others = await _envelopes(tx, envelope)
        if present == envelope.points:
            return
        if present is not None and envelope.points < present:
            await _lower(tx, envelope)
        ref = f"{envelope.programme_id}/{envelope.period}/{envelope.points}/{new_id()}"
        await prepare(
            tx, government, terms, _cap_call(place, envelope, others + envelope.points, ref)
        )
    await settle(government, purposes())
    await _refuse_failed(government, BUDGET_PURPOSE, ref)


def purposes() -> dict[str, Purpose]:
    """What happens when calls of this flow settle: a raised envelope takes effect."""

    async def on_budget(tx: Tx, done: ChainTx, _receipt: Receipt | None) -> None:
        if done.state != "final":
            log("budget_refused", ref=done.ref, reason=done.reason)
            return
        programme_id, period, points, _ = done.ref.split("/")
        await incentive.set_envelope(tx, (programme_id, period), int(points))
        log("budget_set", programme_id=programme_id, period=period, points=int(points))

    return {
        CLASS_PURPOSE: Purpose(on_settled=nothing_more, explain=explain_failure),
        BUDGET_PURPOSE: Purpose(on_settled=on_budget, explain=explain_failure),
    }


def _check_period(envelope: Envelope, kind: str | None) -> None:
    """A budget is for `total` or for a year, as its programme says."""
    if kind is None:
        raise Problem(
            404, "unknown-programme", "没有这个激励活动。", programme_id=envelope.programme_id
        )
    if (envelope.period == "total") != (kind == "total") or (
        kind == "year" and _YEAR.fullmatch(envelope.period) is None
    ):
        raise Problem(422, "bad-period", "预算期间与激励活动的设定不符。", period=envelope.period)


async def _envelopes(tx: Tx, envelope: Envelope) -> tuple[int | None, int]:
    """(this period's envelope or None, the sum of the programme's other periods)."""
    present, others = None, 0
    for row in await tx.fetch(
        "SELECT period, envelope FROM budget WHERE programme_id = $1", envelope.programme_id
    ):
        if row["period"] == envelope.period:
            present = row["envelope"]
        else:
            others += row["envelope"]
    return present, others


async def _lower(tx: Tx, envelope: Envelope) -> None:
    try:
        await incentive.set_envelope(tx, (envelope.programme_id, envelope.period), envelope.points)
    except ValueError as error:
        raise Problem(
            409, "budget-below-issued", "预算不能低于已发放的积分。", period=envelope.period
        ) from error


def _cap_call(place: Deployed, envelope: Envelope, cap: int, ref: str) -> Call:
    data = contracts.set_budget_input(envelope.programme_id, cap)
    return Call(BUDGET_PURPOSE, ref, place.carbon_points, data, _GAS)


async def _refuse_failed(government: Government, purpose: str, ref: str) -> None:
    async with government.db.transaction(readonly=True) as tx:
        state = await outcome(tx, purpose, ref)
    if state is not None and state[0] == "failed":
        raise Problem(502, "chain-refused", f"链上设置失败:{state[1]}", ref=ref)
