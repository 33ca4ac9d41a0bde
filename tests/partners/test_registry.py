"""The partners' registry on the real database."""

from datetime import date, timedelta

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


async def test_one_key_ends_and_the_history_keeps_it(tx, vault, clock) -> None:
    await register(tx, clock)
    await add(tx, vault, clock, "old", scheme="v1sm")
    await add(tx, vault, clock, "other")
    soon = clock.now() + timedelta(hours=2)
    ends = await partners.end_key(tx, "metro", "old", now=clock.now(), overlap=timedelta(hours=2))
    assert ends == soon
    # Ending it again later prolongs nothing; a key yet to come never ends before it begins.
    later = clock.now() + timedelta(days=1)
    assert await partners.end_key(tx, "metro", "old", now=later) == soon
    await partners.end_key(tx, "metro", "other", now=clock.now())
    await add(tx, vault, clock, "coming", valid_from=later)
    assert await partners.end_key(tx, "metro", "coming", now=clock.now()) == later
    with pytest.raises(Problem, match="unknown-key"):
        await partners.end_key(tx, "bus", "old", now=later)
    history = await partners.key_history(tx, "metro")
    assert [(key.key_id, key.scheme, key.valid_to) for key in history] == [
        ("old", "v1sm", soon),
        ("other", "v1", clock.now()),
        ("coming", "v1", later),
    ]
    assert await partners.key_history(tx, "bus") == []
    assert "secret" not in partners.KeyEntry.__dataclass_fields__


async def test_statement_keys_speak_for_whole_days(tx, vault, clock) -> None:
    """Noon of the 22nd to 23:00 UTC of the 23rd, which is the 24th in the city."""
    await register(tx, clock)
    point = SM2_KEY.public_key.to_bytes()
    given = {"scheme": "v1s2", "secret": None, "public_key": point}
    await add(tx, vault, clock, "hook", **given)
    until = clock.now() + timedelta(hours=43)
    await add(tx, vault, clock, "st", purpose="statement", valid_to=until, **given)
    found = {}
    for day in (21, 22, 23, 24):
        keys = await partners.statement_keys(tx, "metro", date(2026, 11, day), "Asia/Shanghai")
        found[day] = [key.key_id for key in keys]
    assert found == {21: [], 22: ["st"], 23: ["st"], 24: []}
    assert not await partners.statement_keys(tx, "bus", date(2026, 11, 22), "Asia/Shanghai")


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
