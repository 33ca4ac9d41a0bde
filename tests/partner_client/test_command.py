"""Goal: `tanhui send` survives a SIGKILL without doubling, foretells rejections, stays small.

Method: the command itself as a process, against a platform over real HTTP.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from backend.partner_client import (
    Journal,
    PartnerDoor,
    prepare,
    read_credentials,
    read_mapping,
    send_file,
    sending,
)
from tests.partner_client.platform_double import Platform, serving

pytestmark = pytest.mark.sockets

ROOT = Path(__file__).parents[2]
MAPPING = """
format: tanhui-mapping-v1
scenario: transit.bus.trip
source: /buses
time_zone: Asia/Shanghai
columns:
  card: {column: card}
  at: {column: at, time: iso}
  trips: {column: trips}
event:
  id: [card, at]
  time: at
  subject: {assign_by: card, seed: 1}
  data: {trips: {column: trips}}
"""


def files(folder: Path, rows: int, *more: str, scenario: str = "transit.bus.trip") -> None:
    (folder / "map.yaml").write_text(MAPPING)
    with (folder / "rides.csv").open("w") as file:
        file.write("card,at,trips\n")
        for number in range(rows):
            hour, minute, second = number // 3600 % 24, number // 60 % 60, number % 60
            file.write(f"C{number},2024-03-01T{hour:02d}:{minute:02d}:{second:02d},1\n")
        file.writelines(line + "\n" for line in more)
    subjects = [
        {"token": f"t{n}", "scenario": scenario, "consent_from": "2024-03-01T00:00:00+08:00"}
        for n in range(3)
    ]
    (folder / "keys.json").write_text(
        json.dumps(
            {
                "partner_id": "bus",
                "scheme": "v1",
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "subjects": subjects,
            }
        )
    )


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = "from backend.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "send", "rides.csv", "--mapping", "map.yaml",
         "--partner", "bus", "--credentials", "keys.json", "--json", "report.json", *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(folder: Path, *options: str) -> dict:
    process = start(folder, *options)
    said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("when", ["before the answer", "after the answer"])
def test_a_sigkill_in_the_midst_doubles_nothing(tmp_path: Path, when: str) -> None:
    files(tmp_path, 5_500)
    with serving(Platform()) as platform:
        # The platform has recorded the third batch but has not answered, or is about to get the
        # fourth: both are moments at which the sender cannot know.
        platform.answer_after_s = 0.4
        process = start(tmp_path, "--to", platform.url)
        while platform.posts < 3:
            assert process.poll() is None
            time.sleep(0.01)
        if when == "after the answer":
            time.sleep(0.38)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 3 <= len(platform.answers) < 6
        platform.answer_after_s = 0
        posts = platform.posts
        report = run(tmp_path, "--to", platform.url)
        assert report["accepted"] == 5_500
        assert report["adds_up"]
        assert set(platform.recorded.values()) == {1}
        assert len(platform.recorded) == 5_500
        # What was answered before the kill was not sent again.
        assert platform.posts - posts <= 6 - 2
        assert run(tmp_path, "--to", platform.url) == report
        assert platform.posts - posts <= 6 - 2


def test_the_check_of_doubling_notices_ids_that_do_not_follow_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: with ids drawn anew, a lost answer records its batch twice."""
    files(tmp_path, 1_500)
    mapping = read_mapping(tmp_path / "map.yaml")
    keys = read_credentials(tmp_path / "keys.json", "bus")
    prepared = prepare(tmp_path / "rides.csv", mapping, tmp_path, [s.token for s in keys.subjects])

    def send_and_lose_the_journal(platform: Platform) -> int:
        for run_number in range(2):
            with httpx.Client() as http:
                door = PartnerDoor(platform.url, keys, http)
                send_file(prepared, door, Journal(tmp_path / str(run_number)), lambda *_: None)
            (tmp_path / str(run_number)).unlink()
        return max(platform.recorded.values())

    with serving(Platform()) as platform:
        assert send_and_lose_the_journal(platform) == 1
    drawn = iter(range(1_000))
    monkeypatch.setattr(sending, "_message_id", lambda _: f"send-{next(drawn)}")
    monkeypatch.setattr(sending, "_account", lambda *_: None)
    monkeypatch.setattr(sending.Journal, "answer", lambda *_: {"upload_id": "send-0"})
    with serving(Platform()) as platform:
        assert send_and_lose_the_journal(platform) == 2


def test_another_file_does_not_continue_this_ones_journal(tmp_path: Path) -> None:
    files(tmp_path, 10)
    with serving(Platform()) as platform:
        run(tmp_path, "--to", platform.url)
        files(tmp_path, 11)
        assert run(tmp_path, "--to", platform.url)["accepted"] == 11
        assert platform.posts == 2


def test_a_dry_run_foretells_what_the_door_rejects(tmp_path: Path) -> None:
    files(
        tmp_path, 2,
        "A,2024-02-28T08:00:00,1", "B,2099-01-01T08:00:00,1", "C,2124-01-01T08:00:00,1",
        "D,2024-03-01T08:00:00,0", "E,soon,1", "F,2024-03-01T08:00:00,x",
    )  # fmt: skip
    with serving(Platform()) as platform:
        report = run(tmp_path, "--to", platform.url, "--dry-run")
        assert platform.posts == 0
    assert report["rejected"] == {
        "no-consent": 1, "time-in-future": 1, "bad-time": 1, "out-of-range": 1,
    }  # fmt: skip
    assert report["left_out"] == {"at-unreadable": 1, "trips-not-a-number": 1}
    assert (report["undecided"], report["adds_up"]) == (2, True)


def test_a_dry_run_without_a_platform_says_what_it_did_not_check(tmp_path: Path) -> None:
    files(tmp_path, 2, "D,2024-03-01T08:00:00,0")
    report = run(tmp_path, "--dry-run")
    assert (report["undecided"], report["rejected"]) == (3, {})
    assert "not checked against the scenario's schema: no --to" in report["notes"][-1]
    unreachable = run(tmp_path, "--dry-run", "--to", "http://127.0.0.1:9")
    assert "not checked" in unreachable["notes"][-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mapping", "none.yaml"], "does not exist"),
        (["--partner", "metro", "--dry-run"], "no credentials of partner 'metro'"),
        ([], "--to are needed"),
        (["--shift-days", "1", "--shift-months", "1", "--dry-run"], "not by both"),
    ],
)
def test_what_is_lacking_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    files(tmp_path, 1)
    process = start(tmp_path, *options)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in " ".join(error.split())


def peak_kib(folder: Path, rows: int) -> int:
    """The most memory a dry run over so many rows held at once."""
    folder.mkdir()
    files(folder, rows)
    process = start(folder, "--dry-run")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.communicate()
    assert process.returncode == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["undecided"] + report["left_out"].get("same-event-again", 0) == rows
    return usage.ru_maxrss


def test_rows_do_not_live_in_memory(tmp_path: Path) -> None:
    # Held as events, 40,000 more rows would take some 40 MB.
    assert peak_kib(tmp_path / "b", 40_100) - peak_kib(tmp_path / "a", 100) < 20 * 1024


@pytest.mark.soak
def test_a_million_rows_take_little_more_memory_than_a_few(tmp_path: Path) -> None:
    assert peak_kib(tmp_path / "b", 1_000_000) - peak_kib(tmp_path / "a", 100) < 150 * 1024
