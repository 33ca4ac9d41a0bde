"""The application as a process starts it: what production refuses, what a start publishes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from backend.app import create_app
from backend.kit.problems import Problem
from backend.kit.settings import Settings
from backend.officials import KeyFile, write_key_file
from backend.production import NotForProduction, check_profile
from tests.doors.door_world import open_city


def production(tmp_path: Path, **changes: object) -> Settings:
    values = {
        "profile": "production",
        "var": tmp_path / "var",
        "issuer_id": "shenzhen",
        "chain_profile": "besu",
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


class TestProduction:
    def test_a_sound_installation_starts(self, tmp_path: Path) -> None:
        check_profile(production(tmp_path))

    def test_a_demo_key_beside_it_is_refused(self, tmp_path: Path) -> None:
        settings = production(tmp_path)
        path = settings.keys_dir / "officials" / "wang.json"
        write_key_file(path, KeyFile("wang", "0x" + "1a" * 20, "demo", {}))
        with pytest.raises(Problem) as refused:
            check_profile(settings)
        assert refused.value.name == "demo-key"
        check_profile(settings.model_copy(update={"profile": "demo"}))

    def test_a_single_node_must_be_meant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TANHUI_ACCEPT_SINGLE_NODE", raising=False)
        settings = production(tmp_path, chain_profile="embedded")
        with pytest.raises(NotForProduction):
            check_profile(settings)
        monkeypatch.setenv("TANHUI_ACCEPT_SINGLE_NODE", "1")
        check_profile(settings)

    def test_the_demo_issuer_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(NotForProduction):
            check_profile(production(tmp_path, issuer_id="tanhui.demo"))

    def test_upgrades_are_announced_a_day_ahead_at_least(self, tmp_path: Path) -> None:
        with pytest.raises(NotForProduction, match="object in time"):
            check_profile(production(tmp_path, upgrade_delay_s=3_600))
        assert production(tmp_path).timelock_delay_s == 172_800

    async def test_nobody_signs_in_by_sandbox(self, services) -> None:
        settings = services.settings.model_copy(update={"profile": "production"})
        production = replace(services, settings=settings)
        async with open_city(production, enacted=False) as city:
            answer = await city.http.post(
                "/miniapp/v1/login", json={"provider": "sandbox", "code": "lin-1"}
            )
        assert answer.status_code == 501


async def test_a_start_opens_and_closes_what_it_needs(server, own_database, tmp_path) -> None:
    settings = Settings(
        profile="test",
        var=tmp_path / "var",
        database_url=server.url("app", own_database),
        rpc_url="http://127.0.0.1:9",
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://city") as http:
            assert (await http.get("/health")).status_code == 200
            assert (await http.get("/public/v1/rules")).json()["items"] == []
    await asyncio.sleep(0)
