"""Points in circulation and budgets in public: the ledger beside the chain."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend import incentive, views
from backend.chain import ChainClient, NodeAway, RpcError, contracts
from backend.incentive import BudgetState
from backend.kit.db import Tx
from backend.kit.openapi import Refusal, refusals
from backend.kit.problems import Problem
from backend.kit.services import Services
from backend.views import LANES, LedgerSupply

CHAIN_AWAY: Refusal = (503, "chain-away", "区块链节点暂时没有回答,请稍后重试。")
KEPT_S = 2.0
"""How long an answer is given again: the sums walk over whole tables."""
ATTEMPTS_MAX = 5


class Lanes(BaseModel):
    """Whole points: issued, spent on rewards, and taken out for ever."""

    issued: int
    redeemed: int
    retired: int


class Supply(BaseModel):
    """One class. `in_flight` is in the ledger and not on chain yet.

    `difference` = Σ over the three totals of |ledger − chain − in flight|; 0 when all is well.
    """

    points_class: str = Field(serialization_alias="class")
    ledger: Lanes
    chain: Lanes
    in_flight: Lanes
    difference: int


class SupplyPage(BaseModel):
    """Every class."""

    items: list[Supply]
    next_cursor: None = None


class Budget(BaseModel):
    """An envelope of a programme and what was issued from it, in whole points."""

    programme_id: str
    name: str
    period: str
    envelope: int
    issued: int
    remaining: int
    closed: bool


class BudgetPage(BaseModel):
    """Every budget."""

    items: list[Budget]
    next_cursor: None = None


@dataclass(slots=True)
class _Kept:
    answer: SupplyPage
    at_s: float


class CurrentSupply:
    """What circulates, worked out anew at most every two seconds however many ask."""

    def __init__(self, services: Services, client: ChainClient) -> None:
        self._services = services
        self._client = client
        self._turn = asyncio.Lock()
        self._kept: _Kept | None = None

    async def read(self) -> SupplyPage:
        """Every class. Raises Problem 503 `chain-away`."""
        async with self._turn:
            if self._kept is None or time.monotonic() - self._kept.at_s >= KEPT_S:
                answer = SupplyPage(items=await _supply(self._services, self._client))
                self._kept = _Kept(answer, time.monotonic())
            return self._kept.answer


def add_circulation(public: APIRouter, services: Services, current: CurrentSupply) -> None:
    """`/supply` and `/budgets`."""

    @public.get(
        "/supply",
        summary="Points issued, redeemed, retired: ledger, chain, in flight, difference",
        responses=refusals(CHAIN_AWAY),
    )
    async def supply() -> SupplyPage:  # pyright: ignore[reportUnusedFunction]
        return await current.read()

    @public.get("/budgets", summary="What each programme may issue and has issued")
    async def budgets() -> BudgetPage:  # pyright: ignore[reportUnusedFunction]
        async with services.db.transaction(readonly=True) as tx:
            found = await incentive.budgets(tx)
            names = await programme_names(tx, found)
        return BudgetPage(
            items=[
                Budget(
                    programme_id=each.programme_id,
                    name=names[each.programme_id],
                    period=each.period,
                    envelope=each.envelope,
                    issued=each.issued,
                    remaining=each.envelope - each.issued,
                    closed=each.closed,
                )
                for each in found
            ]
        )


async def programme_names(tx: Tx, found: Sequence[BudgetState]) -> dict[str, str]:
    """What people call the programmes of these budgets."""
    names: dict[str, str] = {}
    for each in found:
        known = await incentive.programme_of(tx, each.programme_id)
        names[each.programme_id] = each.programme_id if known is None else known.name
    return names


async def _supply(services: Services, client: ChainClient) -> list[Supply]:
    """Both sides as of one moment: the chain is asked between two equal looks at open batches."""
    for _ in range(ATTEMPTS_MAX):
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            ledger = await views.ledger_supply(tx)
            known = await views.batches_known(tx)
            places = {each.name: each.address for each in await views.deployed_contracts(tx)}
        points = places.get("CarbonPoints")
        if points is None:
            return [_one(each, (0, 0, 0), set()) for each in ledger]
        try:
            before = await _landed(client, points, ledger)
            totals = await client.calls(
                points, [contracts.totals_call(each.points_class) for each in ledger]
            )
            after = await _landed(client, points, ledger)
        except (NodeAway, RpcError) as error:
            raise Problem(*CHAIN_AWAY, headers={"Retry-After": "2"}) from error
        async with services.db.transaction(readonly=True) as tx:
            unmoved = known == await views.batches_known(tx)
        if unmoved and before == after:
            return [
                _one(each, contracts.read_totals(found), after)
                for each, found in zip(ledger, totals, strict=True)
            ]
    raise Problem(*CHAIN_AWAY, headers={"Retry-After": "1"})


async def _landed(client: ChainClient, points: str, ledger: list[LedgerSupply]) -> set[bytes]:
    """Which of the batches that are not settled took effect on chain already."""
    waiting = [batch_id for each in ledger for batch_id, _, _ in each.open_batches]
    if not waiting:
        return set()
    answers = await client.calls(points, [contracts.batch_call(each) for each in waiting])
    return {
        batch_id
        for batch_id, answer in zip(waiting, answers, strict=True)
        if contracts.read_batch(answer) is not None
    }


def _one(known: LedgerSupply, totals: tuple[int, int, int], landed: set[bytes]) -> Supply:
    chain = dict(zip(LANES, totals, strict=True))
    posted = dict(known.settled)
    for batch_id, kind, total in known.open_batches:
        if batch_id in landed:
            posted[LANES[kind - 1]] += total
    in_flight = {lane: known.unsealed[lane] + known.sealed[lane] - posted[lane] for lane in LANES}
    difference = sum(abs(known.ledger[lane] - chain[lane] - in_flight[lane]) for lane in LANES)
    return Supply(
        points_class=known.points_class,
        ledger=Lanes(**known.ledger),
        chain=Lanes(**chain),
        in_flight=Lanes(**in_flight),
        difference=difference,
    )
