"""Settlements and space rights on a real chain: zero-sum, once, and checked by a stranger."""

from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta

import pytest

from backend.chain import settlements, spaces
from backend.flows.anchor_settlement import anchor_settlements, head_of
from backend.flows.cosign_settlement import Which, read_statement
from backend.flows.pay_stay import deliver_sandbox_notices
from backend.flows.register_spaces import register_spaces, space_digest
from backend.flows.settle_parking import settle_day
from backend.flows.share_space import right_changed
from backend.flows.verify_settlement import check_on_chain
from backend.kit.clock import FixedClock
from backend.parking import assets
from backend.payments import SandboxRail, sandbox
from tests.chain.support import NodeProcess
from tests.flows.chain_world import ChainWorld, chain_world
from tests.flows.parking_world import PLATE, ParkingWorld, at

pytestmark = pytest.mark.chain
RAIL = SandboxRail()
DAY = date(2026, 11, 20)


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@pytest.fixture
async def chain(db, node: NodeProcess) -> AsyncIterator[ChainWorld]:
    async with chain_world(db, node) as world:
        yield world


async def test_statements_and_rights_stand_on_chain(db, vault, chain: ChainWorld, node):
    world = ParkingWorld(db, vault, FixedClock(at("11-20 23:00")))
    await world.open()
    await world.passes(("in", "11-20 09:00", PLATE, "A-01"), ("out", "11-20 11:00", PLATE))
    (order,) = await world.rows("SELECT order_id, amount_fen FROM payment_order")
    async with db.transaction() as tx:
        paying = sandbox.Paying(order["order_id"], order["amount_fen"], world.clock.now())
        await RAIL.pay(tx, [paying])
    await deliver_sandbox_notices(db, RAIL, world.clock.now())
    await settle_day(db, world.lot.lot_no, DAY, at("11-21 01:00"))

    access, now = chain.access, at("11-21 01:00")
    while await anchor_settlements(db, access, now):
        now += timedelta(seconds=20)
    (settled,) = await world.rows("SELECT * FROM settlement")
    assert settled["final_at"] is not None
    named = settlements.settlement_id(access.chain_id, access.settlements, head_of("plaza", DAY, 0))
    known = settlements.read_settlement(
        await access.client.call(access.settlements, settlements.settlement_call(named))
    )
    assert known is not None
    # What the merchant of record owes the others: all but its own 200 of 1,000 fen.
    assert (known.party_count, known.volume_fen) == (5, 800)
    async with db.transaction() as tx:
        stated = await read_statement(tx, Which("owner-1", "plaza", DAY))

    async def check(**changes):
        asked = {
            "lot_id": "plaza",
            "day": DAY,
            "part": 0,
            "account": stated.account,
            "count": stated.count,
            "root": stated.root,
        }
        return await check_on_chain(node.url, access.settlements, **(asked | changes))

    assert (await check()).reason == ""
    assert "根哈希" in (await check(root=bytes(32))).reason
    assert not (await check(part=1)).found
    assert not (await check(account=bytes(20))).found

    space = world.spaces[0]
    await follow(db, chain, space, now)
    right = await right_of(chain, space)
    assert right is not None
    assert (right.owner, right.standing, right.seq) == (stated.account, spaces.ACTIVE, 1)
    async with db.transaction() as tx:
        await assets.set_space_state(tx, space.space_id, "suspended")
        await assets.hand_over(tx, space.space_id, "city")
        city = (await assets.parties(tx, ["city"]))["city"]
    await follow(db, chain, space, now + timedelta(minutes=5))
    right = await right_of(chain, space)
    assert right is not None
    assert (right.owner, right.standing, right.seq) == (city.account, spaces.SUSPENDED, 3)
    await follow(db, chain, space, now + timedelta(minutes=9))
    again = await right_of(chain, space)
    assert again == right


async def follow(db, chain: ChainWorld, space, now) -> None:
    """Let the chain learn of a space until nothing is missing."""
    async with db.transaction() as tx:
        await right_changed(tx, space.space_id)
    for _ in range(30):
        await register_spaces(db, chain.access, now)
        now += timedelta(seconds=20)
        async with db.transaction() as tx:
            # The queue waits by the database's clock, which a test does not.
            await tx.execute("UPDATE outbox SET available_at = now() - interval '1 second'")
            if not await tx.fetchval("SELECT count(*) FROM outbox WHERE topic = 'space-right'"):
                return
    raise AssertionError("the space's right did not settle")


async def right_of(chain: ChainWorld, space):
    answer = await chain.access.client.call(
        chain.access.spaces, spaces.right_call(space_digest(space.space_id))
    )
    return spaces.read_right(answer)
