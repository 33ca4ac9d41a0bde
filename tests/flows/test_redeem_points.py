"""Redemptions: hold, hand over, post or void; nothing guessed, nothing overdrawn, nothing twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from backend import views
from backend.flows import redeem_points
from backend.flows.redeem_points import Shop, hand_over, resolve_due
from backend.flows.refund_redemption import give_back
from backend.flows.reverse_points import reverse_points
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.vault import Vault
from backend.ledger import holds
from backend.rewards import Policy, catalogue, suppliers
from backend.rewards.suppliers import HttpSupplier, Outcome, Supplier, Unknown
from tests.flows.award_world import World, rows, trip
from tests.flows.redeem_world import (
    a_reward,
    agree,
    balance,
    give_points,
    laws_broken,
    open_shop,
    redeem,
    state_of,
    unsealed,
)
from tests.rewards.supplier_server import SECRET, SupplierServer


@pytest.fixture
async def world(db: Database, vault: Vault, clock: FixedClock) -> World:
    world = World(db, vault, clock)
    await world.enact()
    return world


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SupplierServer]:
    monkeypatch.setattr(suppliers, "TIMEOUT_S", 0.2)
    async with SupplierServer().serve() as desk:
        yield desk


def over_http(world: World, desk: SupplierServer) -> HttpSupplier:
    return HttpSupplier(desk.url, SECRET, world.clock)


async def test_points_become_a_reward_with_a_leaf_to_come(world: World) -> None:
    shop = await open_shop(world)
    await give_points(world, 0, 25)
    agreed = await agree(shop, world.people[0])
    assert (agreed.state, await balance(world)) == ("held", (15, 10, 0))
    assert await hand_over(shop, agreed.redemption_id) == 1
    done = await state_of(shop, agreed.redemption_id)
    assert done.state == "posted"
    assert done.valid_to == date(2027, 2, 20)
    assert len(done.code(world.vault) or "") == 19
    assert await balance(world) == (15, 0, 0)
    assert await unsealed(world) == {agreed.redemption_id}
    [row] = await rows(world.db, "SELECT * FROM transfer WHERE act = 'redeem'")
    assert (row["transfer_id"], row["amount"], row["reason"]) == (agreed.redemption_id, 10, 0)
    [notice] = await rows(world.db, "SELECT topic, about FROM citizen_notice")
    assert (notice["topic"], notice["about"]) == ("redemption.posted", agreed.redemption_id)
    # Asked again, nothing is due any more.
    assert await hand_over(shop, agreed.redemption_id) == 0
    assert await laws_broken(world) == []


async def test_the_code_is_sealed_at_rest(world: World) -> None:
    shop = await open_shop(world)
    await give_points(world, 0, 25)
    done = await redeem(shop, world.people[0])
    code = done.code(world.vault)
    assert code is not None
    assert done.code_sealed is not None
    assert code.encode() not in done.code_sealed


@pytest.mark.parametrize(
    ("changes", "points", "name"),
    [
        ({}, 9, "points-short"),
        ({"stock": 0}, 10, "sold-out"),
        ({"day_from": date(2026, 11, 23)}, 10, "not-on-offer"),
        ({"day_to": date(2026, 11, 22)}, 10, "not-on-offer"),
        ({"per_person": 1}, 20, "limit-reached"),
        ({"supplier": "tickets"}, 10, "supplier-not-available"),
        ({"kind": "ecny"}, 10, "no-cash-out"),
        ({"points_class": "congestion"}, 10, "points-short"),
    ],
)
async def test_a_refusal_changes_nothing(
    world: World, changes: dict, points: int, name: str
) -> None:
    shop = await open_shop(world, a_reward(**changes))
    await give_points(world, 0, points)
    if name == "limit-reached":
        await redeem(shop, world.people[0])
    before = [
        await balance(world),
        await rows(world.db, "SELECT * FROM reward"),
        await unsealed(world),
    ]
    with pytest.raises(Problem) as refused:
        await agree(shop, world.people[0])
    assert refused.value.name == name
    assert before == [
        await balance(world),
        await rows(world.db, "SELECT * FROM reward"),
        await unsealed(world),
    ]
    with pytest.raises(Problem, match="unknown-reward"):
        await agree(shop, world.people[0], "nothing")


async def test_what_the_law_of_a_place_forbids(world: World) -> None:
    shop = await open_shop(
        world, a_reward(), a_reward(reward_id="ecny-1", kind="ecny", price_points=5)
    )
    await give_points(world, 0, 30)

    async def law(debit: str, *, cash_out: bool) -> None:
        async with world.db.transaction() as tx:
            policy = Policy("carbon", "shenzhen", debit, cash_out)  # type: ignore[arg-type]
            await catalogue.set_policy(tx, policy, world.clock.now())

    await law("nobody", cash_out=False)
    with pytest.raises(Problem, match="class-not-redeemable"):
        await agree(shop, world.people[0])
    await law("holder", cash_out=False)
    with pytest.raises(Problem, match="no-cash-out"):
        await agree(shop, world.people[0], "ecny-1")
    await law("holder", cash_out=True)
    assert (await redeem(shop, world.people[0], "ecny-1")).state == "posted"


async def test_a_hundred_at_once_never_overdraw(world: World) -> None:
    shop = await open_shop(world, a_reward(stock=50), a_reward(reward_id="last-one", stock=1))
    await give_points(world, 0, 75)
    await give_points(world, 1, 1_000)

    async def one(n: int) -> str:
        try:
            reward = "last-one" if n >= 50 else "metro-ticket"
            return (await redeem(shop, world.people[n >= 50], reward)).state
        except Problem as problem:
            return problem.name

    counts = Counter(await asyncio.gather(*(one(n) for n in range(100))))
    assert counts == {"posted": 8, "points-short": 43, "sold-out": 49}
    assert await balance(world) == (5, 0, 0)
    assert await balance(world, 1) == (990, 0, 0)
    stock = {r["reward_id"]: r["stock"] for r in await rows(world.db, "SELECT * FROM reward")}
    assert stock == {"metro-ticket": 43, "last-one": 0}
    assert await laws_broken(world) == []


async def test_without_the_lock_the_same_hundred_overdraw(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: what protects the balance is the person's lock."""

    together, read = asyncio.Barrier(4), holds.balance_of

    async def no_lock(_tx: object, _people: object) -> None:
        pass

    async def read_together(*of: Any) -> Any:
        found = await read(*of)
        await together.wait()
        return found

    shop = await open_shop(world)
    await give_points(world, 0, 15)
    monkeypatch.setattr(redeem_points, "lock_people", no_lock)
    monkeypatch.setattr(holds, "balance_of", read_together)
    await asyncio.gather(*(agree(shop, world.people[0]) for _ in range(4)))
    assert (await balance(world))[1] > 15
    assert "holds-are-covered" in {each.law for each in await laws_broken(world)}


async def test_codes_of_our_own_go_out_once_each(world: World) -> None:
    shop = await open_shop(world, a_reward(supplier="codes", stock=0, kind="coupon"))
    await give_points(world, 0, 100)
    async with world.db.transaction() as tx:
        codes = [f"C-{n}" for n in range(5)]
        await catalogue.load_codes(tx, world.vault, "metro-ticket", codes, world.clock.now())
    done = await asyncio.gather(
        *(redeem(shop, world.people[0]) for _ in range(7)), return_exceptions=True
    )
    got = [each.code(world.vault) for each in done if not isinstance(each, BaseException)]
    assert sorted(filter(None, got)) == codes
    assert {e.name for e in done if isinstance(e, Problem)} == {"sold-out"}
    assert await balance(world) == (50, 0, 0)


async def test_a_supplier_that_refuses_gets_no_points(world: World, desk: SupplierServer) -> None:
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 25)
    desk.mood = "refuse"
    done = await redeem(shop, world.people[0])
    assert (done.state, done.reason, done.code_sealed) == ("voided", "no-tickets", None)
    assert await balance(world) == (25, 0, 0)
    assert (await rows(world.db, "SELECT stock FROM reward"))[0]["stock"] == 1_000
    assert await unsealed(world) == set()


@pytest.mark.parametrize("mood", ["late", "hang-up"])
async def test_an_answer_that_was_lost_is_asked_for_again(
    world: World, desk: SupplierServer, mood: str
) -> None:
    """The supplier handed over and we did not hear it: one code, one redemption, no guess."""
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 25)
    desk.mood = mood
    unclear = await redeem(shop, world.people[0])
    assert (unclear.state, await balance(world)) == ("unknown", (15, 10, 0))
    assert await resolve_due(shop) == 0  # Not yet due.
    world.clock.advance(seconds=30)
    assert await resolve_due(shop) == 1
    done = await state_of(shop, unclear.redemption_id)
    assert (done.state, done.code(world.vault)) == ("posted", "T-0")
    assert desk.handed == [str(done.redemption_id)]
    assert [method for method, _ in desk.asked] == ["PUT", "GET"]
    assert await balance(world) == (15, 0, 0)


async def test_an_order_that_never_arrived_is_placed_again_and_at_last_taken_back(
    world: World, desk: SupplierServer
) -> None:
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 25)
    desk.mood = "drop"
    unclear = await redeem(shop, world.people[0])
    for _ in range(3):
        world.clock.advance(minutes=5)
        assert await resolve_due(shop) == 1
        assert (await state_of(shop, unclear.redemption_id)).state == "unknown"
    world.clock.advance(hours=1)
    await resolve_due(shop)
    done = await state_of(shop, unclear.redemption_id)
    assert (done.state, done.reason) == ("voided", "supplier-away")
    assert await balance(world) == (25, 0, 0)
    # The supplier knows that it was taken back: should the order still arrive, it is refused.
    assert desk.orders[str(done.redemption_id)] == {"state": "cancelled"}


async def test_as_long_as_a_supplier_is_silent_points_stay_held(
    world: World, desk: SupplierServer
) -> None:
    class Silent:
        async def place(self, _order: object) -> Outcome:
            return Unknown("silence")

        find = cancel = place

    silent: Supplier = Silent()  # type: ignore[assignment]
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=silent)
    await give_points(world, 0, 25)
    unclear = await redeem(shop, world.people[0])
    for _ in range(10):
        world.clock.advance(hours=24)
        await resolve_due(shop)
    assert (await state_of(shop, unclear.redemption_id)).state == "unknown"
    assert await balance(world) == (15, 10, 0)


async def test_guessing_would_lose_a_ticket(
    world: World, desk: SupplierServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: were a timeout taken for a refusal, one got the ticket for nothing."""
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 25)
    ask = redeem_points._ask

    async def guessing(*args: object) -> Outcome:
        outcome = await ask(*args)  # type: ignore[arg-type]
        return suppliers.Refused("timeout") if isinstance(outcome, Unknown) else outcome

    monkeypatch.setattr(redeem_points, "_ask", guessing)
    desk.mood = "late"
    done = await redeem(shop, world.people[0])
    assert (done.state, len(desk.handed)) == ("voided", 1)


async def test_killed_between_hold_and_hand_over_it_is_taken_up(world: World) -> None:
    shop = await open_shop(world)
    await give_points(world, 0, 25)
    agreed = await agree(shop, world.people[0])
    async with world.db.transaction() as tx:  # Claimed, then the process died.
        await redeem_points.redemptions.claim(tx, world.clock.now(), agreed.redemption_id)
    assert await resolve_due(shop) == 0
    world.clock.advance(seconds=21)
    assert await resolve_due(shop) == 1
    assert (await state_of(shop, agreed.redemption_id)).state == "posted"


async def test_many_processes_hand_over_once(world: World, desk: SupplierServer) -> None:
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 25)
    agreed = await agree(shop, world.people[0])
    await asyncio.gather(*(hand_over(shop, agreed.redemption_id) for _ in range(6)))
    assert len(desk.asked) == 1
    assert len(await rows(world.db, "SELECT 1 FROM transfer WHERE act = 'redeem'")) == 1


async def test_given_back_the_points_return_to_their_lots(
    world: World, desk: SupplierServer
) -> None:
    shop = await open_shop(world, a_reward(supplier="tickets"), tickets=over_http(world, desk))
    await give_points(world, 0, 4, month=date(2027, 5, 1))
    await give_points(world, 0, 21)
    done = await redeem(shop, world.people[0])
    back = await asyncio.gather(*(give_back(shop, done.redemption_id) for _ in range(3)))
    assert {each.state for each in back} == {"refunded"}
    assert await balance(world) == (25, 0, 0)
    [refund] = await rows(world.db, "SELECT * FROM transfer WHERE act = 'refund'")
    assert (refund["of_transfer"], refund["reason"]) == (done.redemption_id, 4)
    assert refund["transfer_id"] in await unsealed(world)
    stock = (await rows(world.db, "SELECT stock FROM reward"))[0]["stock"]
    assert stock == 1_000
    assert await laws_broken(world) == []


async def test_what_was_used_is_not_given_back(world: World, desk: SupplierServer) -> None:
    shop = await open_shop(
        world,
        a_reward(supplier="tickets"),
        a_reward(reward_id="final", refundable=False),
        tickets=over_http(world, desk),
    )
    await give_points(world, 0, 50)
    done = await redeem(shop, world.people[0])
    desk.mood = "used"
    with pytest.raises(Problem, match="already-used"):
        await give_back(shop, done.redemption_id)
    final = await redeem(shop, world.people[0], "final")
    with pytest.raises(Problem, match="not-refundable"):
        await give_back(shop, final.redemption_id)
    with pytest.raises(Problem, match="not-posted"):
        await give_back(shop, (await agree(shop, world.people[0])).redemption_id)


async def test_what_is_taken_back_during_a_hold_waits_for_the_redemption(world: World) -> None:
    """The chain refuses a redemption beyond the balance: the reversal's leaf must come later."""
    await world.record(trip(distance_m=20_000))
    await world.award()
    [award] = await rows(world.db, "SELECT transfer_id, amount FROM transfer")
    shop = await open_shop(world, a_reward(price_points=award["amount"] - 4))
    agreed = await agree(shop, world.people[0])
    reversal = await reverse_points(
        world.db,
        world.clock,
        of_transfer=award["transfer_id"],
        note="误报",
        city_tz="Asia/Shanghai",
    )
    assert await balance(world) == (0, award["amount"] - 4, award["amount"] - 4)

    async def sealable() -> list:
        async with world.db.transaction() as tx:
            return [ref for _, ref in await views.rows_to_seal(tx, 100)]

    assert await sealable() == [award["transfer_id"]]
    await hand_over(shop, agreed.redemption_id)
    assert await sealable() == [
        award["transfer_id"],
        agreed.redemption_id,
        reversal.transfer_id,
    ]
    assert await laws_broken(world) == []


def test_the_sandbox_is_not_for_production(vault: Vault, clock: FixedClock) -> None:
    from backend.kit.services import Services
    from backend.kit.settings import Settings

    def names(**changes: object) -> set[str]:
        settings = Settings(**{"supplier_urls": {"tickets": "https://t.example"}} | changes)  # type: ignore[arg-type]
        services = Services(db=None, clock=clock, settings=settings, vault=vault)  # type: ignore[arg-type]
        return set(Shop.of(services).suppliers)

    assert names(profile="production", issuer_id="city.sh") == {"tickets"}
    assert names(profile="demo") == {"tickets", "sandbox"}
