"""Leaves → batches: laws over any leaves, and the edges of ranges and widths."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.chain import contracts as k
from backend.chain.batches import (
    AmountTooLarge,
    PostLeaf,
    content_of,
    covers,
    fitting,
    plan_batches,
)

ACTS = ("award", "refund", "redeem", "expire", "reverse", "erase")
REASONS = {"award": 0, "refund": 4, "redeem": 0, "expire": 1, "reverse": 2, "erase": 3}


def a_leaf(
    index: int = 0,
    *,
    act: str = "award",
    class_: str = "carbon",
    account: int = 1,
    amount: int = 10,
    version: int = 1,
    day: int = 20_000,
) -> PostLeaf:
    award = act == "award"
    return PostLeaf(
        index=index,
        act=act,
        class_=class_,
        programme="p" if award else None,
        rule="r" if award else None,
        rule_version=version if award else None,
        reason=REASONS[act],
        account=account.to_bytes(20, "big"),
        amount=amount,
        day=day,
    )


leaf_lists = st.lists(
    st.builds(
        a_leaf,
        act=st.sampled_from(ACTS),
        class_=st.sampled_from(["carbon", "congestion"]),
        account=st.integers(0, 12) | st.just(2**160 - 1),
        amount=st.integers(1, 10_000),
        version=st.integers(1, 2),
        day=st.integers(19_990, 20_010),
    ),
    max_size=60,
).map(lambda leaves: [numbered(leaf, n + 5) for n, leaf in enumerate(leaves)])


def numbered(leaf: PostLeaf, index: int) -> PostLeaf:
    return PostLeaf(
        index,
        leaf.act,
        leaf.class_,
        leaf.programme,
        leaf.rule,
        leaf.rule_version,
        leaf.reason,
        leaf.account,
        leaf.amount,
        leaf.day,
    )


@given(leaf_lists, st.integers(1, 5), st.integers(1, 4))
def test_every_leaf_falls_in_exactly_one_batch_and_sums_agree(
    leaves: list[PostLeaf], accounts_max: int, lanes: int
) -> None:
    batches = plan_batches(leaves, 5, 5 + max(1, len(leaves)), accounts_max, lanes=lanes)
    for leaf in leaves:
        assert sum(covers(batch.header, leaf) for batch in batches) == 1
    assert sum(batch.total for batch in batches) == sum(leaf.amount for leaf in leaves)
    for batch in batches:
        pairs = k.read_records(batch.content.records)
        sums: Counter[bytes] = Counter()
        for leaf in leaves:
            if covers(batch.header, leaf):
                sums[leaf.account] += leaf.amount
        assert dict(pairs) == dict(sums)
        assert pairs == sorted(pairs)
        assert 1 <= len(pairs) == batch.account_count <= accounts_max
        assert batch.content == content_of(batch.header, leaves)
        if batch.header.kind == k.ISSUE:
            days = [leaf.day for leaf in leaves if covers(batch.header, leaf)]
            assert (batch.content.day_from, batch.content.day_to) == (min(days), max(days) + 1)
        else:
            assert (batch.content.day_from, batch.content.day_to) == (0, 0)
    kinds = [batch.header.kind for batch in batches]
    assert kinds == sorted(kinds), "issue before redeem before retire"
    assert len({batch.header for batch in batches}) == len(batches)
    lane_of = {leaf.account: set[int]() for leaf in leaves}
    for leaf in leaves:
        lane_of[leaf.account] |= {b.lane for b in batches if covers(b.header, leaf)}
    assert all(len(lanes_met) == 1 for lanes_met in lane_of.values()), "one lane per account"
    assert all(0 <= batch.lane < lanes for batch in batches)


def test_ranges_leave_no_account_out() -> None:
    leaves = [a_leaf(n, account=n * 10 + 1) for n in range(5)]
    ranges = [(b.header.account_from, b.header.account_to) for b in plan_batches(leaves, 0, 5, 2)]
    assert ranges[0][0] == k.ACCOUNT_LOWEST
    assert ranges[-1][1] == k.ACCOUNT_HIGHEST
    for (_, end), (start, _) in pairwise(ranges):
        assert int.from_bytes(end, "big") + 1 == int.from_bytes(start, "big")


def test_lanes_share_the_largest_group_equally() -> None:
    leaves = [a_leaf(n, account=n * n) for n in range(40)]
    batches = plan_batches(leaves, 0, 40, 5, lanes=4)
    assert Counter(batch.lane for batch in batches) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert {batch.account_count for batch in batches} == {5}
    assert {batch.lane for batch in plan_batches(leaves, 0, 40, 20, lanes=4)} == {0, 1}


def test_a_batch_never_exceeds_2040_accounts() -> None:
    leaves = [a_leaf(n, account=n) for n in range(2_041)]
    assert [b.account_count for b in plan_batches(leaves, 0, 2_041, 10_000)] == [2_040, 1]


def test_an_award_and_a_refund_of_one_rule_are_apart() -> None:
    batches = plan_batches([a_leaf(0), a_leaf(1, act="refund")], 0, 2, 700)
    assert [(b.header.rule, b.header.reason) for b in batches] == [("", 4), ("r", 0)]


def test_a_cut_ends_before_a_sum_outgrows_its_record() -> None:
    big = k.AMOUNT_MAX
    leaves = [a_leaf(3, amount=big - 1), a_leaf(4, amount=1), a_leaf(5, amount=1)]
    assert fitting(leaves) == 2
    assert fitting([a_leaf(0, amount=big), a_leaf(1, account=2, amount=big)]) == 2
    with pytest.raises(AmountTooLarge):
        fitting([a_leaf(0, amount=big + 1)])


def test_a_leaf_outside_the_range_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        plan_batches([a_leaf(9)], 0, 9, 700)


def test_post_input_reads_back_and_nothing_else_does() -> None:
    batch = plan_batches([a_leaf(0), a_leaf(1, account=2)], 0, 2, 700)[0]
    data = k.post_input(batch.header, batch.content)
    assert data[:4].hex() == "eb16267a"
    assert k.read_post_input(data) == (batch.header, batch.content)
    for broken in (data[:-1], data + b"\0", b"\0" + data[1:], data[:4] + b"\1" + data[5:]):
        with pytest.raises(ValueError, match=r"post|canonical|id"):
            k.read_post_input(broken)
    # One bit of the padding behind the records.
    padding = bytearray(data)
    padding[-1] ^= 1
    with pytest.raises(ValueError, match=r"canonical|post"):
        k.read_post_input(bytes(padding))
