"""The kinds of activity: the shape of their data, what is derived of it, their methods' grades."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import methodology
from backend.evidence import compile_schema
from backend.kit import canonical
from backend.kit.needs import GRADES_APPROVED, DocumentError
from backend.methodology.derived import read_derivations
from backend.methodology.grid import grid_methods

SCENARIOS = methodology.scenarios()
OTHER_TYPES: dict[str, Any] = {"integer": "1", "string": 1, "boolean": 1}
ALL_METHODS = methodology.shipped_methods() | grid_methods()
GOLDEN = Path(__file__).parent / "golden" / "grid_methods.txt"

FIELDS = [
    pytest.param(scenario, name, id=f"{scenario} {name}")
    for scenario, spec in SCENARIOS.items()
    for name in spec.data_schema["properties"]
]


@pytest.mark.parametrize("spec", SCENARIOS.values(), ids=SCENARIOS)
def test_a_scenario_says_what_the_platform_goes_by(spec: methodology.ScenarioSpec) -> None:
    assert spec.title
    assert spec.evidence
    assert spec.evidence_level in ("L0", "L1", "L2", "L3", "L4")
    assert spec.mode in ("ride", None)
    assert spec.starts in ("duration_s", "start", None)
    assert spec.starts is None or spec.starts in spec.data_schema["properties"]
    assert compile_schema(spec.data_schema)(spec.example) is None


@pytest.mark.parametrize(("scenario", "name"), FIELDS)
def test_each_field_is_checked(scenario: str, name: str) -> None:
    spec = SCENARIOS[scenario]
    check = compile_schema(spec.data_schema)
    kind = spec.data_schema["properties"][name]["type"]
    assert check(spec.example | {name: OTHER_TYPES[kind]}) == "wrong-type"
    assert check(spec.example | {name: None}) == "wrong-type"
    without = {key: value for key, value in spec.example.items() if key != name}
    assert check(without) == ("missing-field" if name in spec.data_schema["required"] else None)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS.keys() - {"transit.metro.trip"}))
def test_other_fields_are_turned_away(scenario: str) -> None:
    spec = SCENARIOS[scenario]
    assert compile_schema(spec.data_schema)(spec.example | {"plate": "x"}) == "unknown-field"


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "26-01", "2026-10-01", ""])
def test_a_month_is_a_month(month: str) -> None:
    spec = SCENARIOS["energy.home.month"]
    assert compile_schema(spec.data_schema)(spec.example | {"month": month}) == "bad-value"


def derived(listed: list[dict[str, Any]], data: dict[str, object]) -> dict[str, object]:
    return dict(methodology.with_derived(read_derivations(listed), data))


@given(st.integers(2000, 2099), st.integers(1, 12))
def test_the_calendar_gives_a_month_its_days(year: int, month: int) -> None:
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    data: dict[str, object] = {"month": f"{year}-{month:02}"}
    spec = SCENARIOS["energy.home.month"]
    found = methodology.with_derived(spec.derived, data)
    assert found["calendar_days"] == (following - first).days


def test_seconds_between_instants_keep_their_sign_unless_told() -> None:
    data: dict[str, object] = {"a": "2026-11-22T08:00:00+08:00", "b": "2026-11-21T23:59:58Z"}
    lasted = {"name": "s", "from": "a", "to": "b"}
    assert derived([lasted], data)["s"] == -2
    assert derived([lasted | {"absolute": True}], data)["s"] == 2
    assert derived([lasted], {"a": "2026-02-30T00:00:00Z", "b": data["b"]})["s"] is None
    assert derived([lasted], {"a": 5, "b": data["b"]})["s"] is None


def test_a_partner_cannot_state_what_is_derived() -> None:
    method = methodology.read_method(methodology.shipped_methods()["ev.charge.session", 1])
    example = SCENARIOS["ev.charge.session"].example
    found = methodology.quantify(method, example | {"duration_s": 1})
    assert isinstance(found, methodology.Quantified)
    assert found.inputs["duration_s"] == 14_400


@pytest.mark.parametrize("key", sorted(ALL_METHODS))
def test_a_method_with_a_weak_parameter_is_never_approved(key: tuple[str, int]) -> None:
    document = json.loads(ALL_METHODS[key])
    params: dict[str, Any] = document["needs"]["params"]
    grades = {param["grade"] for param in params.values()}
    if document["status"] == "approved":
        assert grades <= GRADES_APPROVED
    else:
        assert "暂行" in document["text"]["applicability"]
        assert "provisional" in document["text"]["applicability"]
        assert "暂行" in methodology.card(ALL_METHODS[key])
    for name, value in params.items():
        for grade in "CMG":
            weak = {**params, name: value | {"grade": grade}}
            needs = document["needs"] | {"params": weak}
            changed = canonical.dumps(document | {"status": "approved", "needs": needs})
            with pytest.raises(DocumentError, match="grade-too-low"):
                methodology.read_method(changed)


def test_methods_made_from_the_grid_table_are_the_signed_ones() -> None:
    made = sorted(
        f"{name} {version} {methodology.read_method(document).digest.hex()}"
        for (name, version), document in grid_methods().items()
    )
    assert made == GOLDEN.read_text("utf-8").splitlines()


def factor_of(name: str, day: date) -> int | None:
    read = (methodology.read_method(d) for (key, _), d in grid_methods().items() if key == name)
    found = [method.params["grid_ug_per_wh"] for method in read if method.covers(day)]
    assert len(found) <= 1
    value = found[0] if found else None
    assert value is None or isinstance(value, int)
    return value


@pytest.mark.parametrize(
    ("name", "day", "ug_per_wh"),
    [
        ("energy.home.month", date(2024, 12, 26), None),
        ("energy.home.month", date(2024, 12, 27), 536_600),
        ("energy.home.month", date(2026, 1, 31), 536_600),
        ("energy.home.month", date(2026, 2, 28), 530_600),
        ("energy.home.month.cn-excl", date(2026, 1, 31), 585_600),
        ("energy.home.month.cn-excl", date(2026, 2, 28), 609_600),
        ("energy.home.month.cn-fossil", date(2026, 2, 28), 827_300),
        ("energy.home.month.gd", date(2026, 2, 28), 440_300),
        ("energy.home.month.sh", date(2026, 1, 31), 584_900),
        ("energy.home.month.sh", date(2026, 2, 28), 573_700),
    ],
)
def test_the_series_published_before_the_day_is_in_force(
    name: str, day: date, ug_per_wh: int | None
) -> None:
    assert factor_of(name, day) == ug_per_wh


def test_every_province_and_series_has_its_method() -> None:
    names = {name for name, _ in grid_methods()}
    assert len(names) == 33
    shipped = {name for name, _ in methodology.shipped_methods() if name.startswith("energy.")}
    assert shipped == {"energy.home.month"}
