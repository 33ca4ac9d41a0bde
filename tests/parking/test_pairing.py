"""Stays follow from the set of gate events: in any order, every event in exactly one place."""

import itertools
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.parking.pairing import OPEN_S_MAX, Pass, accounted, pair


def a_pass(at_s: int, direction: str, n: int = 0) -> Pass:
    return Pass(at_s, direction, "gate", n, UUID(int=at_s * 1_000 + n), False, None)


def kinds(*passes: Pass, now_s: int = 1_000_000) -> list[str]:
    return sorted(each.kind for each in pair(passes, now_s).oddities)


def test_an_entry_and_an_exit_are_a_stay():
    paired = pair([a_pass(7_200, "out"), a_pass(100, "in")], 10_000)
    assert [(s.entry.at_s, s.exit and s.exit.at_s) for s in paired.stays] == [(100, 7_200)]
    assert paired.oddities == []


def test_what_makes_no_stay_is_named():
    assert kinds(a_pass(100, "out")) == ["exit-without-entry"]
    assert kinds(a_pass(100, "in"), a_pass(5_000, "in"), a_pass(9_000, "out")) == ["missing-exit"]
    assert kinds(a_pass(100, "in"), a_pass(110, "in", 1), a_pass(900, "out")) == ["duplicate-scan"]
    assert kinds(a_pass(100, "in"), a_pass(111, "in", 1), a_pass(900, "out")) == ["repeated-push"]
    assert kinds(a_pass(100, "in"), a_pass(131, "in", 1), a_pass(900, "out")) == ["missing-exit"]
    assert kinds(a_pass(0, "in"), a_pass(OPEN_S_MAX + 1, "out")) == ["stay-too-long"] * 2
    assert kinds(a_pass(0, "in"), now_s=OPEN_S_MAX + 1) == ["missing-exit"]
    assert kinds(a_pass(0, "in"), now_s=OPEN_S_MAX) == []


def test_who_comes_back_at_once_is_marked():
    passes = [a_pass(0, "in"), a_pass(900, "out"), a_pass(1_800, "in"), a_pass(3_600, "out")]
    assert [stay.reentry for stay in pair(passes, 10_000).stays] == [False, True]
    passes[2] = a_pass(1_801, "in")
    assert [stay.reentry for stay in pair(passes, 10_000).stays] == [False, False]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2_000_000), st.sampled_from(("in", "out"))),
        max_size=14,
        unique_by=lambda each: each,
    ),
    st.randoms(use_true_random=False),
)
def test_no_order_changes_what_follows(drawn: list, shuffler):
    passes = [a_pass(at_s, direction, n) for n, (at_s, direction) in enumerate(drawn)]
    once = pair(passes, 3_000_000)
    assert accounted(passes, once)
    shuffler.shuffle(passes)
    assert pair(passes, 3_000_000) == once
    ends = [(s.entry.at_s, s.exit.at_s) for s in once.stays if s.exit is not None]
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ends))


def test_losing_an_event_is_noticed():
    passes = [a_pass(0, "in"), a_pass(900, "out"), a_pass(5_000, "out")]
    paired = pair(passes, 10_000)
    assert accounted(passes, paired)
    paired.oddities.clear()
    assert not accounted(passes, paired)
