"""A rule's way through the officials' door, on a real chain, and who tries to shorten it."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from backend import incentive, officials
from backend.chain import ChainClient, Signer, approvals, contracts, open_keystore
from backend.flows.deploy_chain import deploy_chain
from backend.flows.seal_log import seal_once
from backend.kit.ids import new_id
from backend.kit.services import Services
from backend.officials import access, requests
from tests.chain.support import NodeProcess, executed
from tests.doors.door_world import City, open_city
from tests.doors.gov_world import PASSWORD, Desk, enrolled, founded
from tests.flows.award_world import PROGRAMME, a_method, a_rule

pytestmark = pytest.mark.chain
RULE = "/rules/metro-points"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    node = NodeProcess(tmp_path_factory.mktemp("node"))
    node.start()
    yield node
    node.kill()


@dataclass
class Offices:
    """A city on a chain with a drafter and two approvers."""

    city: City
    node: NodeProcess
    admins: tuple[Desk, Desk]
    drafter: Desk
    first: Desk
    second: Desk

    async def drafted(self, version: int, **changes: Any) -> dict[str, Any]:
        """A draft that was tried on real evidence."""
        text = a_rule(version=version, day_from="2026-12-01", **changes)
        made = await self.drafter.post("/rules", json.loads(text), status=201)
        await self.simulated(text)
        return made

    async def simulated(self, document: bytes) -> None:
        """What a finished simulation leaves behind."""
        async with self.city.db.transaction() as tx:
            await tx.execute(
                """INSERT INTO simulation (simulation_id, document, day_from, day_to, state,
                       asked_by, asked_at)
                   VALUES ($1, $2, '2026-01-01', '2026-02-01', 'done', 'li', now())""",
                new_id(),
                document,
            )

    async def approved(self, version: int, **changes: Any) -> dict[str, Any]:
        """A submitted version with two approvals."""
        await self.drafted(version, **changes)
        at = await self.drafter.post(f"{RULE}/submit", {"version": version})
        for desk in (self.first, self.second):
            at = await self.approve(desk, at)
        return at

    async def approve(self, desk: Desk, at: dict[str, Any]) -> dict[str, Any]:
        body = {"version": at["version"], "digest": at["digest"]}
        return await desk.post(
            f"{RULE}/approve", body | {"password": PASSWORD, "totp": desk.code()}
        )

    async def refused(self, desk: Desk, path: str, body: Any) -> str:
        """The name of the refusal this request meets."""
        answer = await desk.call("POST", path, json=body)
        assert answer.status_code >= 400, answer.text
        return answer.json()["type"].rpartition("/")[2]


@pytest.fixture
async def offices(
    services: Services, node: NodeProcess, cheap_hashing: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Offices]:
    monkeypatch.setattr("backend.chain.keystores._SCRYPT_N", 2)
    for file in (node.var / "keys").glob("chain-*.key"):
        shutil.copy(file, services.settings.keys_dir / file.name)
    async with open_city(services, rpc_url=node.url) as city:
        async with ChainClient(node.url) as client:
            await deploy_chain(services.db, client, node.keys)
            # The chain is shared by the module's tests, the database is not: go on from its nonce.
            lane = node.keys.government.address
            nonce = await client.nonce(lane)
        async with services.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO chain_lane (lane, next_nonce) VALUES ($1, $2)", lane, nonce
            )
        admins = await founded(city.http, services)
        desks = [
            await enrolled(admins, user, role)
            for user, role in (("li", "drafter"), ("wang", "approver"), ("zhao", "approver"))
        ]
        for desk in desks[1:]:
            await desk.post("/me/key", {"password": PASSWORD, "totp": desk.code()})
        yield Offices(city, node, admins, *desks)


async def test_two_officials_take_a_rule_from_draft_to_enacted_and_stop_it(
    offices: Offices,
) -> None:
    drafter, first, second = offices.drafter, offices.first, offices.second
    at = await offices.drafted(2)
    assert (at["state"], at["drafters"], at["approvals"]) == ("draft", ["li"], [])
    assert "每" in at["card"]
    at = await drafter.post(f"{RULE}/submit", {"version": 2})
    assert at["state"] == "submitted"
    assert at["signing"]["primaryType"] == "Enactment"
    at = await offices.approve(first, at)
    assert (at["state"], [each["user"] for each in at["approvals"]]) == ("submitted", ["wang"])
    at = await offices.approve(second, at)
    assert at["state"] == "approved"
    at = await drafter.post(f"{RULE}/notice", {"version": 2, "days": 3})
    assert at["state"] == "notice"
    assert await offices.refused(first, f"{RULE}/enact", {"version": 2}) == "notice-open"

    await _objected(offices, at)

    at = await second.post(f"{RULE}/enact", {"version": 2}, key="enact-2")
    assert (at["state"], at["refused"]) == ("enacted", None)
    public = (await offices.city.http.get("/public/v1/rules/metro-points/2")).json()
    assert (public["status"], len(public["approvers"])) == ("enacted", 2)
    assert await seal_once(
        offices.city.db, offices.city.services.vault, offices.city.services.settings, first.clock
    )
    await _stopped(offices)


async def _objected(offices: Offices, at: dict[str, Any]) -> None:
    """An objection from outside blocks until it is answered."""
    http, first = offices.city.http, offices.first
    notice = f"/public/v1/notices/{at['notice']['notice_id']}"
    filed = await http.post(f"{notice}/objections", json={"text": "不公平", "contact": "138"})
    assert filed.status_code == 201
    assert filed.json()["text"] is None
    first.clock.advance(hours=24 * 4)
    for desk in (*offices.admins, offices.drafter, first, offices.second):
        await desk.sign_in()
    late = await http.post(f"{notice}/objections", json={"text": "太迟"})
    assert late.status_code == 409
    assert await offices.refused(first, f"{RULE}/enact", {"version": 2}) == "objection-open"
    [seen] = (await first.get(f"/notices/{at['notice']['notice_id']}/objections"))["items"]
    assert (seen["text"], seen["contact"]) == ("不公平", "138")
    answer = {"answer": "依据见附件。", "upheld": False}
    await first.post(f"/objections/{seen['objection_id']}/answer", answer)
    path = f"/objections/{seen['objection_id']}/answer"
    assert await offices.refused(first, path, answer) == "already-answered"
    [told] = (await http.get(notice)).json()["objections"]
    assert (told["text"], told["answer"], told.get("contact")) == ("不公平", "依据见附件。", None)


async def _stopped(offices: Offices) -> None:
    """Two approvers stop what is in force, with a reason; its window ends on both sides."""
    first, second = offices.first, offices.second
    order = {"version": 2, "reason": "数据异常"}
    early = order | {"day_to": "2026-12-01"}
    assert await offices.refused(first, f"{RULE}/stop", early) == "stop-too-early"
    stop = await first.post(f"{RULE}/stop", order, status=201)
    path = f"/stops/{stop['stop_id']}/sign"
    signed = await first.post(path, {"password": PASSWORD, "totp": first.code()})
    assert (signed["stopped"], len(signed["approvers"])) == (False, 1)
    again = await first.post(path, {"password": PASSWORD, "totp": first.code()})
    assert not again["stopped"]
    signed = await second.post(path, {"password": PASSWORD, "totp": second.code()})
    assert (signed["stopped"], signed["day_to"]) == (True, "2026-12-02")
    at = await first.get(f"{RULE}/2")
    assert (at["state"], at["stops"][0]["reason"]) == ("stopped", "数据异常")
    rows = await _rows(offices, "SELECT what, day_to FROM enactment ORDER BY enacted_at")
    assert [row["what"] for row in rows] == ["rule", "stop"]
    async with ChainClient(offices.node.url) as client:
        async with offices.city.db.transaction() as tx:
            place = await tx.fetchval("SELECT address FROM deployment WHERE name = 'RuleRegistry'")
        answer = await client.call(place, contracts.enacted_call(1, "metro-points", 2))
    assert contracts.read_enacted(answer)[2] == contracts.read_enacted(answer)[1] + 1


async def test_the_order_of_steps_holds(offices: Offices) -> None:
    drafter, first = offices.drafter, offices.first
    text = json.loads(a_rule(version=2, day_from="2026-12-01"))
    at = await drafter.post("/rules", text, status=201)
    assert await offices.refused(drafter, f"{RULE}/submit", {"version": 2}) == "not-simulated"
    assert await offices.refused(first, f"{RULE}/notice", {"version": 2}) == "wrong-state"
    assert await offices.refused(first, f"{RULE}/enact", {"version": 2}) == "wrong-state"
    sign = {"version": 2, "digest": at["digest"], "password": PASSWORD}
    assert (
        await offices.refused(first, f"{RULE}/approve", sign | {"totp": first.code()})
        == "wrong-state"
    )
    at = await offices.drafted(2, caps=[])  # Drafted anew: the same version, another digest.
    assert at["digest"] != sign["digest"]
    at = await drafter.post(f"{RULE}/submit", {"version": 2})
    assert await offices.refused(drafter, "/rules", text) == "already-submitted"
    other = sign | {"totp": first.code()}
    assert await offices.refused(first, f"{RULE}/approve", other) == "digest-differs"
    at = await first.post(f"{RULE}/return", {"version": 2, "reason": "请复核"})
    assert (at["state"], at["steps"][-1]["reason"]) == ("simulated", "请复核")
    assert await offices.refused(drafter, "/rules", {"format": "other"}) == "unknown-format"
    past = json.loads(a_rule(version=3, day_from="2026-01-01"))
    await drafter.post("/rules", past, status=201)
    await offices.simulated(a_rule(version=3, day_from="2026-01-01"))
    at = await drafter.post(f"{RULE}/submit", {"version": 3})
    for desk in (first, offices.second):
        await offices.approve(desk, at)
    assert await offices.refused(first, f"{RULE}/notice", {"version": 3}) == "window-too-early"
    async with offices.city.db.transaction() as tx:
        terms = {"organiser": "局", "notice_days": 5}
        now = first.clock.now()
        await incentive.record_terms(tx, PROGRAMME, terms, date(2026, 1, 1), "qian", now)
    short = {"version": 3, "days": 4}
    assert await offices.refused(first, f"{RULE}/notice", short) == "notice-too-short"


async def test_a_drafter_cannot_approve(offices: Offices) -> None:
    """Not by role, not by the flow when the role is there, not on the chain."""
    drafter = offices.drafter
    at = await offices.drafted(2)
    at = await drafter.post(f"{RULE}/submit", {"version": 2})
    sign = {"version": 2, "digest": at["digest"], "password": PASSWORD, "totp": drafter.code()}
    assert await offices.refused(drafter, f"{RULE}/approve", sign) == "not-your-role"
    grant = {"act": "grant", "user": "li", "role": "approver", "reason": "x"}
    asked = await offices.admins[0].post("/requests", grant, status=201)
    path = f"/requests/{asked['request_id']}/confirm"
    assert await offices.refused(offices.admins[1], path, None) == "role-conflict"
    # Who gave the drafting up and approves now, is still who drafted it.
    for act, role in (("revoke", "drafter"), ("grant", "approver")):
        change = {"act": act, "user": "li", "role": role, "reason": "转岗"}
        asked = await offices.admins[0].post("/requests", change, status=201)
        await offices.admins[1].post(f"/requests/{asked['request_id']}/confirm")
    await drafter.sign_in()
    await drafter.post("/me/key", {"password": PASSWORD, "totp": drafter.code()})
    sign["totp"] = drafter.code()
    assert await offices.refused(drafter, f"{RULE}/approve", sign) == "own-draft"


async def test_the_chain_follows_who_may_approve(offices: Offices) -> None:
    """A reset, a suspension and a role taken away end the right to sign on chain as well."""
    first, second = offices.admins
    async with offices.city.db.transaction() as tx:
        place = await tx.fetchval("SELECT address FROM deployment WHERE name = 'RuleRegistry'")
    addresses = {
        desk.user: (await desk.get("/me"))["address"] for desk in (offices.first, offices.second)
    }

    async def seated(user: str) -> bool:
        call = contracts.selector("isApprover(address)") + bytes(12)
        async with ChainClient(offices.node.url) as client:
            answer = await client.call(place, call + bytes.fromhex(addresses[user][2:]))
        return bool(int.from_bytes(answer))

    for user, acts in (
        ("wang", ("suspend", "restore", "reset")),
        ("zhao", ("revoke", "grant")),
    ):
        for act in acts:
            assert await seated(user) == (act in ("suspend", "reset", "revoke"))
            change = {"act": act, "user": user, "reason": "x"}
            if act in ("revoke", "grant"):
                change["role"] = "approver"
            asked = await first.post("/requests", change, status=201)
            await second.post(f"/requests/{asked['request_id']}/confirm")
    assert not await seated("wang")
    assert await seated("zhao")


async def test_a_hand_in_the_others_account_makes_two_signatures_one(offices: Offices) -> None:
    async with offices.city.db.transaction() as tx:
        await tx.execute(
            """INSERT INTO official_request (request_id, act, official_id, reason, asked_by,
                   asked_at, state, settled_by, settled_at)
               VALUES ($1, 'reset', 'zhao', 'x', 'wang', $2, 'confirmed', 'sec', $2)""",
            new_id(),
            offices.first.clock.now() - timedelta(hours=71),
        )
    at = await offices.approved(2)
    assert (at["state"], len(at["approvals"])) == ("submitted", 1)
    assert await offices.refused(offices.first, f"{RULE}/notice", {"version": 2}) == "wrong-state"
    # The control: without the distrust the same two signatures are enough.
    async with offices.city.db.transaction() as tx:
        assert await requests.touched_by(tx, "zhao", "wang", offices.first.clock.now())
        assert not await requests.touched_by(
            tx, "zhao", "wang", offices.first.clock.now() + timedelta(hours=2)
        )


async def test_a_key_kept_elsewhere_signs_elsewhere(offices: Offices) -> None:
    sun, hardware = await enrolled(offices.admins, "sun", "approver"), Signer(b"\x07" * 32)
    proof = hardware.sign_digest(approvals.key_proof_digest("sun", hardware.address))
    stolen = {"address": hardware.address, "proof": "0x" + "11" * 64 + "1b"}
    answer = await sun.call("PUT", "/me/key", json=stolen)
    assert answer.status_code == 403
    body = {"address": hardware.address, "proof": "0x" + proof.hex()}
    answer = await sun.call("PUT", "/me/key", json=body)
    assert answer.status_code == 200, answer.text
    at = await offices.drafted(2)
    at = await offices.drafter.post(f"{RULE}/submit", {"version": 2})
    terms = contracts.EnactmentTerms(
        1, "metro-points", 2, bytes.fromhex(at["digest"]),
        at["signing"]["message"]["dayFrom"], at["signing"]["message"]["dayTo"],
    )  # fmt: skip
    domain = at["signing"]["domain"]
    digest = contracts.enactment_digest(domain["chainId"], domain["verifyingContract"], terms)
    sign = {"version": 2, "digest": at["digest"]}
    forged = sign | {"signature": "0x" + Signer(b"\x08" * 32).sign_digest(digest).hex()}
    assert await offices.refused(sun, f"{RULE}/approve", forged) == "wrong-key"
    assert await offices.refused(sun, f"{RULE}/approve", sign) == "signature-missing"
    signature = "0x" + hardware.sign_digest(digest).hex()
    at = await sun.post(f"{RULE}/approve", sign | {"signature": signature})
    assert [each["address"] for each in at["approvals"]] == [hardware.address]


async def test_the_server_alone_cannot_enact(offices: Offices) -> None:
    """With database, master key and every key file of the server, but without two passwords."""
    at = await offices.drafted(9)
    at = await offices.drafter.post(f"{RULE}/submit", {"version": 9})
    services = offices.city.services
    async with services.db.transaction() as tx:
        kept = await officials.keystore_of(tx, services.vault, "wang")
        place = await tx.fetchval("SELECT address FROM deployment WHERE name = 'RuleRegistry'")
    assert kept is not None
    for guess in ("", PASSWORD[:-1], services.vault.secret("master").hex()):
        with pytest.raises(ValueError, match="does not open"):
            open_keystore(json.loads(kept), guess)
    message = at["signing"]["message"]
    terms = contracts.EnactmentTerms(
        1, "metro-points", 9, bytes.fromhex(at["digest"]), message["dayFrom"], message["dayTo"]
    )
    digest = contracts.enactment_digest(services.settings.chain_id, place, terms)
    own = offices.node.keys
    pairs = [(own.government, own.admin), (own.government, own.government), (own.post, own.anchor)]
    async with ChainClient(offices.node.url) as client:
        for one, other in pairs:
            data = contracts.enact_input(terms, one.sign_digest(digest), other.sign_digest(digest))
            with pytest.raises(AssertionError, match="status=False"):
                await executed(client, own.government, place, data)


async def test_methods_go_the_same_way(offices: Offices) -> None:
    drafter, first, second = offices.drafter, offices.first, offices.second
    path = "/methods/transit.metro.trip"
    text = json.loads(a_method(version=7, day_from="2026-12-01"))
    at = await drafter.post("/methods", text, status=201)
    assert await offices.refused(drafter, "/rules", text) == "unknown-format"
    at = await drafter.post(f"{path}/submit", {"version": 7})
    for desk in (first, second):
        body = {"version": 7, "digest": at["digest"], "password": PASSWORD, "totp": desk.code()}
        at = await desk.post(f"{path}/approve", body)
    at = await first.post(f"{path}/notice", {"version": 7})
    at = await first.post(f"{path}/enact", {"version": 7})
    assert at["state"] == "enacted"
    page = await drafter.get("/methods?limit=1")
    assert page["next_cursor"] is not None


async def test_a_programme_is_opened_funded_and_given_terms(offices: Offices) -> None:
    finance = await enrolled(offices.admins, "qian", "finance")
    path = "/programmes/ride-2027"
    body = {"name": "骑行", "class": "carbon", "day_from": "2027-01-01", "budget_period": "year"}
    made = await finance.call("PUT", path, json=body)
    assert (made.status_code, made.json()["budgets"]) == (200, []), made.text
    other = await finance.call("PUT", path, json=body | {"expiry_months": 12})
    assert other.json()["title"] == "Programme exists"
    empty = await finance.call("PUT", path, json=body | {"day_to": "2027-01-01"})
    assert empty.json()["title"] == "Bad window"
    budget = f"{path}/budgets/2027"
    refused = await finance.call("PUT", budget, json={"points": 5})
    assert refused.status_code == 428
    for points in (500, 200):  # Raised on chain first, lowered there last.
        set_ = await finance.call("PUT", budget, json={"points": points}, key=f"b-{points}")
        assert set_.json()["budgets"][0]["envelope"] == points, set_.text
    odd = await finance.call("PUT", f"{path}/budgets/total", json={"points": 1}, key="b-t")
    assert odd.json()["title"] == "Bad period"
    terms = {"day_from": "2027-01-01", "terms": {"organiser": "局", "notice_days": 2}}
    laid = await finance.post(f"{path}/terms", terms, status=201)
    assert (laid["version"], laid["notice_days"]) == (1, 2)
    strict = {"jurisdiction": "cn.shenzhen", "organiser": "局", "notice_days": 2}
    answer = await finance.call("POST", f"{path}/terms", json=terms | {"terms": strict})
    assert answer.json()["title"] == "Jurisdiction forbids"
    noted = await _rows(offices, "SELECT act FROM audit_entry WHERE actor = 'qian'")
    assert [e["act"] for e in noted].count("budget.set") == 3


async def _rows(offices: Offices, sql: str) -> list[dict[str, Any]]:
    async with offices.city.db.transaction(readonly=True) as tx:
        return [dict(row) for row in await tx.fetch(sql)]


def test_real_hashing_is_not_what_these_tests_use() -> None:
    """The cheap hashing of this file is undone after each test."""
    assert access._SCRYPT_LOG_N >= 15
