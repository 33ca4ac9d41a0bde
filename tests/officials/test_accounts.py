"""Accounts: two kinds that never meet, two persons for every change, a code in two halves."""

from datetime import timedelta

import asyncpg
import pytest

from backend import officials
from backend.kit.clock import FixedClock
from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.kit.vault import Vault
from backend.officials import requests


async def founded(tx: Tx, vault: Vault, clock: FixedClock) -> str:
    """Two administrators; the activation code of the first."""
    code = await requests.found_administrator(tx, vault, clock, "sys", "系统", "system_admin")
    await requests.found_administrator(tx, vault, clock, "sec", "安全", "security_admin")
    return code


async def changed(tx: Tx, vault: Vault, clock: FixedClock, act, who: str, **what) -> str:
    """A change asked by one administrator and confirmed by the other; the whole code, if any."""
    request, first = await requests.ask(
        tx, clock, act=act, official_id=who, asked_by="sys", reason="人事调整", **what
    )
    settled = await requests.settle(tx, vault, clock, request.request_id, by="sec", confirm=True)
    return f"{first}-{settled.code_half}"


def refusal(name: str):
    return pytest.raises(Problem, match=f"^{name}:")


async def test_the_first_two_administrators_need_nobody_and_a_third_does(tx, vault, clock):
    await founded(tx, vault, clock)
    with refusal("already-founded"):
        await requests.found_administrator(tx, vault, clock, "more", "多", "system_admin")


async def test_an_account_opens_with_both_halves_of_its_code(tx, vault, clock):
    await founded(tx, vault, clock)
    code = await changed(tx, vault, clock, "enrol", "li", name="李", role="drafter")
    first, second = code.split("-")
    for wrong in (first, second, f"{second}-{first}", f"{first}-", f"-{second}", ""):
        with refusal("activation-refused"):
            await requests.open_activation(tx, vault, clock, "li", wrong)
    opened = await requests.open_activation(tx, vault, clock, "li", code)
    assert await requests.open_activation(tx, vault, clock, "li", code) == opened
    await requests.use_activation(tx, opened, clock.now())
    with refusal("activation-refused"):
        await requests.open_activation(tx, vault, clock, "li", code)


async def test_a_code_expires(tx, vault, clock):
    code = await founded(tx, vault, clock)
    clock.advance(hours=73)
    with refusal("activation-refused"):
        await requests.open_activation(tx, vault, clock, "sys", code)


async def test_one_person_cannot_ask_and_confirm(tx, vault, clock):
    await founded(tx, vault, clock)
    request, _ = await requests.ask(
        tx, clock, act="enrol", official_id="li", asked_by="sys", reason="x", role="drafter",
        name="李",
    )  # fmt: skip
    for confirm in (True, False):
        with refusal("second-person-needed"):
            await requests.settle(tx, vault, clock, request.request_id, by="sys", confirm=confirm)
    assert await officials.find(tx, "li") is None
    # The database holds it too, whoever writes there.
    with pytest.raises(asyncpg.CheckViolationError):
        await tx.execute(
            "UPDATE official_request SET state = 'confirmed', settled_by = 'sys',"
            " settled_at = now()"
        )


async def test_nobody_changes_their_own_account(tx, vault, clock):
    await founded(tx, vault, clock)
    with refusal("not-about-yourself"):
        await requests.ask(
            tx,
            clock,
            act="grant",
            official_id="sys",
            asked_by="sys",
            reason="x",
            role="audit_admin",
        )
    request, _ = await requests.ask(
        tx, clock, act="reset", official_id="sec", asked_by="sys", reason="x"
    )
    with refusal("not-about-yourself"):
        await requests.settle(tx, vault, clock, request.request_id, by="sec", confirm=True)


@pytest.mark.parametrize(("first", "second"), [
    ("drafter", "security_admin"), ("system_admin", "finance"), ("audit_admin", "security_admin"),
])  # fmt: skip
async def test_system_and_business_roles_never_meet(tx, vault, clock, first, second):
    await founded(tx, vault, clock)
    await changed(tx, vault, clock, "enrol", "li", name="李", role=first)
    with refusal("role-conflict"):
        async with tx.savepoint():
            await changed(tx, vault, clock, "grant", "li", role=second)
    kind = officials.roles.kind_of(second)
    for pretended in {kind, "business" if kind == "system" else "system"}:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with tx.savepoint():
                await tx.execute(
                    "INSERT INTO official_role VALUES ('li', $1, $2, now())", second, pretended
                )
    found = await officials.find(tx, "li")
    assert found is not None
    assert found.roles == (first,)


async def test_business_roles_may_be_held_together_and_taken_away(tx, vault, clock):
    await founded(tx, vault, clock)
    await changed(tx, vault, clock, "enrol", "li", name="李", role="drafter")
    await changed(tx, vault, clock, "grant", "li", role="finance")
    await changed(tx, vault, clock, "revoke", "li", role="drafter")
    found = await officials.find(tx, "li")
    assert found is not None
    assert found.roles == ("finance",)


async def test_two_administrators_remain(tx, vault, clock):
    await founded(tx, vault, clock)
    await changed(tx, vault, clock, "enrol", "aud", name="审", role="audit_admin")
    await changed(tx, vault, clock, "enrol", "sec2", name="安", role="security_admin")
    request, _ = await requests.ask(
        tx, clock, act="suspend", official_id="sys", asked_by="sec", reason="x"
    )
    await requests.settle(tx, vault, clock, request.request_id, by="sec2", confirm=True)
    request, _ = await requests.ask(
        tx, clock, act="suspend", official_id="sec2", asked_by="sec", reason="x"
    )
    with refusal("last-administrators"):
        await requests.settle(tx, vault, clock, request.request_id, by="aud", confirm=True)


async def test_who_touched_an_account_is_known_for_72_hours(tx, vault, clock):
    await founded(tx, vault, clock)
    await changed(tx, vault, clock, "enrol", "li", name="李", role="approver")
    now = clock.now()
    assert await requests.touched_by(tx, "li", "sys", now)
    assert await requests.touched_by(tx, "li", "sec", now)
    assert not await requests.touched_by(tx, "li", "wang", now)
    assert not await requests.touched_by(tx, "li", "sys", now + timedelta(hours=72))


async def test_a_request_of_the_wrong_shape_is_refused(tx, vault, clock):
    await founded(tx, vault, clock)
    ask = {"asked_by": "sys", "reason": "x", "official_id": "li"}
    for odd in (
        {"act": "enrol", "name": "李"}, {"act": "enrol", "role": "drafter"},
        {"act": "enrol", "role": "king", "name": "李"}, {"act": "reset", "role": "drafter"},
    ):  # fmt: skip
        with refusal("bad-request-of-account"):
            await requests.ask(tx, clock, **ask, **odd)  # pyright: ignore[reportArgumentType]
    with refusal("unknown-official"):
        await requests.ask(tx, clock, **ask, act="reset")


def test_every_act_names_known_roles():
    known = set(officials.roles.ROLES)
    assert all(roles <= known for roles in officials.roles.ACTS.values())
    assert not officials.may(("system_admin", "security_admin", "audit_admin"), "rules.approve")
    with refusal("not-your-role"):
        officials.refuse_unless_may(("drafter",), "rules.approve")


def test_a_password_costs_what_it_should_to_guess():
    made = officials.access.hash_password("correct-horse-staple")
    scheme, log_n, r, p, salt, _ = made.split("$")
    # At least 32 MiB and three passes over them, a salt of its own.
    assert (scheme, int(log_n) >= 15, int(r) >= 8, int(p) >= 3) == ("scrypt", True, True, True)
    assert made != officials.access.hash_password("correct-horse-staple")
    assert len(salt) == 24
    assert officials.access.password_matches("correct-horse-staple", made)
    assert not officials.access.password_matches("correct-horse-stapl", made)
    assert not officials.access.password_matches("correct-horse-staple", "none")


@pytest.mark.parametrize("password", ["short", "x" * 20, "wang-is-here-now", "a" * 129])
def test_weak_passwords_are_refused(password):
    with refusal("weak-password"):
        officials.access.check_password_rules("wang", password)
