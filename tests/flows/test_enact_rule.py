"""A rule takes force: two officials, own keys, the chain first and the database after it."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from backend import incentive, methodology, officials
from backend.chain import ChainClient, Purpose, Signer, contracts
from backend.flows import fund_programme
from backend.flows.check_approvers import check_approvers
from backend.flows.deploy_chain import deploy_chain
from backend.flows.enact_rule import PURPOSE, What, approve, draft
from backend.flows.enrol_official import enrol_official
from backend.flows.fund_programme import Envelope, open_programme, set_envelope
from backend.flows.government_lane import (
    Call,
    Government,
    deployed,
    nothing_more,
    prepare,
    settle,
    terms_now,
)
from backend.flows.settle_government import settle_government
from backend.kit.clock import FixedClock
from backend.kit.db import Database
from backend.kit.problems import Problem
from tests.chain.support import NodeProcess
from tests.flows.award_world import PROGRAMME, a_method, a_programme, a_rule, rows

pytestmark = pytest.mark.chain

WANG, ZHAO, ROGUE = (Signer(bytes([n]) * 32) for n in (11, 12, 13))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@dataclass
class Office:
    """The government's tools with two enrolled approvers and a programme."""

    government: Government
    db: Database
    ids: list[str] = field(default_factory=list)

    async def approve(
        self, name: str, version: int, official: str, signer: Signer, what: What = "rule"
    ):
        return await approve(self.government, what, name, version, official, signer)

    async def status(self, name: str, version: int) -> str:
        found = await rows(
            self.db, "SELECT status FROM rule WHERE rule_id = $1 AND version = $2", name, version
        )
        return found[0]["status"]


@pytest.fixture
async def office(db: Database, node: NodeProcess, clock: FixedClock) -> AsyncIterator[Office]:
    async with ChainClient(node.url) as client:
        await deploy_chain(db, client, node.keys)
        # The chain is shared by the module's tests, the database is not: go on from its nonce.
        lane = node.keys.government.address
        async with db.transaction() as tx:
            await tx.execute(
                "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, $2)",
                lane,
                await client.nonce(lane),
            )
        government = Government(db, clock, client, node.keys.government)
        await enrol_official(government, "wang", "王", "approver", WANG.address)
        await enrol_official(government, "zhao", "赵", "approver", ZHAO.address)
        await open_programme(government, a_programme())
        yield Office(government, db)


async def test_two_approvals_put_a_rule_in_force(office: Office) -> None:
    version = await draft(office.db, office.government.clock, a_rule(version=1))
    assert version.what == "rule"
    first = await office.approve("metro-points", 1, "wang", WANG)
    assert (first.enacted, await office.status("metro-points", 1)) == (False, "draft")
    second = await office.approve("metro-points", 1, "zhao", ZHAO)
    assert second.enacted
    assert second.approvers == tuple(sorted([WANG.address, ZHAO.address]))
    assert await office.status("metro-points", 1) == "enacted"
    enactment = (await rows(office.db, "SELECT * FROM enactment"))[0]
    assert list(enactment["approvers"]) == sorted([WANG.address, ZHAO.address])
    assert enactment["tx_hash"] is not None
    queued = await rows(office.db, "SELECT kind, ref FROM unsealed")
    assert [(q["kind"], q["ref"]) for q in queued] == [(2, enactment["enactment_id"])]
    async with office.db.transaction() as tx:
        place = await deployed(tx)
    answer = await office.government.client.call(
        place.rule_registry, contracts.enacted_call(1, "metro-points", 1)
    )
    assert contracts.read_enacted(answer) == (
        version.digest,
        version.terms.day_from,
        version.terms.day_to,
    )


async def test_approving_again_changes_nothing(office: Office) -> None:
    await draft(office.db, office.government.clock, a_rule(version=2))
    for _ in range(2):
        one = await office.approve("metro-points", 2, "wang", WANG)
    assert not one.enacted
    for _ in range(2):
        assert (await office.approve("metro-points", 2, "zhao", ZHAO)).enacted
    assert len(await rows(office.db, "SELECT * FROM enactment")) == 1
    assert len(await rows(office.db, "SELECT * FROM chain_tx WHERE purpose = $1", PURPOSE)) == 1


async def test_a_method_takes_force_the_same_way(office: Office) -> None:
    await draft(office.db, office.government.clock, a_method(version=7))
    await office.approve("transit.metro.trip", 7, "wang", WANG, "method")
    assert (await office.approve("transit.metro.trip", 7, "zhao", ZHAO, "method")).enacted
    async with office.db.transaction() as tx:
        assert (await methodology.calendar(tx)).entries


async def test_who_may_not_approve(office: Office) -> None:
    await draft(office.db, office.government.clock, a_rule(version=3))
    for official, signer, name in (
        ("nobody", ROGUE, "not-an-approver"),
        ("wang", ROGUE, "wrong-key"),
        ("wang", ZHAO, "wrong-key"),
    ):
        with pytest.raises(Problem) as refused:
            await office.approve("metro-points", 3, official, signer)
        assert refused.value.name == name
    with pytest.raises(Problem) as refused:
        await office.approve("metro-points", 99, "wang", WANG)
    assert refused.value.status == 404
    assert await rows(office.db, "SELECT * FROM approval") == []


async def test_an_auditor_is_no_approver(office: Office) -> None:
    await draft(office.db, office.government.clock, a_rule(version=3))
    await enrol_official(office.government, "qian", "钱", "auditor", ROGUE.address)
    with pytest.raises(Problem) as refused:
        await office.approve("metro-points", 3, "qian", ROGUE)
    assert refused.value.name == "not-an-approver"


async def test_the_chain_recovers_the_signatures_itself(office: Office) -> None:
    """Negative control: with our own check broken, the contract still refuses a stranger."""
    await draft(office.db, office.government.clock, a_rule(version=4))
    async with office.db.transaction() as tx:
        await officials.register(
            tx, "rogue", "外人", "approver", ROGUE.address, office.government.clock
        )
    await office.approve("metro-points", 4, "wang", WANG)
    standing = await office.approve("metro-points", 4, "rogue", ROGUE)
    assert not standing.enacted
    assert "RuleRegistryNotAnApprover" in (standing.reason or "")
    assert await office.status("metro-points", 4) == "draft"
    assert await rows(office.db, "SELECT * FROM enactment") == []


async def test_the_database_waits_for_the_chain(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the second approval and the final receipt: the worker finishes it."""

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    await draft(office.db, office.government.clock, a_rule(version=5))
    await office.approve("metro-points", 5, "wang", WANG)
    with monkeypatch.context() as patch:
        patch.setattr("backend.flows.enact_rule.settle", killed)
        with pytest.raises(KeyboardInterrupt):
            await office.approve("metro-points", 5, "zhao", ZHAO)
    assert await office.status("metro-points", 5) == "approved"
    async with office.db.transaction() as tx:
        assert (await incentive.calendar(tx)).entries == ()
    assert await settle_government(office.government) == 1
    assert await office.status("metro-points", 5) == "enacted"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"{", "not-json"),
        (b"[]", "unknown-format"),
        (b'{"format":"tanhui-rule-v9"}', "unknown-format"),
        (b'{"format":"tanhui-rule-v1","format":"tanhui-rule-v1"}', "not-canonical"),
        (b'{"format":"tanhui-rule-v1","limit":1.5}', "not-canonical"),
    ],
)
async def test_files_that_are_no_documents(
    db: Database, clock: FixedClock, text: bytes, name: str
) -> None:
    with pytest.raises(Problem) as refused:
        await draft(db, clock, text)
    assert (refused.value.status, refused.value.name) == (422, name)


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "distance_m.x", "1 ? 2 : 3", "(" * 40 + "1" + ")" * 40, "min(1, 2)"],
)
async def test_a_hostile_expression_is_refused_by_name(office: Office, expression: str) -> None:
    document = json.loads(a_rule(version=6))
    document["rows"][0]["points"] = expression
    with pytest.raises(Problem) as refused:
        await draft(office.db, office.government.clock, json.dumps(document).encode())
    assert (refused.value.status, refused.value.name) == (422, "bad-expression")


async def test_a_version_has_one_document(office: Office) -> None:
    clock = office.government.clock
    same = await draft(office.db, clock, a_rule(version=8))
    pretty = json.dumps(json.loads(a_rule(version=8)), indent=2, ensure_ascii=False).encode()
    assert await draft(office.db, clock, pretty) == same
    with pytest.raises(Problem) as refused:
        await draft(office.db, clock, a_rule(version=8, hit="sum"))
    assert refused.value.name == "version-exists"


class TestBudget:
    async def envelope(self, office: Office) -> list[int]:
        found = await rows(office.db, "SELECT envelope FROM budget")
        return [row["envelope"] for row in found]

    async def cap(self, office: Office) -> int:
        async with office.db.transaction() as tx:
            place = await deployed(tx)
        answer = await office.government.client.call(
            place.carbon_points, contracts.budget_call(PROGRAMME)
        )
        return contracts.read_budget(answer)[0]

    async def test_raised_on_chain_before_the_database(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def killed(*_: object) -> None:
            raise KeyboardInterrupt

        await set_envelope(office.government, Envelope(PROGRAMME, "2026", 500))
        assert (await self.envelope(office), await self.cap(office)) == ([500], 500)
        with monkeypatch.context() as patch:
            patch.setattr(fund_programme, "settle", killed)
            with pytest.raises(KeyboardInterrupt):
                await set_envelope(office.government, Envelope(PROGRAMME, "2026", 900))
        assert await self.envelope(office) == [500]
        await settle_government(office.government)
        assert (await self.envelope(office), await self.cap(office)) == ([900], 900)

    async def test_lowered_in_the_database_before_the_chain(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def killed(*_: object) -> None:
            raise KeyboardInterrupt

        await set_envelope(office.government, Envelope(PROGRAMME, "2026", 800))
        with monkeypatch.context() as patch:
            patch.setattr(fund_programme, "settle", killed)
            with pytest.raises(KeyboardInterrupt):
                await set_envelope(office.government, Envelope(PROGRAMME, "2026", 300))
        assert (await self.envelope(office), await self.cap(office)) == ([300], 800)
        await settle_government(office.government)
        assert (await self.envelope(office), await self.cap(office)) == ([300], 300)

    async def test_periods_add_up_on_chain(self, office: Office) -> None:
        await set_envelope(office.government, Envelope(PROGRAMME, "2026", 100))
        await set_envelope(office.government, Envelope(PROGRAMME, "2027", 50))
        assert await self.cap(office) == 150

    async def test_a_programme_keeps_its_values(self, office: Office) -> None:
        await open_programme(office.government, a_programme())
        with pytest.raises(Problem) as refused:
            await open_programme(office.government, a_programme(expiry_months=12))
        assert refused.value.name == "programme-exists"


async def test_a_refused_call_is_told(office: Office) -> None:
    """A cap below what was issued, or any revert, ends as a named refusal."""
    async with office.db.transaction() as tx:
        place = await deployed(tx)
    terms = await terms_now(office.government)
    bad = Call("set-budget", "x/2026/1/y", place.carbon_points, b"\x12\x34\x56\x78", 100_000)
    async with office.db.transaction() as tx:
        await prepare(tx, office.government, terms, bad)
    await settle(office.government, fund_programme.purposes())
    found = await rows(office.db, "SELECT state, reason FROM chain_tx WHERE ref = 'x/2026/1/y'")
    assert found[0]["state"] == "failed"


async def test_a_method_on_notice_waits_for_its_close(office: Office) -> None:
    """The notice of a version has to close before anybody can approve it."""
    clock = office.government.clock
    assert isinstance(clock, FixedClock)
    made = await draft(office.db, clock, a_method())
    closes_at = clock.now() + timedelta(days=7)
    async with office.db.transaction() as tx:
        await methodology.give_notice(tx, made.id, 1, clock.now(), closes_at, clock.now())
    with pytest.raises(Problem) as refused:
        await office.approve(made.id, 1, "wang", WANG, "method")
    assert (refused.value.status, refused.value.name) == (409, "notice-open")
    assert await rows(office.db, "SELECT 1 FROM approval WHERE what = 2") == []
    clock.advance(days=7)
    standing = await office.approve(made.id, 1, "wang", WANG, "method")
    assert len(standing.approvers) == 1


async def test_an_address_too_many_on_chain_is_found(office: Office, node: NodeProcess) -> None:
    """The government's key alone can register one; the registry's events tell."""
    client = office.government.client
    before = await check_approvers(office.db, client)
    assert not [each for each in before.differences if WANG.address in each]
    async with office.db.transaction() as tx:
        place = await deployed(tx)
    own = Signer(b"\x55" * 32).address
    data = contracts.register_approver_input(own)
    terms = await terms_now(office.government)
    async with office.db.transaction() as tx:
        call = Call("planted", "x", place.rule_registry, data, 200_000)
        await prepare(tx, office.government, terms, call)
    await settle(office.government, {"planted": Purpose(on_settled=nothing_more)})
    found = await check_approvers(office.db, client)
    assert [each for each in found.differences if own in each]
    async with office.db.transaction() as tx:
        await officials.end_key(tx, "wang", office.government.clock.now())
    found = await check_approvers(office.db, client)
    assert [each for each in found.differences if WANG.address in each]
