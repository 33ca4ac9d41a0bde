"""Shares lose no fen; the rail refuses what it cannot do, and the linter knows before."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit.needs import DocumentError
from backend.parking.split import read_contract, shares_for, split_fen, take_back_fen
from backend.payments import WECHAT_LIKE, RailRefused, Receiver, SandboxRail, sandbox
from backend.payments.linter import Part, lint, propose
from tests.flows.parking_world import a_contract, at

CONTRACT = read_contract(a_contract())
SHARES = shares_for(CONTRACT, "owner-1")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000_000))
def test_the_parts_are_the_whole(amount_fen: int):
    parts = split_fen(amount_fen, SHARES, "operator")
    assert sum(parts.values()) == amount_fen
    for share in SHARES:
        exact = amount_fen * share.share_bp
        assert exact // 10_000 <= parts[share.party_id] <= exact // 10_000 + 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100_000), st.lists(st.integers(1, 100_000), max_size=6))
def test_refunds_take_back_exactly_what_was_shared(amount_fen: int, refunds: list[int]):
    held = split_fen(amount_fen, SHARES, "operator")
    for asked in refunds:
        refund_fen = min(asked, sum(held.values()))
        parts = take_back_fen(refund_fen, held, "operator")
        assert sum(parts.values()) == refund_fen
        held = {party: held[party] - parts[party] for party in held}
        assert all(rest >= 0 for rest in held.values())
    with pytest.raises(ValueError, match="cannot be given back"):
        take_back_fen(sum(held.values()) + 1, held, "operator")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"shares": a_contract()["shares"][:-1]}, "shares-not-whole"),
        ({"merchant": "manager"}, "merchant-keeps-nothing"),
        ({"format": "x"}, "bad-contract"),
        ({"shares": [*a_contract()["shares"], a_contract()["shares"][0]]}, "shares-not-whole"),
    ],
)
def test_a_contract_that_is_none_is_refused(changes: dict, name: str):
    with pytest.raises(DocumentError) as refused:
        read_contract(a_contract(**changes))
    assert refused.value.name == name


PARTS = [
    Part("owner", 6_000, "split"),
    Part("manager", 2_000, "split"),
    Part("operator", 1_500, "keep"),
    Part("platform", 500, "split"),
]


def test_the_linter_says_why_and_what_would_do():
    merchants = {"manager", "operator", "platform"}
    flaws = {flaw.name for flaw in lint(PARTS, "operator", merchants, WECHAT_LIKE)}
    assert flaws == {"split-too-large", "split-not-returnable"}
    proposed = propose(PARTS, "operator", merchants, WECHAT_LIKE)
    assert proposed is not None
    merchant_id, made = proposed
    assert merchant_id == "operator"
    assert lint(made, merchant_id, merchants, WECHAT_LIKE) == []
    assert {part.party_id: part.via for part in made} == {
        "owner": "payout",
        "manager": "split",
        "operator": "keep",
        "platform": "split",
    }
    assert [(p.party_id, p.share_bp) for p in made] == [(p.party_id, p.share_bp) for p in PARTS]


def test_a_merchant_without_an_account_gives_way_to_the_largest_that_has_one():
    proposed = propose(PARTS, "operator", {"manager", "platform"}, WECHAT_LIKE)
    assert proposed is not None
    assert proposed[0] == "manager"
    assert propose(PARTS, "operator", set(), WECHAT_LIKE) is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9_000), st.booleans()), min_size=1, max_size=60),
)
def test_what_is_proposed_can_always_be_executed(drawn: list):
    parts = [Part("m", 100, "keep")]
    parts += [Part(f"p{n}", bp, "split") for n, (bp, _) in enumerate(drawn)]
    merchants = {"m", *(f"p{n}" for n, (_, able) in enumerate(drawn) if able)}
    proposed = propose(parts, "m", merchants, WECHAT_LIKE)
    assert proposed is not None
    assert lint(proposed[1], proposed[0], merchants, WECHAT_LIKE) == []


async def test_the_sandbox_rail_refuses_what_real_ones_refuse(tx):
    rail, order, paid_at = SandboxRail(failing=frozenset({"gone"})), UUID(int=7), at("11-20 12:00")
    await rail.pay(tx, [sandbox.Paying(order, 1_000, paid_at)] * 2)
    later = paid_at + timedelta(minutes=2)

    async def split(amount_fen: int, when=later, number: int = 1, party: str = "manager"):
        return await rail.split(tx, order, number, [Receiver(party, amount_fen, True)], when)

    for name, asked in (
        ("too-early", split(100, paid_at)),
        ("too-late", split(100, paid_at + timedelta(days=31))),
        ("split-too-large", split(301)),
        ("unknown-charge", rail.split(tx, UUID(int=8), 1, [], later)),
        ("not-returnable", rail.give_back(tx, order, "manager")),
        ("refund-exceeds-payment", rail.refund(tx, order, 1_001, later)),
        ("too-late", rail.refund(tx, order, 1, paid_at + timedelta(days=366))),
    ):
        with pytest.raises(RailRefused) as refused:
            await asked
        assert refused.value.name == name
    assert (await split(300))[0].done
    assert (await split(300))[0].done  # the same request again
    charge = await rail.query(tx, order)
    assert charge is not None
    assert charge.frozen_fen == 700
    with pytest.raises(RailRefused, match="split-too-large"):
        await split(1, number=2)
    assert await rail.give_back(tx, order, "manager") == 300
    assert not (await split(300, number=3, party="gone"))[0].done
    assert await rail.unfreeze(tx, paid_at + timedelta(days=30)) == 1


def test_too_many_receivers_are_refused_by_the_linter():
    parts = [Part("m", 4_900, "keep"), *(Part(f"p{n}", 100, "split") for n in range(51))]
    merchants = {part.party_id for part in parts}
    assert {f.name for f in lint(parts, "m", merchants, WECHAT_LIKE)} == {
        "split-too-large",
        "too-many-receivers",
    }
