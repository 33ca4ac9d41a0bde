"""`/parking`: a day, a lot's timeline, a stay's way to the block, differences, payouts."""

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import officials, views
from backend.flows.pay_out import pay_out, payout_file
from backend.flows.reconcile_parking import settle_row, work_list
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import KEY_NEEDED, WRITE, IdempotencyKey, In, Once, example
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session
from backend.parking import assets, city_calendar
from backend.payments import orders

UNKNOWN_STAY: Refusal = (404, "unknown-stay", "没有这次停车。")
UNKNOWN_DIFFERENCE: Refusal = (404, "unknown-difference", "没有这项未处理的差异。")
NOT_BANKING: Refusal = (409, "not-a-banking-day", "这一天不是银行工作日。")
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Day = Annotated[date, Query(description="A city_day")]


class BoardOut(BaseModel):
    """A day of all lots; money in fen."""

    day: date
    charged: int
    excepted: int
    charged_fen: int
    paid_fen: int
    refunded_fen: int
    parties: list[dict[str, Any]]
    settlements: list[dict[str, Any]]
    exceptions: list[dict[str, Any]]
    ageing: list[dict[str, Any]]


class Listed(BaseModel):
    """Rows, as they are described."""

    items: list[dict[str, Any]]
    next_cursor: None = None


class PathOut(BaseModel):
    """One stay from gate event to block; `lines` are what each party got and gave back."""

    stay_id: UUID
    lot_id: str
    entered_at: datetime
    left_at: datetime | None
    exit_event: UUID | None
    gate_in: str
    gate_out: str | None
    tariff_version: int | None
    charge_fen: int | None
    order_id: UUID | None
    payment: str | None
    rail_ref: str | None
    paid_at: datetime | None
    refunded_fen: int | None
    book_day: date | None
    settled_part: int | None
    closed_at: datetime | None
    tx: str | None
    block: int | None
    final_at: datetime | None
    lines: list[dict[str, Any]]


class ResolveIn(In):
    """What came of a difference."""

    model_config = example({"resolution": "渠道次日到账,已核实"})

    resolution: str = Field(min_length=1, max_length=500)


class PartyIn(In):
    """Who takes part in the money; `merchant`: has a merchant account at the rail."""

    model_config = example({"kind": "manager", "name": "示范物业", "merchant": True})

    kind: Literal["manager", "public-body", "operator", "platform", "city"]
    name: str = Field(min_length=1, max_length=64)
    merchant: bool
    partner_id: Id | None = None


class PartyOut(BaseModel):
    """A party as it stands; `account` is its pseudonym on chain."""

    party_id: str
    kind: str
    name: str
    merchant: bool
    partner_id: str | None
    account: str


class Settled(BaseModel):
    """A difference that is settled."""

    file_id: UUID
    n: int


class PayoutsOut(BaseModel):
    """What was sent on a day, and the file for the bank (CSV)."""

    day: date
    amount_fen: int
    items: list[dict[str, Any]]
    file: str


def router(office: Office) -> APIRouter:
    """The routes."""
    door = APIRouter()
    _add_reading(door, office)
    _add_path(door, office)
    _add_differences(door, office)
    _add_parties(door, office)
    _add_payouts(door, office)
    return door


def _add_reading(door: APIRouter, office: Office) -> None:
    services, reads = office.services, Gate(office.services).require("parking.read")

    @door.get(
        "/parking/days/{day}",
        summary="A day of all car parks",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def board(day: date, _session: Annotated[Session, Depends(reads)]) -> BoardOut:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await views.parking_day(tx, day)
            ageing = await orders.ageing(tx, services.clock.now())
        return BoardOut(**found, ageing=[dict(row) for row in ageing])

    @door.get(
        "/parking/lots/{lot_id}/timeline",
        summary="A lot's day, stay by stay",
        responses=refusals(*GATED, BAD_SHAPE),
    )
    async def timeline(
        lot_id: Id, day: Day, _session: Annotated[Session, Depends(reads)]
    ) -> Listed:
        async with services.db.transaction(readonly=True) as tx:
            return Listed(items=await views.lot_timeline(tx, lot_id, day))


def _add_path(door: APIRouter, office: Office) -> None:
    services, reads = office.services, Gate(office.services).require("parking.read")

    @door.get(
        "/parking/stays/{stay_id}",
        summary="One stay's way from the gate event to the block",
        responses=refusals(*GATED, UNKNOWN_STAY, BAD_SHAPE),
    )
    async def path(stay_id: UUID, _session: Annotated[Session, Depends(reads)]) -> PathOut:
        async with services.db.transaction(isolation="repeatable_read", readonly=True) as tx:
            found = await views.money_path(tx, stay_id)
        if found is None:
            raise Problem(*UNKNOWN_STAY, stay_id=str(stay_id))
        return PathOut.model_validate(found)


def _add_differences(door: APIRouter, office: Office) -> None:
    services, gate = office.services, Gate(office.services)
    once = Once(services)

    @door.get(
        "/parking/differences",
        summary="Differences with operators' and rails' files that nobody settled, oldest first",
        responses=refusals(*GATED),
    )
    async def differences(
        _session: Annotated[Session, Depends(gate.require("parking.read"))],
    ) -> Listed:
        async with services.db.transaction(readonly=True) as tx:
            rows = await work_list(tx, services.clock.now())
        return Listed(items=[dict(row) for row in rows])

    @door.post(
        "/parking/differences/{file_id}/{n}",
        summary="Settle a difference",
        response_model=Settled,
        responses=refusals(*GATED, UNKNOWN_DIFFERENCE, *WRITE),
    )
    async def settle(
        request: Request,
        file_id: UUID,
        n: Annotated[int, Field(ge=0, le=2**31 - 1)],
        asked: ResolveIn,
        session: Annotated[Session, Depends(gate.require("parking.settle"))],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> Settled:
            await settle_row(services.db, file_id, n, asked.resolution, services.clock.now())
            await _note(office, session, "parking.difference", f"{file_id}/{n}", asked.resolution)
            return Settled(file_id=file_id, n=n)

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_parties(door: APIRouter, office: Office) -> None:
    services = office.services
    once, manages = Once(services), Gate(services).require("parking.manage")

    @door.put(
        "/parking/parties/{party_id}",
        summary="Enter a party",
        response_model=PartyOut,
        responses=refusals(*GATED, (404, "unknown-partner", "没有这个合作平台。"), *WRITE),
    )
    async def enter(
        request: Request,
        party_id: Id,
        asked: PartyIn,
        session: Annotated[Session, Depends(manages)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> PartyOut:
            async with services.db.transaction() as tx:
                cards = await views.partner_cards(tx)
                if asked.partner_id is not None and asked.partner_id not in cards:
                    raise Problem(404, "unknown-partner", "没有这个合作平台。")
                party = await assets.enter_party(
                    tx,
                    party_id,
                    kind=asked.kind,
                    name=asked.name,
                    merchant=asked.merchant,
                    partner_id=asked.partner_id,
                    now=services.clock.now(),
                )
            await _note(office, session, "parking.party", party_id, asked.name)
            return PartyOut(
                party_id=party.party_id,
                kind=party.kind,
                name=party.name,
                merchant=party.merchant,
                partner_id=party.partner_id,
                account=party.account.hex(),
            )

        return await once(request, session.official.official_id, idempotency_key, write)


def _add_payouts(door: APIRouter, office: Office) -> None:
    services = office.services
    once, settles = Once(services), Gate(services).require("parking.settle")
    calendar = city_calendar(services.settings.city_tz)

    @door.post(
        "/parking/payouts/{day}",
        summary="Send parties what they are due (T+1); again gives the same list",
        response_model=PayoutsOut,
        responses=refusals(*GATED, NOT_BANKING, KEY_NEEDED, *WRITE),
    )
    async def payouts(
        request: Request,
        day: date,
        session: Annotated[Session, Depends(settles)],
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        async def write() -> PayoutsOut:
            made = await pay_out(services.db, calendar, day, services.clock.now())
            await _note(office, session, "parking.payout", str(day), str(len(made)))
            return PayoutsOut(
                day=day,
                amount_fen=sum(each.amount_fen for each in made),
                items=[
                    {
                        "party_id": each.party_id,
                        "amount_fen": each.amount_fen,
                        "repaid_fen": each.repaid_fen,
                    }
                    for each in made
                ],
                file=payout_file(day, made).decode(),
            )

        return await once(
            request, session.official.official_id, idempotency_key, write, compulsory=True
        )


async def _note(office: Office, session: Session, act: str, about: str, said: str) -> None:
    async with office.services.db.transaction() as tx:
        await officials.note(
            tx,
            actor=session.official.official_id,
            act=act,
            about=about,
            detail={"said": said},
            at=office.services.clock.now(),
        )
