"""Outcomes of a file of taps, counted straight from it without the product's code."""

import csv
import json
from collections import Counter
from pathlib import Path


def straight_count(taps: Path, stations: Path) -> Counter[str]:
    """Outcomes counted straight from the files, by card, without the product's code."""
    known = {s["n"] for line in json.loads(stations.read_text("utf-8"))["l"] for s in line["st"]}
    with taps.open(encoding="utf-8", newline="") as file:
        raw = [tuple(row.values()) for row in csv.DictReader(file)]
    rows = list(dict.fromkeys(raw))
    counts: Counter[str] = Counter({"duplicate-row": len(raw) - len(rows)})
    by_card: dict[str, list[tuple[str, str, str]]] = {}
    for row in rows:
        if row[2] == "巴士":
            counts["not-a-metro-tap"] += 1
        else:
            by_card.setdefault(row[0], []).append((row[1], row[2], row[7].removesuffix("站")))
    for taps_of_card in by_card.values():
        taps_of_card.sort(key=lambda tap: tap[0])
        kinds = [kind for _, kind, _ in taps_of_card]
        paired: set[int] = set()
        for number in range(1, len(kinds)):
            if (kinds[number - 1], kinds[number]) == ("地铁入站", "地铁出站"):
                paired |= {number - 1, number}
                names = (taps_of_card[number - 1][2], taps_of_card[number][2])
                counts[_trip_outcome(names, known)] += 2
        for number, kind in enumerate(kinds):
            if number not in paired:
                entry = kind == "地铁入站"
                counts["entry-without-exit" if entry else "exit-without-entry"] += 1
    return counts


def _trip_outcome(names: tuple[str, str], known: set[str]) -> str:
    for name in names:
        if not name:
            return "station-empty"
        if name not in known:
            return "station-damaged" if "?" in name else "station-unknown"
    return "same-station" if names[0] == names[1] else "trip"
