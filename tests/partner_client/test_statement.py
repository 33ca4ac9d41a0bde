"""A partner holds the platform's statement against its own events, over the real door."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from backend import partner_client as client
from backend import partners
from backend.cli import build
from backend.kit.services import Services
from backend.kit.sm import Sm2PrivateKey, sm3
from backend.partner_client import statement
from backend.proof import merkle
from tests.doors.partner_door import Door, open_door
from tests.evidence.builders import SECRET

KEY = Sm2PrivateKey(0x5EED)
DAY = "2026-11-22"
NEXT_DAY = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)


@pytest.fixture
async def door(db, vault, clock, settings) -> AsyncIterator[Door]:
    services = Services(db=db, clock=clock, settings=settings, vault=vault)
    async with open_door(services, scheme="v1sm") as opened:
        async with db.transaction() as tx:
            await partners.add_key(
                tx,
                vault,
                "metro",
                "st-1",
                scheme="v1s2",
                valid_from=clock.now() - timedelta(days=1),
                public_key=KEY.public_key.to_bytes(),
                purpose="statement",
            )
        yield opened


@pytest.fixture
async def reach(door: Door, monkeypatch: pytest.MonkeyPatch) -> httpx.BaseTransport:
    """A way from a blocking client, in a thread of its own, to the application in this loop."""
    loop = asyncio.get_running_loop()
    clock = door.services.clock
    monkeypatch.setattr("backend.partner_client.door.time.time", lambda: clock.now().timestamp())

    def carry(request: httpx.Request) -> httpx.Response:
        sent = door.client.request(
            request.method,
            str(request.url.copy_with(host="door", scheme="http")),
            content=request.content,
            headers=dict(request.headers),
        )
        got = asyncio.run_coroutine_threadsafe(sent, loop).result(20)
        return httpx.Response(got.status_code, content=got.content)

    return httpx.MockTransport(carry)


@pytest.fixture
def typed(
    reach: httpx.BaseTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`tanhui statement DAY …` as typed by the partner."""
    credentials = {"partner_id": "metro", "scheme": "v1sm", "secret": SECRET, "subjects": []}
    (tmp_path / "me.json").write_text(json.dumps(credentials), "utf-8")
    (tmp_path / "st.pem").write_bytes(KEY.to_pem())
    plain = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: plain(transport=reach, **given))

    async def run(*words: str | Path, code: int = 0) -> str:
        given = ["statement", DAY, "--partner", "metro", "--to", "http://platform"]
        given += ["--credentials", str(tmp_path / "me.json"), *map(str, words)]
        result: Result = await asyncio.to_thread(CliRunner().invoke, build("statement"), given)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output

    return run


async def a_day(door: Door, count: int = 5) -> list[dict]:
    events = [door.town.event(n) for n in range(count)]
    answer = await door.post(events, scheme="v1sm")
    assert answer.json()["accepted"] == count
    door.services.clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
    return events


def as_lines(path: Path, events: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(event, ensure_ascii=False) for event in events), "utf-8")
    return path


async def test_checked_then_signed(door: Door, typed, tmp_path: Path) -> None:
    events = await a_day(door)
    sent = as_lines(tmp_path / "sent.ndjson", [*events, door.town.event("never-sent")])
    said = await typed("--events", sent)
    assert "✓ 每一条都是我方发送的" in said
    assert "sent, but not counted that day:1(t-never-sent)" in said
    assert await door.count("cosignature") == 0
    said = await typed("--events", sent, "--cosign", "--key", tmp_path / "st.pem")
    assert "✓ 已签名:密钥 st-1" in said
    # Said again, with another signature: the first one stands.
    await typed("--events", sent, "--cosign", "--key", tmp_path / "st.pem")
    assert await door.count("cosignature") == 1


async def test_an_event_we_never_sent_is_not_signed(door: Door, typed, tmp_path: Path) -> None:
    """The platform could write events of its own into a day: the partner notices."""
    events = await a_day(door)
    sent = as_lines(tmp_path / "sent.ndjson", events[:-1])
    said = await typed("--events", sent, "--cosign", "--key", tmp_path / "st.pem", code=1)
    assert "counted, but never sent:1" in said
    changed = [*events[:-1], events[-1] | {"data": {"distance_m": 12_001}}]
    sent = as_lines(tmp_path / "changed.ndjson", changed)
    said = await typed("--events", sent, "--cosign", "--key", tmp_path / "st.pem", code=1)
    assert "counted, but never sent:1" in said
    assert await door.count("cosignature") == 0


async def test_control_without_our_own_record_the_foreign_event_is_signed(
    door: Door, typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing what the platform shows, without holding it against anything, notices nothing."""
    events = await a_day(door)
    sent = as_lines(tmp_path / "sent.ndjson", events[:-1])
    monkeypatch.setattr(statement.StatementCheck, "holds", True)
    await typed("--events", sent, "--cosign", "--key", tmp_path / "st.pem")
    assert await door.count("cosignature") == 1


async def test_exactly_the_days_events(door: Door, typed, tmp_path: Path) -> None:
    events = await a_day(door)
    own = client.own_digests("metro", [*events, door.town.event("left-out")])
    listed = tmp_path / "digests.txt"
    listed.write_text("\n".join(digest.hex() for digest in own), "ascii")
    await typed("--digests", listed)
    said = await typed("--digests", listed, "--exact", "--cosign", "--key", tmp_path / "st.pem",
                       code=1)  # fmt: skip
    assert "not counted that day:1" in said
    assert await door.count("cosignature") == 0
    (tmp_path / "all.json").write_text(json.dumps(events), "utf-8")
    await typed("--events", tmp_path / "all.json", "--exact")


async def test_what_the_platform_refuses_is_told(door: Door, typed, tmp_path: Path) -> None:
    events = [door.town.event(1)]
    await door.post(events, scheme="v1sm")
    sent = as_lines(tmp_path / "sent.ndjson", events)
    assert "409 Day not over" in await typed("--events", sent, code=1)
    door.services.clock.instant = NEXT_DAY  # pyright: ignore[reportAttributeAccessIssue]
    (tmp_path / "other.pem").write_bytes(Sm2PrivateKey(0xBAD).to_pem())
    said = await typed("--events", sent, "--cosign", "--key", tmp_path / "other.pem", code=1)
    assert "422 Bad cosignature" in said


async def test_what_is_missing_or_out_of_form(typed, tmp_path: Path) -> None:
    await typed(code=2)
    empty = as_lines(tmp_path / "empty.ndjson", [])
    await typed("--events", empty, "--cosign", code=2)
    for text in ("{", "[]\n", '{"x":1}', "1"):
        (tmp_path / "bad").write_text(text, "utf-8")
        code = 1 if text == "[]\n" else 2  # An empty list is a list; the day is not over.
        await typed("--events", tmp_path / "bad", code=code)
    (tmp_path / "bad").write_text("AB" * 32, "ascii")
    await typed("--digests", tmp_path / "bad", code=2)
    (tmp_path / "bad.pem").write_text("no key", "ascii")
    await typed("--events", empty, "--cosign", "--key", tmp_path / "bad.pem", code=2)


class Platform(client.PartnerDoor):
    """A platform that says whatever the test wants."""

    def __init__(self, digests: list[str], count: int, root: str) -> None:
        self.said = {"count": count, "root": root}
        self.digests = digests

    def statement(self, day: str) -> dict[str, Any]:
        return self.said

    def statement_digests(self, day: str):
        return iter(self.digests)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda d, c, r: (d[::-1], c, r), "unsorted"),
        (lambda d, c, r: ([d[0], *d], c, r), "unsorted"),
        (lambda d, c, r: (d, c + 1, r), "count"),
        (lambda d, c, r: (d, c, "00" * 32), "root"),
        (lambda d, c, r: (d[:-1], c, r), "root"),
    ],
)
def test_a_platform_that_contradicts_itself(spoil, fault: str) -> None:
    digests = sorted(sm3(b"%d" % n) for n in range(7))
    own = {digest: digest.hex() for digest in digests}
    listed = [digest.hex() for digest in digests]
    right = (listed, 7, statement.statement_root(digests).hex())
    assert client.check_statement(Platform(*right), "metro", DAY, own).holds
    check = client.check_statement(Platform(*spoil(*right)), "metro", DAY, own)
    assert not check.holds
    assert any(fault in each for each in check.faults)
    with pytest.raises(ValueError, match="not signed"):
        client.cosign_statement(Platform(*right), check, KEY)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 8, 13, 1_025, 2_050])
def test_our_root_is_the_platforms(count: int) -> None:
    """Two implementations of the tree, written apart."""
    digests = sorted(sm3(b"%d" % n) for n in range(count))
    hashes = [merkle.leaf_hash(digest) for digest in digests]
    assert statement.statement_root(digests) == merkle.append(0, {}, hashes).root


def test_hmac_sm3_signs_as_the_door_expects() -> None:
    keys = client.Credentials("metro", "v1sm", SECRET, None, ())
    assert keys.signature("m", 1, b"{}").startswith("v1sm,")
    with pytest.raises(ValueError, match="no key"):
        client.Credentials("metro", "v1sm", None, None, ()).signature("m", 1, b"{}")
