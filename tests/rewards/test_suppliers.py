"""Suppliers: the sandbox and one over HTTP keep the same promises; what is unclear is unknown."""

from collections.abc import AsyncIterator

import pytest

from backend.kit.clock import FixedClock
from backend.kit.ids import new_id
from backend.rewards import suppliers
from backend.rewards.suppliers import (
    Absent,
    Cancelled,
    Handed,
    HttpSupplier,
    Order,
    Refused,
    SandboxSupplier,
    Supplier,
    Unknown,
)
from tests.rewards.supplier_server import SECRET, SupplierServer


def an_order() -> Order:
    return Order(new_id(), "metro-ticket", "transit", 500)


@pytest.fixture
async def server() -> AsyncIterator[SupplierServer]:
    async with SupplierServer().serve() as server:
        yield server


@pytest.fixture
def over_http(server: SupplierServer, clock: FixedClock) -> HttpSupplier:
    return HttpSupplier(server.url, SECRET, clock)


@pytest.fixture(params=["sandbox", "http"])
def supplier(request: pytest.FixtureRequest, over_http: HttpSupplier) -> Supplier:
    return over_http if request.param == "http" else SandboxSupplier(bytes(32))


async def test_the_same_order_gets_the_same_code(supplier: Supplier) -> None:
    order = an_order()
    first = await supplier.place(order)
    assert isinstance(first, Handed)
    assert await supplier.place(order) == first
    assert await supplier.find(order.order_id) == first
    other = await supplier.place(an_order())
    assert isinstance(other, Handed)
    assert other.code != first.code
    assert isinstance(await supplier.cancel(order.order_id), Cancelled)


async def test_what_a_supplier_says_in_so_many_words(
    over_http: HttpSupplier, server: SupplierServer
) -> None:
    assert isinstance(await over_http.find(new_id()), Absent)
    server.mood = "refuse"
    assert await over_http.place(an_order()) == Refused("no-tickets")


@pytest.mark.parametrize("mood", ["late", "hang-up", "drop", "nonsense"])
async def test_anything_else_is_unknown(
    over_http: HttpSupplier, server: SupplierServer, mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppliers, "TIMEOUT_S", 0.2)
    server.mood, order = mood, an_order()
    assert isinstance(await over_http.place(order), Unknown)
    found = await over_http.find(order.order_id)
    assert isinstance(found, Handed if mood in ("late", "hang-up") else Absent)


async def test_a_supplier_that_is_away_or_knows_another_secret(
    server: SupplierServer, clock: FixedClock
) -> None:
    away = HttpSupplier("http://127.0.0.1:9", SECRET, clock)
    assert isinstance(await away.place(an_order()), Unknown)
    stranger = HttpSupplier(server.url, b"x" * 32, clock)
    assert isinstance(await stranger.place(an_order()), Unknown)
    assert server.orders == {}


@pytest.mark.parametrize(
    "said",
    [
        {"state": "handed", "code": "", "ref": "r"},
        {"state": "handed", "code": "x" * 201, "ref": "r"},
        {"state": "handed", "code": "a\u202eb", "ref": "r"},
        {"state": "handed", "code": 7, "ref": "r"},
        {"state": "handed"},
        {"state": "paid"},
        {"state": "refused"},
    ],
)
async def test_a_code_nobody_could_show_is_unknown(
    over_http: HttpSupplier, server: SupplierServer, said: dict
) -> None:
    order = an_order()
    server.orders[str(order.order_id)] = said
    assert isinstance(await over_http.find(order.order_id), Unknown)
