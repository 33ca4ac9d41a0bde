"""Goal: every published file goes through the whole product and every row is accounted for.

Method: `tanhui send` over HTTP into the running demo, then the report against a count made
straight from the file, and the books against themselves.
"""

import asyncio
import hashlib
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest

from backend.kit.pg import attach
from tests.journeys.installation import ROOT, Demo
from tests.partner_client import straight_count as straight

pytestmark = [pytest.mark.journey, pytest.mark.realdata]

RIDES_LAST_DAY = date(2017, 12, 31)
BOARDINGS_DAY = date(2018, 9, 1)
SESSIONS_LAST_DAY = date(2015, 10, 4)
RUNS_LAST_DAY = date(2014, 6, 2)


def days_to(last_day: date, days_back: int) -> str:
    """The shift after which a file's last day lies so many days back.

    Files of the same twenty citizens keep out of each other's days: nobody can be on a bus and on
    a bike at once, and the platform would say so.
    """
    return f"--shift-days {(datetime.now(UTC).date() - last_day).days - days_back}"


def sent(demo: Demo, file: Path, mapping: str, partner: str, shift: str, out: Path) -> dict:
    """Send a file by a shipped mapping and return the report, which must add up."""
    done = demo.run(
        f".venv/bin/tanhui send {file} --mapping {ROOT}/docs/mappings/{mapping}.yaml "
        f"--partner {partner} --to http://127.0.0.1:8700/ --credentials {demo.told_file} {shift} "
        f"--journal-dir {out}-journal --json {out}"
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report = json.loads(out.read_text("utf-8"))
    assert report["adds_up"]
    if "--dry-run" not in shift:
        assert (report["undecided"], report["rejected"], report["unpaired"]) == (0, {}, {})
    return report


def rows_by_fate(report: dict, good: str) -> Counter[str]:
    """Rows by reason; those that are right, be they claimed twice, under the name `good`."""
    counts = Counter({**report["left_out"], **report["refused"]})
    counts[good] += report["accepted"] + report["duplicate"] + counts.pop("double-claim", 0)
    return counts


def double_claims(demo: Demo, source: str, lasted: dict[str, int]) -> tuple[set[str], set[str]]:
    """(the events of a source claimed twice by a count of our own, those refused or reversed so).

    Persons and digests come from the store, for they differ in every city; what was refused for
    another reason claims nothing.
    """
    with attach(demo.var, database_url="") as server:
        rows = asyncio.run(_decided(server.url("app"), source))
    rides = [
        straight.Ride(
            row["event_id"],
            row["citizen_id"],
            row["occurred_at"],
            lasted.get(row["event_id"], 0),
            row["event_digest"],
        )
        for row in rows
        if row["reason"] in {None, "double-claim"}
    ]
    refused = {row["event_id"] for row in rows if row["reason"] == "double-claim"}
    return straight.twice_claimed(rides), refused


async def _decided(url: str, source: str) -> list:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(
            """SELECT event_id, citizen_id, occurred_at, event_digest,
                      coalesce(s.reason, d.reason) AS reason
               FROM evidence JOIN decision AS d USING (evidence_id)
               LEFT JOIN supersession AS s USING (evidence_id) WHERE source = $1""",
            source,
        )
    finally:
        await connection.close()


def test_boardings(demo: tuple[Demo, dict], real_data: Path, tmp_path: Path) -> None:
    taps = real_data / "transit" / "szt_taps_2018-09-01.csv"
    shift = days_to(BOARDINGS_DAY, 21)
    report = sent(demo[0], taps, "shenzhen-bus-boardings", "bus-archive", shift, tmp_path / "r")
    assert rows_by_fate(report, "trip") == straight.boardings_count(taps)
    claimed, refused = double_claims(demo[0], "/shenzhen-tong/boardings", {})
    assert claimed == refused
    # Those awarded before a stronger report came were reversed afterwards.
    assert len(refused) >= report["refused"]["double-claim"]


def test_rides(demo: tuple[Demo, dict], real_data: Path, tmp_path: Path) -> None:
    rides = real_data / "bike" / "healthy-ride-rentals-2017-q4.csv"
    shift = days_to(RIDES_LAST_DAY, 60)
    report = sent(demo[0], rides, "pittsburgh-bike-rides", "bike-archive", shift, tmp_path / "r")
    expected = straight.rides_count(rides, rides.with_name("healthyridestations2017.csv"))
    assert rows_by_fate(report, "ride") == expected
    lasted = {
        hashlib.sha256(row["Trip id"].encode()).hexdigest()[:32]: int(row["Tripduration"])
        for row in straight.rows_of(rides)
    }
    claimed, refused = double_claims(demo[0], "/healthy-ride/rentals", lasted)
    assert claimed == refused
    # Those awarded before a stronger report came were reversed afterwards.
    assert len(refused) >= report["refused"]["double-claim"]


def test_charging_sessions(demo: tuple[Demo, dict], real_data: Path, tmp_path: Path) -> None:
    sessions = real_data / "ev" / "workplace_charging_sessions.csv"
    shift = days_to(SESSIONS_LAST_DAY, 1)
    report = sent(demo[0], sessions, "workplace-charging", "ev-archive", shift, tmp_path / "r")
    assert rows_by_fate(report, "session") == straight.charges_count(sessions)


def test_home_months_from_days_and_again_from_half_hours(
    demo: tuple[Demo, dict], real_data: Path, tmp_path: Path
) -> None:
    days = real_data / "energy" / "sgsc_daily_6homes_2012_2014.csv"
    half_hours = real_data / "energy" / "sgsc_halfhour_2homes_2013-01_2014-02.csv"
    shift = "--shift-months 144"
    report = sent(demo[0], days, "home-energy-days", "energy-archive", shift, tmp_path / "d")
    months = straight.home_months(days)
    expected = straight.months_count(months)
    expected["incomplete-day"] = sum(row["n_halfhours"] != "48" for row in straight.rows_of(days))
    assert rows_by_fate(report, "month") == expected
    # The two homes' half hours add up to the same months: every one was known.
    again = sent(
        demo[0], half_hours, "home-energy-half-hours", "energy-archive", shift, tmp_path / "h"
    )
    read = straight.half_hour_months(half_hours)
    assert read.items() <= months.items()
    assert again["duplicate"] == 48 * sum(days for days, _ in read.values())
    assert again["duplicate"] + again["left_out"]["incomplete-day"] == again["rows"] == 40_272


def test_bus_runs(demo: tuple[Demo, dict], real_data: Path, tmp_path: Path) -> None:
    stop_times = real_data / "transit" / "gtfs_cairns_2014" / "stop_times.txt"
    shift = days_to(RUNS_LAST_DAY, 40)
    report = sent(demo[0], stop_times, "cairns-bus-runs", "bus-archive", shift, tmp_path / "r")
    expected = straight.runs_count(stop_times.parent)
    assert rows_by_fate(report, "run") == Counter({"run": expected.total()})


def test_a_dry_run_foretells_what_a_file_meets(
    demo: tuple[Demo, dict], real_data: Path, tmp_path: Path
) -> None:
    sessions = real_data / "ev" / "workplace_charging_sessions.csv"
    report = sent(
        demo[0], sessions, "workplace-charging", "ev-archive", "--dry-run", tmp_path / "r"
    )
    # Not moved, the sessions lie years before anyone's consent.
    assert (report["rejected"], report["notes"]) == ({"no-consent": 2_347}, [])


def test_the_books_agree_after_all_files(demo: tuple[Demo, dict]) -> None:
    for command in ("reconcile", "recompute"):
        done = demo[0].run(f".venv/bin/tanhui {command}")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
