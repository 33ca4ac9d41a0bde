"""The daily work of an office: partners and keys, one record to its block, figures, exports."""

import base64
import json
from typing import Any

import pytest

from backend import incentive
from backend.kit.ids import new_id
from backend.kit.sm import Sm2PrivateKey, Sm2PublicKey, sm3
from backend.officials import roles
from tests.doors.door_world import City, trip
from tests.doors.gov_world import Desk, enrolled, founded
from tests.flows.award_world import a_rule


@pytest.fixture
async def desk_of(city: City, cheap_hashing: None):
    admins = await founded(city.http, city.services)
    desks: dict[str, Desk] = {"system_admin": admins[0], "security_admin": admins[1]}

    async def of(role: str) -> Desk:
        if role not in desks:
            desks[role] = await enrolled(admins, role.replace("_", "-"), role)
        return desks[role]

    return of


def name_of(answer) -> str:
    return answer.json()["type"].rpartition("/")[2]


async def test_a_partner_is_entered_and_its_keys_turn_over(city: City, desk_of) -> None:
    keeper = await desk_of("partner_manager")
    body = {"name": "公交", "required_scheme": "v1", "scenarios": ["transit.bus.trip"]}
    answer = await keeper.call("PUT", "/partners/bus", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["keys"] == []
    odd = await keeper.call("PUT", "/partners/bus", json=body | {"scenarios": ["nothing"]})
    assert name_of(odd) == "unknown-scenario"
    first = await keeper.post("/partners/bus/keys", {"key_id": "k1", "scheme": "v1"}, status=201)
    assert first["secret"].startswith("whsec_")
    turn = {"key_id": "k2", "scheme": "v1", "overlap_hours": 2}
    assert (await keeper.post("/partners/bus/keys", turn, status=201))["ended"] == ["k1"]
    third = await keeper.call("POST", "/partners/bus/keys", json=turn | {"key_id": "k3"})
    assert name_of(third) == "too-many-keys"
    point = base64.b64encode(Sm2PrivateKey.generate().public_key.to_bytes()).decode()
    sm2 = {"key_id": "s1", "scheme": "v1s2", "purpose": "statement", "public_key": point}
    assert (await keeper.post("/partners/bus/keys", sm2, status=201))["secret"] is None
    for bad in ({"public_key": "AAAA"}, {"public_key": base64.b64encode(b"\4" * 65).decode()}, {}):
        refused = await keeper.call(
            "POST", "/partners/bus/keys", json={"key_id": "s2", "scheme": "v1s2"} | bad
        )
        assert name_of(refused) == "bad-key"
    await keeper.post("/partners/bus/keys/k1/end", {})
    assert name_of(await keeper.call("POST", "/partners/bus/keys/k9/end", json={})) == "unknown-key"
    [bus] = [e for e in (await keeper.get("/partners"))["items"] if e["partner_id"] == "bus"]
    assert {each["key_id"] for each in bus["keys"]} == {"k1", "k2", "s1"}
    assert first["secret"] not in json.dumps(bus)
    page = await keeper.get("/partners/bus/deliveries")
    assert page == {"items": [], "next_cursor": None}
    missing = await keeper.call("POST", f"/partners/bus/deliveries/{new_id()}/replay")
    assert name_of(missing) == "unknown-delivery"


async def test_one_record_is_followed_to_its_block(city: City, desk_of, url_of) -> None:
    auditor = await desk_of("auditor")
    [evidence_id] = await city.trips(trip())
    [found] = (await auditor.get("/evidence?partner_id=metro"))["items"]
    assert (found["evidence_id"], found["state"]) == (str(evidence_id), "awarded")
    assert "citizen" not in json.dumps(found)
    path = f"/evidence/{evidence_id}"
    assert _verdicts(await auditor.get(path)) == {
        "recorded": "ok", "quantified": "ok", "awarded": "ok", "logged": "waiting",
    }  # fmt: skip
    await city.seal()
    await city.anchored(1)
    trail = await auditor.get(path)
    assert trail["ok"]
    assert _verdicts(trail)["confirmed"] == "ok"
    assert str(city.world.people[0]) not in json.dumps(trail)
    [noted] = (await auditor.get("/audit?act=evidence.open&limit=1"))["items"]
    assert noted["about"] == str(evidence_id)
    assert name_of(await auditor.call("GET", f"/evidence/{new_id()}")) == "unknown-evidence"

    import asyncpg

    owner = await asyncpg.connect(url_of("owner"))
    await owner.execute("UPDATE award SET amount = amount - 1, points_before_caps = amount")
    await owner.execute("UPDATE leaf SET leaf_hash = decode(repeat('00', 32), 'hex')")
    await owner.close()
    forged = await auditor.get(path)
    assert not forged["ok"]
    assert _verdicts(forged)["confirmed"] == "failed"


def _verdicts(trail: dict[str, Any]) -> dict[str, str]:
    return {each["step"]: each["verdict"] for each in trail["steps"]}


async def test_figures_hide_the_few_and_exports_are_signed(city: City, desk_of) -> None:
    finance = await desk_of("finance")
    await city.trips(trip())
    figures = await finance.get("/figures?days=30")
    assert figures["total"] == {
        "name": "", "people": None, "awards": None, "reduction_mg": None, "points": None
    }  # fmt: skip
    assert (await finance.call("GET", "/figures?days=3")).status_code == 422
    public = city.services.vault.sm2_key("checkpoint-1").public_key
    for what in ("figures", "effects", "budgets", "rules", "audit"):
        for form in ("csv", "json"):
            made = await finance.post("/exports", {"what": what, "format": form}, status=201)
            content = base64.b64decode(made["content"])
            assert made["sm3"] == sm3(content).hex()
            assert made["text"] == f"tanhui-export-v1\n{made['export_id']}\n{made['sm3']}\n"
            assert base64.b64decode(made["public_key"]) == public.to_bytes()
            signature = base64.b64decode(made["signature"])
            key = Sm2PublicKey(base64.b64decode(made["public_key"]))
            assert key.verify_der(signature, made["text"].encode())
            assert not key.verify_der(signature, made["text"].encode() + b"x")
            assert f"碳惠导出 {made['export_id']} · finance" in content.decode()
    auditor = await desk_of("auditor")
    noted = (await auditor.get("/audit?act=export.make"))["items"]
    assert len(noted) == 10
    assert noted[0]["detail"]["sm3"] == made["sm3"]


async def test_a_role_does_what_it_may_and_nothing_else(city: City, desk_of) -> None:
    """Every route behind a role answers 403 to every role that may not, whatever it is asked."""
    document = (await city.http.get("/openapi.json")).json()
    refused: dict[tuple[str, str], set[str]] = {}
    allowed: dict[tuple[str, str], list[str]] = {}
    for role in roles.ROLES:
        desk = await desk_of(role)
        for path, routes in document["paths"].items():
            if not path.startswith("/gov/v1/") or "/gov/v1/me" in path:
                continue
            for method, route in routes.items():
                if "403" not in route["responses"]:
                    continue
                answer = await desk.call(method.upper(), _filled(path), json={})
                name = name_of(answer) if answer.status_code >= 400 else ""
                assert name != "not-signed-in", (role, method, path)
                if name == "not-your-role":
                    refused.setdefault((method, path), set()).add(role)
                    allowed[method, path] = answer.json()["roles"]
    assert len(refused) > 30
    for route, roles_refused in refused.items():
        assert roles_refused == set(roles.ROLES) - set(allowed[route]), route


def _filled(path: str) -> str:
    """A path with something in every place, for who may not even come that far."""
    inner = path.removeprefix("/gov/v1")
    for name, value in {"version": "1", "period": "total", "day": "2026-11-22"}.items():
        inner = inner.replace(f"{{{name}}}", value)
    while "{" in inner:
        head, _, rest = inner.partition("{")
        name, _, tail = rest.partition("}")
        value = str(new_id()) if name.endswith("_id") and name not in _NAMES else "x"
        inner = f"{head}{value}{tail}"
    return inner


_NAMES = {"partner_id", "programme_id", "key_id"}


async def test_a_draft_that_is_drafted_anew_leaves_no_counter_behind(
    city: City, desk_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafter = await desk_of("drafter")
    await city.trips(trip())

    async def drafted(caps: list[dict[str, Any]]) -> None:
        text = json.loads(a_rule(version=2, day_from="2026-12-01", caps=caps))
        await drafter.post("/rules", text, status=201)

    async def differences() -> list[Any]:
        async with city.db.transaction(readonly=True) as tx:
            return await incentive.check_laws(tx)

    monthly = [{"name": "每月上限", "window": "month", "limit": 100}]
    await drafted(monthly)
    assert await differences() == []
    await drafted([])
    assert await differences() == []

    async def nothing(*_: object) -> None:
        """The control: what the withdrawn draft counted stays."""

    await drafted(monthly)
    monkeypatch.setattr("backend.incentive.programmes.clear_counters", nothing)
    await drafted([])
    assert await differences() != []
