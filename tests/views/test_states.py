"""The state of an event: the first that applies, from the end of its life backwards."""

from typing import Any

import pytest

from backend import views
from backend.views.activities import state_of_award, state_of_event
from backend.views.edges import Edges
from tests.doors.door_world import City, trip

AT = Edges(sealed=10, confirmed=6, posted=4)


def a_row(**changes: Any) -> dict[str, Any]:
    return {"reversed": False, "refused_by_chain": False, "leaf_index": None} | changes


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "awarded"),
        ({"leaf_index": 9}, "logged"),
        ({"leaf_index": 6}, "logged"),
        ({"leaf_index": 5}, "confirmed"),
        ({"leaf_index": 4}, "confirmed"),
        ({"leaf_index": 3}, "posted"),
        ({"leaf_index": 3, "refused_by_chain": True}, "refused_by_chain"),
        ({"leaf_index": 3, "refused_by_chain": True, "reversed": True}, "reversed"),
    ],
)
def test_state_of_an_award(changes: dict[str, Any], state: str) -> None:
    assert state_of_award(a_row(**changes), AT) == state


def test_posted_needs_confirmed() -> None:
    """A post that overtook the anchor is not shown before the anchor is final."""
    at = Edges(sealed=10, confirmed=2, posted=8)
    assert state_of_award(a_row(leaf_index=5), at) == "logged"


@pytest.mark.parametrize(
    ("decided", "awards", "state"),
    [
        (None, [], "recorded"),
        ("refused", [], "refused"),
        ("awarded", [], "awarded"),
        ("awarded", ["posted", "logged"], "logged"),
        ("awarded", ["posted", "reversed"], "reversed"),
        ("awarded", ["reversed", "refused_by_chain"], "refused_by_chain"),
    ],
)
def test_state_of_an_event(decided: str | None, awards: list[str], state: str) -> None:
    assert state_of_event(decided, awards) == state


async def test_a_refused_batch_shows_until_its_leaves_are_cut_again(city: City) -> None:
    ids = await city.trips(trip())
    size = await city.seal()
    await city.anchored(size)

    async def plant(state: str, name: bytes) -> str:
        async with city.db.transaction() as tx:
            await tx.execute(
                """INSERT INTO chain_batch (batch_id, leaf_from, leaf_to, kind, class, programme,
                       rule, rule_version, reason, account_from, account_to, day_from, day_to,
                       records, account_count, total, state, tx_id, created_at)
                   SELECT $1, 0, 1, 1, l.class, l.programme, l.rule, l.rule_version, 0,
                          $2, $3, 1, 2, l.account || '\\x0000001b'::bytea, 1, l.amount, $4,
                          a.tx_id, now()
                   FROM leaf AS l, anchor AS a WHERE l.index = 0""",
                name * 32,
                bytes(20),
                b"\xff" * 20,
                state,
            )
            return (await views.states_of(tx, ids))[ids[0]]

    assert await plant("refused", b"\x01") == "refused_by_chain"
    assert await plant("prepared", b"\x02") == "confirmed"
