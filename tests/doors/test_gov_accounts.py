"""The officials' door: signing in, opening accounts, what a role may not, what is kept of it."""

import pytest

from backend.kit.problems import Problem
from backend.officials import requests
from tests.doors.door_world import City
from tests.doors.gov_world import PASSWORD, Desk, enrolled, founded


@pytest.fixture(autouse=True)
def _cheap_hashing(cheap_hashing: None) -> None:
    """Passwords cost little here."""


@pytest.fixture
async def admins(city: City) -> tuple[Desk, Desk]:
    return await founded(city.http, city.services)


def name_of(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.json()["type"].rpartition("/")[2]


async def test_an_official_signs_in_and_out(admins: tuple[Desk, Desk]) -> None:
    sys, sec = admins
    me = await sys.get("/me")
    assert (me["user"], me["kind"], me["roles"]) == ("sys", "system", ["system_admin"])
    assert "officials.request" in me["acts"]
    assert "rules.approve" not in me["acts"]
    assert (await sys.call("POST", "/logout")).status_code == 204
    assert name_of(await sys.call("GET", "/me")) == "not-signed-in"
    sec.token = "x" * 43
    assert name_of(await sec.call("GET", "/me")) == "not-signed-in"


async def test_a_code_counts_once_and_what_was_wrong_is_not_told(admins) -> None:
    sys, sec = admins
    code = sys.code()
    assert (await sys.sign_in(totp=code)).status_code == 200
    assert name_of(await sys.sign_in(totp=code)) == "sign-in-refused"
    early = sec.code()
    assert (await sec.sign_in()).status_code == 200
    assert name_of(await sec.sign_in(totp=early)) == "sign-in-refused"
    for wrong in ({"password": "not-the-password"}, {"totp": "000000"}, {"user": "nobody"}):
        answer = await sys.sign_in(**wrong)
        assert (answer.status_code, name_of(answer)) == (401, "sign-in-refused")


async def test_five_failures_lock_a_name_whoever_has_it(admins) -> None:
    sys, _ = admins
    for user in ("nobody", "sys"):
        for _ in range(5):
            refused = await sys.sign_in(user=user, password="wrong-password")
            assert name_of(refused) == "sign-in-refused"
        locked = await sys.sign_in(user=user)
        assert (locked.status_code, name_of(locked)) == (429, "locked-out")
        assert int(locked.headers["retry-after"]) > 0
    sys.clock.advance(minutes=16)
    assert (await sys.sign_in()).status_code == 200
    # One address that goes through many names is slowed down before anything is hashed.
    body = {"password": "x", "totp": "000000"}
    names = [f"name-{n}" for n in range(31)]
    tried = [await sys.http.post("/gov/v1/login", json=body | {"user": name}) for name in names]
    assert {name_of(each) for each in tried[:29]} == {"sign-in-refused"}
    assert (tried[-1].status_code, name_of(tried[-1])) == (429, "too-many-tries")


async def test_a_session_ends_when_idle_and_after_eight_hours(admins: tuple[Desk, Desk]) -> None:
    sys, sec = admins
    sys.clock.advance(minutes=31)
    assert name_of(await sys.call("GET", "/me")) == "not-signed-in"
    assert (await sec.sign_in()).status_code == 200
    for _ in range(24):
        sys.clock.advance(minutes=19)
        assert (await sec.call("GET", "/me")).status_code == 200
    sys.clock.advance(minutes=25)
    assert name_of(await sec.call("GET", "/me")) == "not-signed-in"


async def test_an_account_is_made_by_two_and_opened_by_its_owner(admins) -> None:
    li = await enrolled(admins, "li", "drafter")
    assert (await li.get("/me"))["roles"] == ["drafter"]
    assert name_of(await li.call("GET", "/officials")) == "not-your-role"
    people = await admins[0].get("/officials")
    assert [each["user"] for each in people["items"]] == ["li", "sec", "sys"]
    [request] = (await admins[1].get("/requests"))["items"]
    assert (request["state"], request["asked_by"], request["settled_by"]) == (
        "confirmed", "sys", "sec"
    )  # fmt: skip
    assert request["code_half"] is None


async def test_one_administrator_alone_changes_nothing(admins, city: City) -> None:
    sys, _ = admins
    services = city.services
    async with services.db.transaction() as tx:
        with pytest.raises(Problem, match="already-founded"):
            await requests.found_administrator(
                tx, services.vault, services.clock, "sys", "系统", "system_admin"
            )
    asked = await sys.post(
        "/requests",
        {"act": "enrol", "user": "li", "name": "李", "role": "approver", "reason": "x"},
        status=201,
    )
    answer = await sys.call("POST", f"/requests/{asked['request_id']}/confirm")
    assert (answer.status_code, name_of(answer)) == (403, "second-person-needed")
    assert len((await sys.get("/officials"))["items"]) == 2
    body = {"act": "enrol", "user": "wu", "name": "吴", "role": "drafter", "reason": "x"}
    first = await sys.post("/requests", body, status=201, key="k-1")
    assert await sys.post("/requests", body, status=201, key="k-1") == first
    other = await sys.call("POST", "/requests", json=body | {"name": "王"}, key="k-1")
    assert (other.status_code, name_of(other)) == (409, "idempotency-key-reused")


async def test_who_is_reset_or_suspended_is_out_at_once(admins) -> None:
    sys, sec = admins
    for user, act in (("li", "reset"), ("wang", "suspend")):
        desk = await enrolled(admins, user, "drafter")
        asked = await sec.post("/requests", {"act": act, "user": user, "reason": "x"}, status=201)
        await sys.post(f"/requests/{asked['request_id']}/confirm")
        assert name_of(await desk.call("GET", "/me")) == "not-signed-in"
        assert name_of(await desk.sign_in()) == "sign-in-refused"


async def test_a_password_is_changed_by_its_owner(admins) -> None:
    sys, _ = admins
    new = "battery-horse-staple"
    weak = {"password": PASSWORD, "totp": sys.code(), "new_password": "sys-sys-sys-sys"}
    assert name_of(await sys.call("POST", "/me/password", json=weak)) == "weak-password"
    body = {"password": PASSWORD, "totp": sys.code(), "new_password": new}
    await sys.post("/me/password", body)
    assert name_of(await sys.call("GET", "/me")) == "not-signed-in"
    assert name_of(await sys.sign_in()) == "sign-in-refused"
    sys.password = new
    assert (await sys.sign_in()).status_code == 200


async def test_every_act_is_in_the_audit_log_and_secrets_are_not(admins, city: City) -> None:
    li = await enrolled(admins, "li", "auditor")
    found = await li.get("/audit?limit=200")
    acts = [each["act"] for each in found["items"]]
    assert acts[:2] == ["session.open", "official.activate"]
    assert {"official.confirm.enrol", "official.ask.enrol"} <= set(acts)
    assert PASSWORD not in str(found)
    assert li.totp_secret not in str(found)
    [asked] = (await li.get("/audit?act=official.ask"))["items"]
    assert (asked["actor"], asked["about"]) == ("sys", "li")
    assert name_of(await admins[0].call("GET", "/audit")) == "not-your-role"
