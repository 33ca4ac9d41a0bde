"""Leaves: the published vectors, every constraint of formats.md §4, and the salts."""

import copy
from typing import Any

import pytest

from backend.kit.canonical import dumps
from backend.kit.sm import sm3
from backend.proof import ShapeError, leaves, merkle
from tests.proof.builders import (
    ACCOUNT,
    CITY_TZ,
    EVENT,
    a_method,
    award_fields,
    enactment_fields,
    event_digest,
    reversal_fields,
)

SEED = bytes(range(32))


def changed(fields: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    fields = copy.deepcopy(fields)
    *way, last = path.split(".")
    at: Any = fields
    for name in way:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[last] = value
    return fields


def build(fields: dict[str, Any], kind: int = leaves.TRANSFER) -> leaves.Leaf:
    return leaves.build(kind, fields, SEED, CITY_TZ)


def test_the_published_vectors() -> None:
    assert event_digest("metro", EVENT).hex() == (
        "a0203afdd8fe258b80397b2f044bcdac42d435a2193e81a9668f4291bf47418d"
    )
    assert ACCOUNT.hex() == "e28d809607a454ec30d989ddf5c342bf0e530573"
    audit = {"count": 0, "day": "2026-11-22", "head": "0" * 64}
    disclosure = dumps(["A" * 22, "audit", audit])
    commitment = leaves.commitment(disclosure)
    assert commitment.hex() == "789ce15852fde675f20a0c89bff96019382f8ff4b023c8fc63c9b38f14f0e40f"
    leaf = leaves.leaf_hash(leaves.AUDIT_HEAD, [commitment])
    assert leaf.hex() == "914d42e9a9a8bcb204ad03bdcdeecfcd5e414e8ad161be3baf17f957446b3f0c"
    assert merkle.node_hash(leaf, leaf).hex() == (
        "e072e80ce6ad79e6ac6e4f3a7c749f412a1d18ae4f4e0a6e97a01dce035150e6"
    )
    assert leaves.open_disclosure(disclosure) == ("A" * 22, "audit", audit)
    assert leaves.open_fields(leaves.AUDIT_HEAD, [disclosure], CITY_TZ) == {"audit": audit}


def test_salts_follow_from_the_seed_and_differ() -> None:
    leaf = build(award_fields())
    opened = [leaves.open_disclosure(d)[0] for d in leaf.disclosures]
    assert opened == leaves.salts(SEED, 9)
    assert len(set(opened)) == 9
    assert leaves.salt_bytes(opened[3]) == sm3(SEED + b"\x03")[:16]
    assert build(award_fields()) == leaf
    other = leaves.build(leaves.TRANSFER, award_fields(), bytes(32), CITY_TZ)
    assert not set(other.commitments) & set(leaf.commitments)


def test_a_leaf_opens_whole_and_in_part() -> None:
    fields = award_fields()
    leaf = build(fields)
    assert leaves.open_fields(1, leaf.disclosures, CITY_TZ) == fields
    shared = [*leaf.disclosures[:6], None, None, None]
    assert list(leaves.open_fields(1, shared, CITY_TZ)) == list(fields)[:6]


@pytest.mark.parametrize(
    "fields",
    [
        award_fields(),
        reversal_fields(),
        reversal_fields(act={"act": "expire", "transfer": "x", "of": None, "reason": 1}),
        reversal_fields(act={"act": "expire", "transfer": "x", "of": "lot", "reason": 1}),
        reversal_fields(act={"act": "erase", "transfer": "x", "of": None, "reason": 3}),
        reversal_fields(act={"act": "redeem", "transfer": "x", "of": None, "reason": 0}),
        reversal_fields(act={"act": "refund", "transfer": "x", "of": "y", "reason": 4}),
        changed(reversal_fields(), "occurrence.time", None),
        changed(award_fields(), "occurrence.originaltime", "2018-09-01T08:00:00+08:00"),
    ],
)
def test_every_act_has_its_leaf(fields: dict[str, Any]) -> None:
    assert leaves.open_fields(1, build(fields).disclosures, CITY_TZ) == fields


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("act.act", "mint"),
        ("act.act", ["award"]),
        ("act.transfer", "Upper"),
        ("act.transfer", ""),
        ("act.of", "tr-0"),
        ("act.reason", 1),
        ("act.reason", False),
        ("points.amount", 0),
        ("points.amount", True),
        ("points.class", "Carbon"),
        ("points", {"class": "carbon", "amount": 1, "more": 1}),
        ("method", None),
        ("method.evidence_level", "L5"),
        ("method.evidence_level", {"L": 1}),
        ("method.origin", "statement"),
        ("method.reduction_mg", -1),
        ("method.digest", "A" * 64),
        ("method.version", 0),
        ("rule", None),
        ("rule.row", "long"),
        ("rule.row", [1]),
        ("rule.points_before_caps", -1),
        ("inputs", None),
        ("inputs", {"Distance": 1}),
        ("inputs", {"distance_m": None}),
        ("inputs", {"distance_m": [1]}),
        ("stated.caps", None),
        ("stated.caps", [{"name": "x", "limit": 1}]),
        ("stated.counters", None),
        ("occurrence.time", None),
        ("occurrence.time", "2026-11-22 08:00:00"),
        ("occurrence.time", "2026-11-22T16:00:00Z"),
        ("occurrence.city_day", "2026-11-23"),
        ("occurrence.city_day", "2026-13-01"),
        ("occurrence.originaltime", "yesterday"),
        ("event", None),
        ("event.digest", "00"),
        ("account", "e28d"),
        ("account", None),
    ],
)
def test_an_award_breaking_a_constraint_has_no_leaf(path: str, value: Any) -> None:
    bad = changed(award_fields(), path, value)
    with pytest.raises(ShapeError):
        build(bad)
    # The same values in disclosures are refused by whoever opens them.
    salts = leaves.salts(SEED, 9)
    forged = [dumps([s, n, bad[n]]) for s, n in zip(salts, leaves.FIELDS[1], strict=True) if n]
    with pytest.raises(ShapeError):
        leaves.open_fields(1, forged, CITY_TZ)


@pytest.mark.parametrize("name", ["method", "rule", "inputs", "stated", "event"])
def test_only_an_award_has_a_method_a_rule_and_an_event(name: str) -> None:
    with pytest.raises(ShapeError, match="null"):
        build(reversal_fields(**{name: award_fields()[name]}))


@pytest.mark.parametrize(
    "act",
    [
        {"act": "reverse", "transfer": "x", "of": None, "reason": 2},
        {"act": "refund", "transfer": "x", "of": None, "reason": 4},
        {"act": "redeem", "transfer": "x", "of": "y", "reason": 0},
        {"act": "expire", "transfer": "x", "of": None, "reason": 0},
    ],
)
def test_an_act_names_what_it_undoes_and_why(act: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match="act"):
        build(reversal_fields(act=act))


def test_disclosures_stand_in_order_with_distinct_salts() -> None:
    leaf = build(award_fields())
    swapped = (leaf.disclosures[1], leaf.disclosures[0], *leaf.disclosures[2:])
    with pytest.raises(ShapeError, match="belongs"):
        leaves.open_fields(1, swapped, CITY_TZ)
    first = leaves.open_disclosure(leaf.disclosures[0])[0]
    twice = [
        dumps([first, n, award_fields()[n]]) if n == "points" else d
        for n, d in zip(leaves.FIELDS[1], leaf.disclosures, strict=True)
    ]
    with pytest.raises(ShapeError, match="salt"):
        leaves.open_fields(1, twice, CITY_TZ)


@pytest.mark.parametrize(
    "disclosure",
    [
        b'["AAAAAAAAAAAAAAAAAAAAAB","audit",null]',  # spare bits set
        b'["AAAAAAAAAAAAAAAAAAAAA","audit",null]',
        b'["AAAAAAAAAAAAAAAAAAAAAA", "audit",null]',
        b'["AAAAAAAAAAAAAAAAAAAAAA","audit"]',
        b'["AAAAAAAAAAAAAAAAAAAAAA",1,null]',
        b'{"audit":1}',
        b"not json",
    ],
)
def test_a_disclosure_has_one_spelling(disclosure: bytes) -> None:
    with pytest.raises(ShapeError):
        leaves.open_disclosure(disclosure)


def test_enactments_and_stops() -> None:
    method = a_method()
    for what in ("method", "stop"):
        fields = enactment_fields(what, method)
        assert leaves.open_fields(2, build(fields, 2).disclosures, CITY_TZ) == fields
    build(enactment_fields("stop", method, day_to=method["day_from"]), 2)
    for change in (
        {"what": "law"},
        {"what": ["rule"]},
        {"day_to": method["day_from"]},
        {"approvers": ["0x" + "22" * 20, "0x" + "11" * 20]},
        {"approvers": ["0x" + "11" * 20, "0x" + "11" * 20]},
        {"approvers": ["0x" + "AA" * 20, "0x" + "bb" * 20]},
        {"approvers": []},
    ):
        with pytest.raises(ShapeError):
            build(enactment_fields("method", method, **change), 2)
