"""The kinds of activity partners may report, each with the shape of its `data`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backend.kit import canonical

DOCUMENTS = Path(__file__).parent / "documents"


@dataclass(frozen=True, slots=True)
class ScenarioSpec:
    """What a partner may report under a type.

    `data_schema` is a JSON Schema (2020-12); `evidence_level` is what a report signed by the
    partner's own key reaches.
    """

    type: str
    title: str
    data_schema: dict[str, Any]
    evidence_level: str
    example: dict[str, Any]


@cache
def scenarios() -> dict[str, ScenarioSpec]:
    """Every scenario this version of the product knows, by type."""
    listed = json.loads((DOCUMENTS / "scenarios.json").read_text(encoding="utf-8"))
    return {each["type"]: ScenarioSpec(**each) for each in listed}


@cache
def shipped_methods() -> dict[tuple[str, int], bytes]:
    """The methods that come with the product, as canonical JSON, by id and version."""
    found: dict[tuple[str, int], bytes] = {}
    for path in sorted(DOCUMENTS.glob("*.v*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found[document["id"], document["version"]] = canonical.dumps(document)
    return found
