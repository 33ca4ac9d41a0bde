"""`/rules/{id}/{version}/decisions`: try a version on one made-up event, with the reasons."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr

from backend import incentive
from backend.flows.rule_words import rule_words
from backend.gov_api.gate import GATED, Gate
from backend.gov_api.office import Office
from backend.gov_api.writing import TOO_LARGE, In, example
from backend.incentive import Reduction
from backend.kit.needs import INTEGER_MAX
from backend.kit.openapi import BAD_SHAPE, Refusal, refusals
from backend.kit.problems import Problem
from backend.officials import Session

UNKNOWN: Refusal = (404, "unknown-document", "没有这个版本的文件。")

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9.-]{0,31}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
Count = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
Given = StrictBool | Annotated[StrictInt, Field(ge=-INTEGER_MAX, le=INTEGER_MAX)] | StrictStr


class DecisionIn(In):
    """What a rule may read of the event; `used_before` are points by the name of the cap."""

    model_config = example(
        {
            "scenario": "transit.metro.trip",
            "reduction_mg": 2_525_448,
            "inputs": {"distance_m": 12_000},
            "used_before": {"每日上限": 54},
        }
    )

    scenario: Annotated[str, Field(max_length=64)]
    evidence_level: Literal["L0", "L1", "L2", "L3", "L4"] = "L3"
    status: Literal["approved", "provisional"] = "approved"
    reduction_mg: Count = 0
    inputs: dict[str, Given] = Field(default_factory=dict[str, Given])
    history: dict[str, Given] = Field(default_factory=dict[str, Given])
    counters: dict[str, Count] = Field(default_factory=dict[str, Count])
    used_before: dict[str, Count] = Field(default_factory=dict[str, Count])


class RowOut(BaseModel):
    """A row that pays, by its number in the document."""

    number: int
    id: str


class DecisionOut(BaseModel):
    """What the rule pays and why; `reason` is that of a refusal."""

    rows: list[RowOut]
    points_before_caps: int
    amount: int
    cut_by: str | None
    reason: str | None
    lines: list[str] = Field(description="The same in Chinese")


def router(office: Office) -> APIRouter:
    """The route."""
    door = APIRouter()
    services = office.services
    gate = Gate(services)

    @door.post(
        "/rules/{name}/{version}/decisions",
        summary="What a version would pay for one made-up event, and why; nothing is stored",
        responses=refusals(*GATED, UNKNOWN, BAD_SHAPE, TOO_LARGE),
    )
    async def decide(  # pyright: ignore[reportUnusedFunction]
        name: Name,
        version: Version,
        asked: DecisionIn,
        _session: Annotated[Session, Depends(gate.require("rules.read"))],
    ) -> DecisionOut:
        async with services.db.transaction(readonly=True) as tx:
            document = await incentive.document_of(tx, name, version)
        if document is None:
            raise Problem(*UNKNOWN)
        found = incentive.decide(
            incentive.read_rule(document),
            Reduction(asked.reduction_mg, asked.scenario, asked.evidence_level, asked.status),
            asked.inputs,
            asked.history,
            asked.counters,
            asked.used_before,
        )
        return DecisionOut(
            rows=[RowOut(number=number, id=row) for number, row in found.rows],
            points_before_caps=found.points_before_caps,
            amount=found.amount,
            cut_by=found.cut_by,
            reason=found.reason,
            lines=incentive.explained(found, rule_words()),
        )

    return door
