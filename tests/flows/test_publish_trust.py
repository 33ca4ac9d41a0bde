"""The trust file follows deployment and keys; a pinned copy can follow it."""

from datetime import UTC, datetime

import pytest

from backend import partners, proof
from backend.chain import Deployment
from backend.chain.access import record_deployments, record_implementation
from backend.flows.publish_trust import publish_trust
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.kit.sm import Sm2PrivateKey
from backend.kit.vault import Vault
from backend.proof import trust
from backend.proof.verify import verify_sm2
from tests.proof.builders import Installation

HERE = Installation()
BLOCKS = {"RuleRegistry": 2, "EvidenceAnchor": 4, "CarbonPoints": 6}


def a_deployment(name: str, code: bytes = b"code") -> Deployment:
    return Deployment(
        name=name,
        address=HERE.contracts[name],
        proxy_code_hash=b"p" * 32,
        implementation_code_hash=code.ljust(32, b"\0"),
        implementation_address="0x" + "77" * 20,
        block=BLOCKS[name],
        block_hash=bytes([BLOCKS[name]]) * 32,
        chain_id=20261,
        implementation_block=BLOCKS[name],
    )


@pytest.fixture
async def deployed(db: Database) -> Database:
    async with db.transaction() as tx:
        await record_deployments(tx, [a_deployment(name) for name in BLOCKS])
    return db


async def add_statement_key(
    db: Database, vault: Vault, key_id: str, *, until: datetime | None = None
) -> bytes:
    point = Sm2PrivateKey.generate().public_key.to_bytes()
    async with db.transaction() as tx:
        await partners.register_partner(
            tx,
            "metro",
            "地铁",
            required_scheme="v1s2",
            scenarios=["transit.metro.trip"],
            now=datetime(2026, 1, 1, tzinfo=UTC),
        )
        await partners.add_key(
            tx,
            vault,
            "metro",
            key_id,
            scheme="v1s2",
            public_key=point,
            purpose="statement",
            valid_from=datetime(2026, 1, 31, 20, tzinfo=UTC),
            valid_to=until,
        )
    return point


async def test_before_the_deployment_there_is_nothing_to_trust(
    db: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    with pytest.raises(Problem, match="not-deployed"):
        await publish_trust(db, vault, settings, clock)


async def test_the_first_file_describes_the_installation(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    published = await publish_trust(deployed, vault, settings, clock)
    read = trust.parse_trust(published.document)
    assert (read.version, read.prev_digest) == (1, None)
    assert (read.issuer_id, read.profile, read.city_tz) == ("tanhui.demo", "test", "Asia/Shanghai")
    assert read.origin == "tanhui/test/tanhui.demo/20261"
    # The last contract's block: at it all three stand.
    assert (read.chain.deployment.block, read.chain.kind) == (6, "single-node")
    assert {name: c.address for name, c in read.chain.contracts.items()} == HERE.contracts
    assert read.partner_keys == ()
    assert [key.name for key in read.checkpoint_keys] == ["tanhui/test/tanhui.demo/1"]


async def test_unchanged_content_is_no_new_version(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    first = await publish_trust(deployed, vault, settings, clock)
    clock.advance(days=1)
    assert await publish_trust(deployed, vault, settings, clock) == first
    async with deployed.transaction(readonly=True) as tx:
        assert await proof.latest_trust(tx) == first


async def test_a_partners_key_makes_a_version_that_the_pinned_one_accepts(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    first = await publish_trust(deployed, vault, settings, clock)
    point = await add_statement_key(deployed, vault, "st-1")
    second = await publish_trust(deployed, vault, settings, clock)
    assert second.signature is not None
    read = trust.accept_update(first.document, second.document, second.signature, verify_sm2)
    assert (read.version, read.prev_digest) == (2, trust.digest(first.document))
    [key] = read.partner_keys
    # 20:00 UTC is the next day in the city.
    assert (key.partner, key.public_key, key.from_day.isoformat()) == ("metro", point, "2026-02-01")


async def test_a_key_that_was_never_valid_for_a_day_is_left_out(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    await add_statement_key(deployed, vault, "st-1", until=datetime(2026, 1, 31, 21, tzinfo=UTC))
    published = await publish_trust(deployed, vault, settings, clock)
    assert trust.parse_trust(published.document).partner_keys == ()


@pytest.mark.parametrize(
    "change",
    [{"issuer_id": "other.city"}, {"city_tz": "Asia/Tokyo"}, {"profile": "demo"}],
)
async def test_identity_cannot_change(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock, change: dict[str, str]
) -> None:
    await publish_trust(deployed, vault, settings, clock)
    with pytest.raises(Problem, match="trust-would-break"):
        await publish_trust(deployed, vault, settings.model_copy(update=change), clock)


async def test_lost_keys_cannot_be_replaced_silently(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock, tmp_path
) -> None:
    await publish_trust(deployed, vault, settings, clock)
    with pytest.raises(Problem, match="trust-would-break"):
        await publish_trust(deployed, Vault(tmp_path / "other"), settings, clock)


async def test_new_code_behind_a_proxy_is_listed_after_the_old(
    deployed: Database, vault: Vault, settings: Settings, clock: FixedClock
) -> None:
    first = await publish_trust(deployed, vault, settings, clock)
    new = b"new".ljust(32, b"\0")
    async with deployed.transaction() as tx:
        for _ in range(2):
            await record_implementation(
                tx, "CarbonPoints", address="0x" + "78" * 20, code_hash=new, block=40
            )
    second = await publish_trust(deployed, vault, settings, clock)
    assert second.signature is not None
    read = trust.accept_update(first.document, second.document, second.signature, verify_sm2)
    listed = read.chain.contracts["CarbonPoints"].implementations
    assert listed == ((b"code".ljust(32, b"\0"), 6), (new, 40))
    assert await publish_trust(deployed, vault, settings, clock) == second
