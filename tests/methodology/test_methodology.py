"""Method documents: what is read, what is refused by name, and what quantifying gives."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend import methodology
from backend.kit import canonical
from backend.kit.db import Tx
from backend.kit.needs import DocumentError
from backend.kit.sm import sm3

METRO = methodology.shipped_methods()["transit.metro.trip", 1]
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def a_method(**changes: Any) -> bytes:
    """The shipped metro method with some members changed; None removes a member."""
    return canonical.dumps(json.loads(METRO) | changes)


def needs(**changes: Any) -> dict[str, Any]:
    return json.loads(METRO)["needs"] | changes


def test_w01_agrees_with_the_published_figure() -> None:
    found = methodology.quantify(methodology.read_method(METRO), {"distance_m": 22_000})
    assert isinstance(found, methodology.Quantified)
    assert abs(found.reduction_mg - 4_630_000) <= 10_000


@given(st.integers(1, 150_000), st.integers(1, 150_000))
def test_quantify_is_monotone(one: int, other: int) -> None:
    method = methodology.read_method(METRO)
    short, long = sorted((one, other))
    less = methodology.quantify(method, {"distance_m": short})
    more = methodology.quantify(method, {"distance_m": long})
    assert isinstance(less, methodology.Quantified)
    assert isinstance(more, methodology.Quantified)
    assert less.reduction_mg <= more.reduction_mg


def test_the_digest_is_sm3_over_the_canonical_document() -> None:
    assert methodology.read_method(METRO).digest == sm3(METRO)


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (METRO + b"\n", "not-canonical"),
        (b"[]", "bad-method"),
        (a_method(extra=1), "bad-method"),
        (a_method(format="tanhui-method-v2"), "bad-method"),
        (a_method(id="Metro"), "bad-method"),
        (a_method(id="a" * 33), "bad-method"),
        (a_method(version=0), "bad-method"),
        (a_method(version=True), "bad-method"),
        (a_method(status="draft"), "bad-method"),
        (a_method(scenarios=[]), "bad-scenarios"),
        (a_method(scenarios=["transit.metro.trip"] * 2), "bad-scenarios"),
        (a_method(day_to="2020-01-01"), "bad-window"),
        (a_method(day_from="2026-02-30"), "bad-window"),
        (a_method(needs={"event": {}}), "bad-needs"),
        (a_method(needs=needs(extra={})), "bad-needs"),
        (a_method(needs=needs(event={"distance_m": "float"})), "bad-needs"),
        (a_method(needs=needs(event={"while": "int"})), "bad-needs"),
        (a_method(needs=needs(history={"distance_m": "int"})), "name-twice"),
        (a_method(needs=needs(event={"start_time": "int"})), "names-time-or-place"),
        (a_method(needs=needs(event={"meter_ref": "string"})), "names-time-or-place"),
        (a_method(needs=needs(event={"entry_station": "string"})), "names-time-or-place"),
        (a_method(formula="distance_m *"), "bad-expression"),
        (a_method(formula="distance_m > 3"), "bad-expression"),
        (a_method(formula="unknown_name"), "bad-expression"),
        (a_method(formula="size([1, 2, 3])"), "bad-expression"),
        (a_method(formula="[1, 2].map(x, x)"), "bad-expression"),
        (a_method(formula=" + ".join(["1"] * 129)), "bad-expression"),
        (a_method(bounds=[{"reason": "Bad Reason", "expr": "true"}]), "bad-bounds"),
        (a_method(bounds=[{"reason": "odd", "expr": "1"}]), "bad-expression"),
        (a_method(text={"applicability": "x"}), "bad-text"),
    ],
)
def test_a_bad_document_is_refused_by_name(document: bytes, name: str) -> None:
    with pytest.raises(DocumentError) as refused:
        methodology.read_method(document)
    assert refused.value.name == name


def test_an_approved_method_has_no_weak_parameter() -> None:
    weak = json.loads(METRO)["needs"]
    weak["params"]["mode_ug_per_m"]["grade"] = "C"
    with pytest.raises(DocumentError, match="grade-too-low"):
        methodology.read_method(a_method(needs=weak))
    assert methodology.read_method(a_method(needs=weak, status="provisional"))


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("distance_m - 5", "rule-error"),  # negative does not fit a leaf
        ("distance_m / (distance_m - 3)", "rule-error"),
        ("distance_m * 9223372036854775807", "rule-error"),
        ("distance_m * 9007199254740991", "rule-error"),  # fits int64, not a leaf
    ],
)
def test_errors_of_arithmetic_are_refused(formula: str, reason: str) -> None:
    method = methodology.read_method(a_method(formula=formula))
    assert methodology.quantify(method, {"distance_m": 3}) == methodology.Refused(reason)


def test_bounds_are_checked_in_order_and_before_the_formula() -> None:
    bounds = [
        {"reason": "first", "expr": "distance_m < 10"},
        {"reason": "second", "expr": "distance_m < 5"},
    ]
    method = methodology.read_method(a_method(bounds=bounds, formula="1 / (distance_m - 20)"))
    assert methodology.quantify(method, {"distance_m": 20}) == methodology.Refused("first")
    assert methodology.quantify(method, {"distance_m": 7}) == methodology.Refused("second")


def test_history_enters_beside_the_inputs() -> None:
    document = a_method(
        needs={"event": {}, "history": {"distance_m": "int"}, "counters": {}, "params": {}},
        formula="distance_m * 2",
    )
    method = methodology.read_method(document)
    assert methodology.quantify(method, {"distance_m": 4}) == methodology.Refused("missing-field")
    assert methodology.quantify(method, {}, {"distance_m": 4}) == methodology.Quantified(
        8, {}, {"distance_m": 4}
    )


def test_the_card_shows_headings_and_sources() -> None:
    card = methodology.card(METRO)
    for word in (
        "适用条件",
        "边界",
        "基准线",
        "减排量核算",
        "数据来源与监测",
        "附录",
        "271818",
        "A 级",
    ):
        assert word in card


async def test_a_method_is_in_force_on_its_days_once_enacted(tx: Tx) -> None:
    document = a_method(day_from="2026-03-01", day_to="2026-06-01")
    await methodology.publish(tx, document, NOW)
    await methodology.publish(tx, document, NOW)
    day = date(2026, 3, 1)
    assert await methodology.in_force(tx, "transit.metro.trip", day) is None
    await methodology.enact(tx, "transit.metro.trip", 1, NOW)
    assert await methodology.in_force(tx, "transit.metro.trip", day)
    assert await methodology.in_force(tx, "transit.metro.trip", date(2026, 5, 31))
    assert await methodology.in_force(tx, "transit.metro.trip", date(2026, 6, 1)) is None
    assert await methodology.in_force(tx, "transit.metro.trip", date(2026, 2, 28)) is None
    assert await methodology.in_force(tx, "bike.shared.ride", day) is None
    assert await methodology.document_of(tx, "transit.metro.trip", 1) == document


async def test_a_version_is_never_replaced(tx: Tx) -> None:
    await methodology.publish(tx, METRO, NOW)
    with pytest.raises(DocumentError, match="version-exists"):
        await methodology.publish(tx, a_method(formula="distance_m"), NOW)


async def test_the_highest_version_wins_where_windows_overlap(tx: Tx) -> None:
    await methodology.publish(tx, METRO, NOW)
    await methodology.publish(tx, a_method(version=2, day_from="2026-06-01"), NOW)
    await methodology.enact(tx, "transit.metro.trip", 2, datetime(2026, 1, 1, tzinfo=UTC))
    await methodology.enact(tx, "transit.metro.trip", 1, datetime(2026, 5, 1, tzinfo=UTC))
    calendar = await methodology.calendar(tx)
    before = calendar.in_force("transit.metro.trip", date(2026, 5, 31))
    after = calendar.in_force("transit.metro.trip", date(2026, 6, 1))
    assert before is not None
    assert after is not None
    assert (before.version, after.version) == (1, 2)


async def test_an_approved_method_goes_before_a_provisional_one(tx: Tx) -> None:
    for version, status, day_to in (
        (1, "approved", "2026-06-01"),
        (2, "approved", "2026-06-01"),
        (3, "provisional", None),
    ):
        await methodology.publish(tx, a_method(version=version, status=status, day_to=day_to), NOW)
        await methodology.enact(tx, "transit.metro.trip", version, NOW)
    calendar = await methodology.calendar(tx)
    for day, version in ((date(2026, 5, 31), 2), (date(2026, 6, 1), 3)):
        found = calendar.in_force("transit.metro.trip", day)
        assert found is not None
        assert found.version == version


async def test_of_two_methods_of_one_version_the_later_enactment_wins(tx: Tx) -> None:
    for day, name in ((2, "later"), (1, "earlier")):
        await methodology.publish(tx, a_method(id=name), NOW)
        await methodology.enact(tx, name, 1, datetime(2026, 5, day, tzinfo=UTC))
    found = await methodology.in_force(tx, "transit.metro.trip", date(2026, 6, 1))
    assert found is not None
    assert found.id == "later"


async def test_what_cannot_be_served_is_not_published(tx: Tx) -> None:
    for section, name in (("history", "unknown-history"), ("counters", "unknown-counter")):
        document = a_method(needs=needs(**{section: {"looked_up": "int"}}))
        with pytest.raises(DocumentError) as refused:
            await methodology.publish(tx, document, NOW)
        assert refused.value.name == name
    with pytest.raises(DocumentError, match="unknown-scenario"):
        await methodology.publish(tx, a_method(scenarios=["transit.ferry.trip"]), NOW)


async def test_the_second_compiler_has_a_say(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: if the two compilers disagreed, nothing would be published."""
    monkeypatch.setattr(
        "backend.methodology.publication.disagreement", lambda *_: "reads it differently"
    )
    with pytest.raises(DocumentError, match="cel-disagrees"):
        await methodology.publish(tx, METRO, NOW)
