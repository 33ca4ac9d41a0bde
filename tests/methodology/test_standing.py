"""Where versions stand: draft, notice, approved, provisional, retired."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from backend import methodology
from backend.cli import build
from backend.kit import canonical
from backend.kit.db import Database, Tx
from backend.kit.needs import DocumentError

METRO = "transit.metro.trip"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
TODAY = date(2026, 11, 22)
WEEK = timedelta(days=7)


async def a_version(tx: Tx, version: int = 1, *, enacted: bool = False, **changes: Any) -> None:
    document = json.loads(methodology.shipped_methods()[METRO, 1])
    document |= {"version": version} | changes
    await methodology.publish(tx, canonical.dumps(document), NOW)
    if enacted:
        await methodology.enact(tx, METRO, version, NOW)


async def statuses(tx: Tx, at: datetime = NOW, today: date = TODAY) -> dict[int, str]:
    return {each.version: each.status for each in await methodology.standings(tx, at, today)}


async def test_versions_stand_side_by_side(tx: Tx) -> None:
    await a_version(tx, 1, enacted=True, day_to="2026-11-22")
    await a_version(tx, 2, enacted=True)
    await a_version(tx, 3, enacted=True, status="provisional")
    await a_version(tx, 4)
    await a_version(tx, 5)
    await methodology.give_notice(tx, METRO, 5, NOW, NOW + WEEK, NOW)
    assert await statuses(tx) == {
        1: "retired",
        2: "approved",
        3: "provisional",
        4: "draft",
        5: "notice",
    }
    assert (await statuses(tx, today=TODAY - timedelta(days=1)))[1] == "approved"


@pytest.mark.parametrize(
    ("at", "status", "open_"),
    [
        (NOW - timedelta(seconds=1), "draft", True),
        (NOW, "notice", True),
        (NOW + WEEK - timedelta(seconds=1), "notice", True),
        (NOW + WEEK, "draft", False),
    ],
)
async def test_a_notice_runs_from_its_opening_to_its_close(
    tx: Tx, at: datetime, status: str, open_: bool
) -> None:
    await a_version(tx)
    await methodology.give_notice(tx, METRO, 1, NOW, NOW + WEEK, NOW)
    assert await statuses(tx, at) == {1: status}
    if open_:
        with pytest.raises(DocumentError, match="notice-open"):
            await methodology.check_notice(tx, METRO, 1, at)
    else:
        await methodology.check_notice(tx, METRO, 1, at)


async def test_without_a_notice_nothing_is_awaited(tx: Tx) -> None:
    await a_version(tx)
    await methodology.check_notice(tx, METRO, 1, NOW)


async def test_a_notice_is_given_once(tx: Tx) -> None:
    await a_version(tx)
    await methodology.give_notice(tx, METRO, 1, NOW, NOW + WEEK, NOW)
    await methodology.give_notice(tx, METRO, 1, NOW, NOW + WEEK, NOW)
    with pytest.raises(DocumentError, match="notice-exists"):
        await methodology.give_notice(tx, METRO, 1, NOW, NOW + 2 * WEEK, NOW)
    with pytest.raises(DocumentError, match="bad-window"):
        await methodology.give_notice(tx, METRO, 1, NOW, NOW, NOW)
    with pytest.raises(DocumentError, match="unknown-method"):
        await methodology.give_notice(tx, METRO, 2, NOW, NOW + WEEK, NOW)


async def test_what_is_in_force_needs_no_notice(tx: Tx) -> None:
    await a_version(tx, enacted=True)
    with pytest.raises(DocumentError, match="already-enacted"):
        await methodology.give_notice(tx, METRO, 1, NOW, NOW + WEEK, NOW)


async def test_a_notice_cannot_be_changed(db: Database) -> None:
    """Negative control: the database itself keeps the record, whatever the code does."""
    async with db.transaction() as tx:
        await a_version(tx)
        await methodology.give_notice(tx, METRO, 1, NOW, NOW + WEEK, NOW)
    for sql in ("UPDATE method_notice SET closes_at = now()", "DELETE FROM method_notice"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction() as tx:
                await tx.execute(sql)


def methods(*words: str) -> Any:
    return CliRunner().invoke(build("methods"), ["methods", *words])


async def test_a_province_is_drafted_and_put_on_notice(
    db: Database, url_of: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", url_of("app"))
    monkeypatch.setenv("TANHUI_PROFILE", "test")
    monkeypatch.setenv("TANHUI_VAR", str(settings.var))
    shipped = await asyncio.to_thread(methods, "shipped", "energy.home.month.gd", "1")
    file = tmp_path / "gd.json"
    file.write_text(shipped.stdout)
    drafted = await asyncio.to_thread(methods, "draft", str(file))
    assert drafted.exit_code == 0, drafted.output
    dates = ("--from", "2026-01-01", "--to", "2099-01-01")
    for _ in range(2):
        given = await asyncio.to_thread(methods, "notice", "energy.home.month.gd", "1", *dates)
        assert given.exit_code == 0, given.output
    told = await asyncio.to_thread(methods, "standing")
    assert "energy.home.month.gd\t1\tnotice\t2024-12-27.." in told.stdout
    unknown = await asyncio.to_thread(methods, "notice", "energy.home.month.gd", "9", *dates)
    assert unknown.exit_code == 1
    assert "unknown-method" in unknown.output


def test_what_comes_with_the_product_is_listed() -> None:
    listed = methods("shipped").stdout.splitlines()
    assert "parking.shared.stay\t1" in listed
    assert "energy.home.month.cn-fossil\t2" in listed
    assert methods("shipped", "no.such.method").exit_code == 2
