"""The public door over HTTP, without a chain: log, documents, budgets, pages, refusals."""

import asyncio
import base64
import json
from datetime import date, timedelta

import pytest

from backend.citizens.answers import Answer
from backend.kit.canonical import dumps
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.partners import add_key, end_keys, new_webhook_secret
from backend.proof import checkpoint, merkle
from backend.public_api.rpc import CALLS_PER_MINUTE_MAX, take_calls
from tests.doors.door_world import City, open_city, trip


def name_of(problem: dict) -> str:
    return problem["type"].rsplit("/", 1)[1]


async def get(city: City, path: str) -> dict:
    answer = await city.http.get(f"/public/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestLog:
    async def test_nothing_yet(self, city: City) -> None:
        for path, status in (("/checkpoint", 404), ("/checkpoints/5", 404), ("/trust", 503)):
            answer = await city.http.get(f"/public/v1{path}")
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"

    async def test_every_leaf_proves_against_every_checkpoint(self, city: City) -> None:
        roots: dict[int, bytes] = {}
        for day in (1, 2, 3):
            at = date(2026, 11, day)
            await city.trips(*(trip(distance_m=5_000, day=at, minute=n) for n in range(3)))
            await city.seal()
            note = (await city.http.get("/public/v1/checkpoint")).text
            head = checkpoint.parse_note(note)
            roots[head.size] = head.root
        assert list(roots) == [3, 6, 9]
        for size in roots:
            answer = await city.http.get(f"/public/v1/checkpoints/{size}")
            assert answer.headers["content-type"].startswith("text/plain")
            root = checkpoint.parse_note(answer.text).root
            for index in range(size):
                proof = await get(city, f"/proof?index={index}&size={size}")
                assert set(proof) == {"index", "size", "leaf_hash", "path"}
                path = [bytes.fromhex(node) for node in proof["path"]]
                leaf_hash = bytes.fromhex(proof["leaf_hash"])
                assert merkle.verify_inclusion(index, size, leaf_hash, path, root)
        chain = await get(city, "/consistency?from=3&to=9")
        assert set(chain) == {"from", "to", "path"}
        path = [bytes.fromhex(node) for node in chain["path"]]
        assert merkle.verify_consistency(3, 9, roots[3], roots[9], path)
        assert not merkle.verify_consistency(3, 9, roots[6], roots[9], path)

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("proof?index=0&size=99", 404),
            ("proof?index=3&size=3", 422),
            ("proof?index=-1&size=3", 422),
            ("proof?index=0", 422),
            ("proof?index=0&size=99999999999999999999", 422),
            ("consistency?from=0&to=3", 422),
            ("consistency?from=3&to=2", 422),
            ("consistency?from=1&to=99", 404),
            ("checkpoints/0", 422),
            ("checkpoints/x", 422),
            ("batches/" + "0" * 64, 404),
            ("batches/zz", 404),
        ],
    )
    async def test_questions_that_have_no_answer(self, city: City, query: str, status: int) -> None:
        await city.trips(trip(), trip(minute=1), trip(minute=2))
        await city.seal()
        answer = await city.http.get(f"/public/v1/{query}")
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


class TestDocuments:
    async def test_a_document_has_the_digest_it_is_listed_with(self, city: City) -> None:
        for path in ("/rules", "/methodologies"):
            listed = (await get(city, path))["items"]
            assert listed[0]["status"] == "enacted"
            whole = await get(city, f"{path}/{listed[0]['id']}/{listed[0]['version']}")
            assert {"document", "digest", "status", "card"} <= set(whole)
            assert sm3(dumps(whole["document"])).hex() == whole["digest"] == listed[0]["digest"]
            assert whole["card"]

    async def test_pages_of_versions(self, city: City) -> None:
        from tests.flows.award_world import a_rule

        async with city.db.transaction() as tx:
            for version in (2, 3):
                await city.world.enact_rule(tx, a_rule(version=version))
        first = await get(city, "/rules?limit=2")
        assert [each["version"] for each in first["items"]] == [1, 2]
        rest = await get(city, f"/rules?limit=2&cursor={first['next_cursor']}")
        assert ([each["version"] for each in rest["items"]], rest["next_cursor"]) == ([3], None)

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/rules/none/1", 404),
            ("/rules/metro-points/2", 404),
            ("/rules/metro-points/0", 422),
            ("/rules/METRO/1", 422),
            ("/rules/metro-points/99999999999", 422),
            ("/rules?cursor=x", 422),
            ("/methodologies/none/1", 404),
            ("/scenarios/none", 404),
        ],
    )
    async def test_unknown_ones(self, city: City, path: str, status: int) -> None:
        assert (await city.http.get(f"/public/v1{path}")).status_code == status

    async def test_scenarios_keys_budgets(self, city: City) -> None:
        listed = (await get(city, "/scenarios"))["items"]
        whole = await get(city, f"/scenarios/{listed[0]['type']}")
        assert whole["type"] == listed[0]["type"]
        assert whole["data_schema"]["type"] == "object"
        assert (await get(city, "/keys"))["approvers"] == []
        await city.trips(trip())
        budget = (await get(city, "/budgets"))["items"][0]
        assert budget["issued"] == 27
        assert budget["remaining"] == budget["envelope"] - 27

    async def test_keys_past_and_present_and_no_secret(self, city: City) -> None:
        services = city.services
        secret, point = new_webhook_secret(), Sm2PrivateKey(7).public_key.to_bytes()
        now = services.clock.now()
        async with services.db.transaction() as tx:
            await add_key(
                tx, services.vault, "metro", "hmac", scheme="v1sm", valid_from=now, secret=secret
            )
            await end_keys(tx, "metro", now=now + timedelta(days=1))
            await add_key(
                tx,
                services.vault,
                "metro",
                "st",
                scheme="v1s2",
                valid_from=now + timedelta(days=2),
                public_key=point,
                purpose="statement",
            )
        answer = await city.http.get("/public/v1/keys")
        assert secret.removeprefix("whsec_") not in answer.text
        statement, webhook = answer.json()["partner_keys"]
        assert (statement["key_id"], statement["scheme"]) == ("st", "v1s2")
        assert base64.b64decode(statement["public_key"]) == point
        assert statement["valid_to"] is None
        assert (webhook["key_id"], webhook["scheme"], webhook["purpose"]) == (
            "hmac",
            "v1sm",
            "webhook",
        )
        assert webhook["public_key"] is None
        assert webhook["valid_to"] == "2026-11-23T04:00:00Z"


class TestWatching:
    async def test_alive_but_not_ready_without_a_chain(self, city: City) -> None:
        assert (await city.http.get("/health")).json() == {"status": "alive"}
        answer = await city.http.get("/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        found = answer.json()
        assert (found["database"], found["profile"]) == ("ok", "test")
        assert found["chain"].startswith("away")

    async def test_metrics_count_by_route(self, city: City) -> None:
        await city.http.get("/public/v1/rules/metro-points/1")
        text = (await city.http.get("/metrics")).text
        wanted = 'route="/public/v1/rules/{name}/{version}",status="200"'
        assert any(wanted in line for line in text.splitlines())
        assert 'tanhui_backlog{step="outbox_award"} 0' in text

    async def test_a_database_that_is_away_is_503(self, services: Services) -> None:
        async with open_city(services, enacted=False) as city:
            await services.db.close()
            answer = await city.http.get("/public/v1/rules")
            assert (answer.status_code, name_of(answer.json())) == (503, "database-away")
            assert answer.headers["retry-after"] == "2"
            assert (await city.http.get("/ready")).status_code == 503
            assert "tanhui_database_up 0" in (await city.http.get("/metrics")).text

    async def test_an_error_nobody_meant_tells_nothing(
        self, city: City, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object) -> Answer:
            raise RuntimeError("the secret is 42")

        monkeypatch.setattr("backend.views.documents_listed", broken)
        answer = await city.http.get("/public/v1/rules")
        assert (answer.status_code, name_of(answer.json())) == (500, "internal-error")
        assert "42" not in answer.text


class TestPages:
    async def test_the_start_page_leads_on(self, city: City) -> None:
        await city.trips(trip())
        await city.seal()
        answer = await city.http.get("/")
        assert "碳惠" in answer.text
        for path in ("/public/v1/trust", "/public/v1/supply", "/docs"):
            assert f'href="{path}"' in answer.text
        assert "<b>27</b>" in answer.text

    async def test_pages_ask_nothing_of_others(self, city: City) -> None:
        for path in ("/", "/docs", "/site.css"):
            answer = await city.http.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "src=" not in answer.text
            assert "style=" not in answer.text
            assert "<script" not in answer.text

    async def test_the_reference_names_every_route(self, city: City) -> None:
        page = (await city.http.get("/docs")).text
        schema = (await city.http.get("/openapi.json")).json()
        for path in schema["paths"]:
            assert path in page.replace("&amp;", "&")

    async def test_every_answer_is_safe(self, city: City) -> None:
        for path in ("/", "/public/v1/rules", "/nowhere", "/miniapp/v1/me"):
            headers = (await city.http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nowhere", 404),
            ("GET", "/public/v1/nowhere", 404),
            ("POST", "/public/v1/rules", 405),
            ("DELETE", "/", 405),
            ("GET", "/public/v1/chain/rpc", 405),
        ],
    )
    async def test_outside_any_route(self, city: City, method: str, path: str, status: int) -> None:
        answer = await city.http.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


class TestSchema:
    async def test_every_refusal_is_an_example(self, city: City) -> None:
        schema = (await city.http.get("/openapi.json")).json()
        for path, methods in schema["paths"].items():
            if path.startswith("/partner/"):
                continue
            for method, route in methods.items():
                for status, answer in route["responses"].items():
                    if int(status) < 400:
                        continue
                    content = answer["content"]
                    assert set(content) == {"application/problem+json"}, (method, path, status)
                    examples = content["application/problem+json"]["examples"]
                    assert examples, (method, path, status)
                    for example in examples.values():
                        assert example["value"]["status"] == int(status)

    async def test_no_route_says_validation_error_of_the_framework(self, city: City) -> None:
        schema = (await city.http.get("/openapi.json")).json()
        assert "HTTPValidationError" not in json.dumps(schema)


class TestRate:
    async def test_three_hundred_calls_a_minute(self, services: Services) -> None:
        async def take(caller: str, calls: int, second: int) -> bool:
            async with services.db.transaction() as tx:
                return await take_calls(tx, caller, calls, second)

        assert await take("a", CALLS_PER_MINUTE_MAX - 1, 1_000)
        assert await take("a", 1, 1_001)
        assert not await take("a", 1, 1_059)
        assert await take("b", 1, 1_059)
        assert not await take("a", 2, 1_060 - 1)
        assert await take("a", CALLS_PER_MINUTE_MAX - 1, 1_060)
        assert not await take("a", 1, 1_060)

    async def test_processes_count_together(self, services: Services) -> None:
        async def take() -> bool:
            async with services.db.transaction() as tx:
                return await take_calls(tx, "a", 100, 5_000)

        assert sorted(await asyncio.gather(*(take() for _ in range(6)))) == [False] * 3 + [True] * 3

    async def test_over_http(self, city: City) -> None:
        calls = [{"jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction"} for n in range(8)]
        statuses = [
            (await city.http.post("/public/v1/chain/rpc", json=calls)).status_code
            for _ in range(38)
        ]
        assert statuses == [200] * 37 + [429]
        answer = await city.http.post("/public/v1/chain/rpc", json=calls)
        assert name_of(answer.json()) == "too-many-calls"
        assert "retry-after" in answer.headers
