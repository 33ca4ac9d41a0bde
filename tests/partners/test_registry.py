"""The partners' registry on the real database."""

from datetime import timedelta

import pytest

from backend import partners
from backend.kit.clock import FixedClock
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.sm import BadKey
from backend.kit.vault import SealBroken, Vault
from tests.evidence.builders import METRO, SECRET, SM2_KEY


async def register(tx: Tx, clock: FixedClock, partner_id: str = "metro") -> None:
    await partners.register_partner(
        tx, partner_id, "地铁", required_scheme="v1", scenarios=[METRO], now=clock.now()
    )


async def add(tx: Tx, vault: Vault, clock: FixedClock, key_id: str, **changes) -> None:
    given: dict = {"scheme": "v1", "valid_from": clock.now(), "secret": SECRET}
    await partners.add_key(tx, vault, "metro", key_id, **given | changes)


async def test_partner_is_loaded_as_registered(tx, vault, clock) -> None:
    assert await partners.load_partner(tx, vault, "metro") is None
    await register(tx, clock)
    loaded = await partners.load_partner(tx, vault, "metro")
    assert loaded is not None
    assert (loaded.keys, loaded.scenarios, loaded.replay) == ((), frozenset({METRO}), False)
    await add(tx, vault, clock, "hmac")
    point = SM2_KEY.public_key.to_bytes()
    await add(
        tx, vault, clock, "st", scheme="v1s2", secret=None, public_key=point, purpose="statement"
    )
    loaded = await partners.load_partner(tx, vault, "metro")
    assert loaded is not None
    by_id = {key.key_id: key for key in loaded.keys}
    assert by_id["hmac"].secret == bytes(range(32))
    assert by_id["st"].public_key == point
    (listed,) = await partners.public_keys(tx)
    assert (listed.partner_id, listed.key_id, listed.purpose) == ("metro", "st", "statement")


async def test_registering_again_changes_rights_and_keeps_keys(tx, vault, clock) -> None:
    await register(tx, clock)
    await add(tx, vault, clock, "hmac")
    await partners.register_partner(
        tx, "metro", "metro", required_scheme="v1s2", scenarios=[], now=clock.now(), replay=True
    )
    loaded = await partners.load_partner(tx, vault, "metro")
    assert loaded is not None
    assert (loaded.required_scheme, loaded.replay, loaded.scenarios) == ("v1s2", True, frozenset())
    assert [key.key_id for key in loaded.keys] == ["hmac"]


async def test_secret_is_sealed_for_its_own_row(tx, vault, clock) -> None:
    await register(tx, clock)
    await add(tx, vault, clock, "a")
    sealed = await tx.fetchval("SELECT secret_sealed FROM partner_key")
    assert bytes(range(32)) not in sealed
    await tx.execute(
        """INSERT INTO partner_key (partner_id, key_id, scheme, purpose, secret_sealed, valid_from)
           VALUES ('metro', 'moved', 'v1', 'webhook', $1, $2)""",
        sealed,
        clock.now(),
    )
    with pytest.raises(SealBroken):
        await partners.load_partner(tx, vault, "metro")


async def test_two_keys_at_a_time(tx, vault, clock) -> None:
    await register(tx, clock)
    await add(tx, vault, clock, "first")
    await add(tx, vault, clock, "second")
    with pytest.raises(Problem, match="too-many-keys"):
        await add(tx, vault, clock, "third")
    with pytest.raises(Problem, match="too-many-keys"):
        await add(tx, vault, clock, "third", valid_from=clock.now() + timedelta(days=9))
    with pytest.raises(Problem, match="key-id-taken"):
        await add(tx, vault, clock, "first")
    # A key of another purpose is counted apart, and one that ends before them has room.
    point = SM2_KEY.public_key.to_bytes()
    await add(
        tx, vault, clock, "st", scheme="v1s2", secret=None, public_key=point, purpose="statement"
    )
    past = clock.now() - timedelta(days=2)
    await add(tx, vault, clock, "past", valid_from=past, valid_to=past + timedelta(days=1))
    ended = await partners.end_keys(tx, "metro", now=clock.now(), overlap=timedelta(days=1))
    assert ended == ["first", "second"]
    await add(tx, vault, clock, "third", valid_from=clock.now() + timedelta(days=1))


async def test_ending_never_prolongs_a_key(tx, vault, clock) -> None:
    await register(tx, clock)
    soon = clock.now() + timedelta(hours=1)
    await add(tx, vault, clock, "short", valid_to=soon)
    await partners.end_keys(tx, "metro", now=clock.now(), overlap=timedelta(days=1))
    assert await tx.fetchval("SELECT valid_to FROM partner_key") == soon
    await partners.end_keys(tx, "metro", now=clock.now())
    assert await tx.fetchval("SELECT valid_to FROM partner_key") == clock.now()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"secret": None}, ValueError),
        ({"secret": "whsec_AAAA"}, ValueError),
        ({"purpose": "statement"}, ValueError),
        ({"scheme": "v1s2"}, ValueError),
        ({"scheme": "v1s2", "secret": None, "public_key": b"\x04" + bytes(64)}, BadKey),
    ],
)
async def test_key_that_does_not_fit(tx, vault, clock, changes: dict, error: type) -> None:
    await register(tx, clock)
    with pytest.raises(error):
        await add(tx, vault, clock, "bad", **changes)


def test_fresh_secrets_differ() -> None:
    one, other = partners.new_webhook_secret(), partners.new_webhook_secret()
    assert one.startswith("whsec_")
    assert one != other
