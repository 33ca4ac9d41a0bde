"""Goal: real smart-card taps go through the whole product and every row is accounted for.

Method: `tanhui send` over HTTP into the running demo, then the sums against a count made straight
from the files, and the books against themselves.
"""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.journeys.installation import ROOT, Demo
from tests.partner_client.straight_count import straight_count

pytestmark = [pytest.mark.journey, pytest.mark.realdata]

MAPPING = ROOT / "docs" / "mappings" / "shenzhen-metro-taps.yaml"
DAY = datetime(2018, 9, 1, tzinfo=UTC)


def sent(installation: Demo, taps: Path, told: Path, out: Path) -> dict:
    """Send the file, moved so that its day lies a fortnight back, and return the report."""
    shift_days = (datetime.now(UTC) - DAY).days - 14
    done = installation.run(
        f".venv/bin/tanhui send {taps} --mapping {MAPPING} --partner metro-archive "
        f"--to http://127.0.0.1:8700/ --credentials {told} --shift-days {shift_days} "
        f"--journal-dir {out.parent / out.stem} --json {out}"
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(out.read_text("utf-8"))


def test_every_tap_is_accounted_for_and_the_books_agree(
    demo: tuple[Demo, dict], real_data: Path, tmp_path: Path
) -> None:
    installation, _ = demo
    taps = real_data / "transit" / "szt_taps_2018-09-01.csv"
    expected = straight_count(taps, real_data / "transit" / "szmc.net-metro.json")

    report = sent(installation, taps, installation.told_file, tmp_path / "first.json")
    # Hundreds of cards stand for twenty citizens, who cannot ride two trains at once.
    at_once = report["refused"].get("double-claim", 0)
    seen = Counter(
        {
            "trip": report["accepted"] + at_once,
            "same-station": report["refused"]["distance-not-positive"],
            **report["left_out"],
            **report["unpaired"],
        }
    )
    assert report["adds_up"]
    assert (report["undecided"], report["rejected"]) == (0, {})
    assert report["refused"].keys() <= {"distance-not-positive", "double-claim"}
    assert seen == expected

    # Without its journal the sender does not know what it sent; the door does.
    again = sent(installation, taps, installation.told_file, tmp_path / "second.json")
    assert again["accepted"] == report["accepted"]
    for command in ("reconcile", "recompute"):
        done = installation.run(f".venv/bin/tanhui {command}")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
