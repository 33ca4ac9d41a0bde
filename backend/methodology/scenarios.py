"""The kinds of activity partners may report, each with the shape of its `data`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backend.kit.expr import ExprType
from backend.methodology.derived import Derivation, read_derivations

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class ScenarioSpec:
    """What a partner may report under a type.

    `data_schema` is a JSON Schema (2020-12); `evidence` says what the partner keeps, and
    `evidence_level` (L0 self-report … L4 device-signed) what a report signed by the partner's own
    key reaches. `mode` names a group of activities one person cannot do at once, or is None.
    `starts` is the field of `data` that tells when the activity began: `duration_s` (seconds
    before the event's time), `start` (an instant), or None for a point in time. `derived` are
    integers worked out of `data` before a method sees it, `history` the values that the issuer
    looks up in its own tables. `refusals` are the citizen's sentences by reason.
    """

    type: str
    title: str
    evidence_level: str
    evidence: str
    mode: str | None
    starts: str | None
    derived: tuple[Derivation, ...]
    history: Mapping[str, ExprType]
    data_schema: dict[str, Any]
    example: dict[str, Any]
    refusals: Mapping[str, str]


@cache
def scenarios() -> dict[str, ScenarioSpec]:
    """Every scenario this version of the product knows, by type."""
    listed: list[dict[str, Any]] = json.loads(
        (DOCUMENTS / "scenarios.json").read_text(encoding="utf-8")
    )
    for each in listed:
        each["derived"] = read_derivations(each["derived"])
    return {each["type"]: ScenarioSpec(**each) for each in listed}
