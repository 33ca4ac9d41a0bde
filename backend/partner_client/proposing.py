"""The mapping assistant: a header and sample rows → a proposed mapping, each line explained.

Nothing is learned and nothing is sent: fixed rules over `recognising.recognise`. A proposal is a
beginning for a person who knows the file; what is doubtful says so.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from backend.partner_client.mapping import FileKind
from backend.partner_client.recognising import (
    BOARDINGS,
    ENTRIES,
    EXITS,
    WIDE_COLUMNS_MIN,
    WIDE_NAMES,
    Guess,
    Role,
    recognise,
)
from backend.partner_client.tables import Table, first_records, open_table

SAMPLE_ROWS = 2_000
SAMPLE_REACH = 100_000
SAMPLE_STEP = 50
"""The first rows are sampled densely, then every fiftieth: a month's first days look alike."""


def propose(path: Path) -> str:
    """A mapping for a file as YAML, with a comment on each line in Chinese and English.

    Where no scenario fits, the text holds comments only: what each column seems to be and what
    is lacking. Raises MappingError where the file cannot be read at all.
    """
    table, header_row = _opened(path)
    rows = [
        row
        for number, row in enumerate(islice(table.rows(), SAMPLE_REACH))
        if row is not None and (number < SAMPLE_ROWS or number % SAMPLE_STEP == 0)
    ]
    wide = _wide(table.header)
    names = [name for name in table.header if name and not (wide and re.fullmatch(wide[0], name))]
    guesses = [recognise(name, [row.get(name, "") for row in rows]) for name in names]
    draft = _Draft(path, table, header_row, guesses, wide)
    for shape in (_taps, _rides, _charging, _home_energy, _timetable, _boardings):
        if shape(draft):
            return draft.text()
    return draft.unfit()


def _opened(path: Path) -> tuple[Table, int]:
    """The table under the first row that is as wide as the widest of the first rows."""
    table = open_table(path, FileKind())
    if table.kind.kind == "ndjson":
        return table, 1
    records = first_records(path, table.kind)
    widths = [len({cell for cell in record if cell.strip()}) for record in records]
    header_row = widths.index(max(widths)) + 1
    # A data row may hold more different texts than its header; take the header when close.
    if widths[0] >= max(widths) * 0.6:
        header_row = 1
    if header_row == 1:
        return table, 1
    return open_table(path, FileKind(header_row=header_row)), header_row


def _wide(header: Sequence[str]) -> tuple[str, str] | None:
    for pattern, spelled in WIDE_NAMES:
        if sum(bool(re.fullmatch(pattern, name)) for name in header) >= WIDE_COLUMNS_MIN:
            return pattern, spelled
    return None


@dataclass(slots=True)
class _Draft:
    """A mapping being written: what was recognised, and the lines so far."""

    path: Path
    table: Table
    header_row: int
    guesses: list[Guess]
    wide: tuple[str, str] | None
    scenario: str = ""
    why: str = ""
    columns: list[str] = field(default_factory=list[str])
    body: list[str] = field(default_factory=list[str])
    subject: str = ""
    data: list[str] = field(default_factory=list[str])
    event: list[str] = field(default_factory=list[str])
    missing: set[str] = field(default_factory=set[str])
    thousands: bool = False

    def first(self, *roles: Role) -> Guess | None:
        """The first column with one of the roles, the roles in order of preference."""
        return next((g for role in roles for g in self.guesses if g.role == role), None)

    def column(self, ours: str, guess: Guess, extra: str = "") -> None:
        """Declare a column under our name, with the reason for it."""
        parts = [f"column: {_quoted(guess.name)}"]
        if guess.formats:
            parts.append(f'time: "{guess.formats[0]}"')
        if guess.years_below_100:
            parts.append("year_offset: 2000")
        parts += [extra] if extra else []
        shown = ", ".join(guess.samples)
        self.columns += [
            f"  # {guess.confidence}: {guess.why} — {shown}",
            f"  {ours}: {{{', '.join(parts)}}}",
        ]
        self.missing |= set(guess.missing)
        self.thousands |= guess.thousands

    def text(self) -> str:
        """The whole mapping."""
        name = re.sub(r"[^a-z0-9]+", "-", self.path.stem.lower()).strip("-") or "file"
        seed = int(hashlib.sha256(self.path.name.encode()).hexdigest()[:4], 16)
        return "\n".join(
            [
                *self._head(),
                f"# 场景 scenario: {self.why}",
                "format: tanhui-mapping-v1",
                f"scenario: {self.scenario}",
                "# 来源名,由您自定,以后不要改 a name of your choice; keep it for good",
                f"source: /{name}",
                "# 低 low: 文件未写时区,请核对 the file names no time zone; check it",
                "time_zone: Asia/Shanghai",
                *self._file(),
                "columns:",
                *self.columns,
                *self.body,
                "event:",
                "  # 标识:同一文件再发不会重复 identity: the same file again adds nothing",
                self.event[0],
                "  # 活动结束的时刻 the instant at which the activity ended",
                self.event[1],
                "  # 历史数据按种子分配;如有绑定令牌列,改为 {column: …}",
                "  # old files: assigned by seed; where a column holds binding tokens: {column: …}",
                f"  subject: {{assign_by: {self.subject}, seed: {seed}}}",
                "  data:",
                *self.data,
                "",
            ]
        )

    def _head(self) -> list[str]:
        how = self.table.kind
        spelled = f"{how.kind}, {how.sheet if how.kind == 'xlsx' else how.encoding}"
        return [
            "# 由 tanhui send --propose 提出,发送前请逐行核对,并先用 --dry-run 试运行",
            "# Proposed by tanhui send --propose: check each line, then try it with --dry-run",
            f"# 文件 file: {self.path.name} ({spelled})",
            *(f"# {note}" for note in self.table.notes),
        ]

    def _file(self) -> list[str]:
        how = self.table.kind
        parts = [f"kind: {how.kind}"]
        if how.kind == "xlsx":
            parts.append(f"sheet: {_quoted(how.sheet or '')}")
        else:
            parts.append(f"encoding: {how.encoding}")
        if how.kind == "csv" and how.delimiter != ",":
            parts.append(f"delimiter: {_quoted(how.delimiter)}")
        if self.header_row > 1:
            parts.append(f"header_row: {self.header_row}")
        if self.missing:
            parts.append(f"missing: [{', '.join(map(_quoted, sorted(self.missing)))}]")
        if self.thousands:
            parts.append('thousands: ","')
        return [f"file: {{{', '.join(parts)}}}"]

    def unfit(self) -> str:
        """What was recognised, where it makes no scenario."""
        lines = [
            *self._head(),
            "# 没有合适的场景:需要一次活动的时间和数量(行程的站点或里程、充电电量、户号与用电量)",
            "# No scenario fits: an activity needs its time and its quantity (stations or distance",
            "# of a trip, energy of a charge, a meter and its consumption). The columns seem:",
        ]
        for guess in self.guesses:
            shown = ", ".join(guess.samples)
            lines.append(
                f"#   {guess.name}: {guess.role}, {guess.confidence}, {guess.why} — {shown}"
            )
        return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return escaped if re.fullmatch(r"[A-Za-z\u4e00-\u9fff][\w ]*", text) else f'"{escaped}"'


def _taps(draft: _Draft) -> bool:
    """Entries and exits of one card become trips."""
    kind, at = draft.first("kind"), draft.first("time", "start", "end")
    person, station = draft.first("person", "id"), draft.first("station", "from", "to")
    if not (kind and at and person and station):
        return False
    first = next((v for v in kind.values if v.lower().endswith(ENTRIES)), None)
    then = next((v for v in kind.values if v.lower().endswith(EXITS)), None)
    if first is None or then is None:
        return False
    draft.scenario = "transit.metro.trip"
    draft.why = f"高 high: {kind.name} 有进有出 holds entries and exits"
    suffix = "strip_suffix: 站" if station.ends_in_station else ""
    draft.column("card", person)
    draft.column("at", at)
    draft.column("kind", kind)
    draft.column("station", station, suffix)
    kinds = f"{_quoted(first)}, {_quoted(then)}"
    draft.body = [
        "# 其余种类的行不发送 rows of another kind are left out",
        f"keep: {{column: kind, values: [{kinds}], otherwise: other-kind}}",
        "# 一张卡的进站与其后的出站合成一次 an entry and the next exit of a card make a trip",
        "pair:",
        f"  {{by: card, kind: kind, first: {_quoted(first)}, then: {_quoted(then)}, order: at,",
        "   only_first: entry-without-exit, only_then: exit-without-entry}",
        *_places_lines(),
    ]
    draft.event = ["  id: [card, first.at, then.at]", "  time: then.at"]
    draft.subject = "card"
    draft.data = [
        "    # 两站直线距离,是里程的下限 the straight line, a lower bound of the way",
        "    distance_m: {distance_between: [first.station, then.station]}",
    ]
    return True


def _places_lines() -> list[str]:
    return [
        "# 低 low: 请改为您的站点坐标文件 put your file of station coordinates here",
        "places: {file: stations.csv, name: name, lon: lon, lat: lat}",
    ]


def _rides(draft: _Draft) -> bool:
    """A row with two stations, or with a distance, and a time is a ride."""
    start, end = draft.first("start"), draft.first("end", "time")
    here, there = draft.first("from"), draft.first("to")
    way = draft.first("m", "km")
    if not end or not ((here and there) or way) or draft.first("kwh", "wh"):
        return False
    words = " ".join([draft.path.name, *(g.name for g in draft.guesses)]).lower()
    metro = bool(re.search(r"metro|subway|地铁|轨道", words))
    electric = bool(re.search(r"e-?bike|电单车|电动自行车|助力", words))
    ride = "bike.electric.ride" if electric else "bike.shared.ride"
    draft.scenario = "transit.metro.trip" if metro else ride
    named = re.search(r"bike|ride|单车|骑行|自行车", words) or metro or electric
    draft.why = f"{'高 high' if named else '低 low'}: 行程起止与时间 a trip's ends and its time"
    number = draft.first("id")
    person = draft.first("person")
    for ours, guess in (("trip", number), ("rider", person), ("start", start), ("end", end)):
        if guess:
            draft.column(ours, guess)
    draft.event = [f"  id: [{_identity(number, person, start)}]", "  time: end"]
    draft.subject = "rider" if person else "trip" if number else "end"
    if way:
        draft.column("way", way)
        factor = 1000 if way.role == "km" else 1
        draft.data.append(f"    distance_m: {{column: way, multiply: {factor}, round: down}}")
    elif here and there:
        draft.column("from", here)
        draft.column("to", there)
        draft.body = _places_lines()
        draft.data += [
            "    # 两站直线距离,是里程的下限 the straight line, a lower bound of the way",
            "    distance_m: {distance_between: [from, to], same_place: same-station}",
        ]
    _add_duration(draft, start)
    return True


def _identity(number: Guess | None, person: Guess | None, start: Guess | None) -> str:
    if number:
        return "trip"
    return ", ".join([*(["rider"] if person else []), *(["start"] if start else []), "end"])


def _add_duration(draft: _Draft, start: Guess | None) -> None:
    lasted = draft.first("s", "min")
    if lasted:
        draft.column("lasted", lasted)
        factor = 60 if lasted.role == "min" else 1
        draft.data.append(f"    duration_s: {{column: lasted, multiply: {factor}}}")
    elif start:
        draft.data.append("    duration_s: {seconds_between: [start, end]}")


def _charging(draft: _Draft) -> bool:
    """Energy between two times is a charging session."""
    energy, start, end = draft.first("kwh", "wh"), draft.first("start"), draft.first("end")
    if not (energy and start and end and start.formats and end.formats):
        return False
    draft.scenario = "ev.charge.session"
    draft.why = "高 high: 一段时间内的电量 energy between two times"
    number, person = draft.first("id"), draft.first("person", "meter")
    for ours, guess in (("session", number), ("user", person)):
        if guess:
            draft.column(ours, guess)
    draft.column("start", start)
    draft.column("end", end)
    draft.column("energy", energy)
    draft.event = [f"  id: [{'session' if number else 'start, end, energy'}]", "  time: end"]
    draft.subject = "user" if person else "session" if number else "start"
    draft.data = [
        f"    energy_wh: {{column: energy, multiply: {_wh(energy)}}}",
        "    start: {instant: start}",
        "    end: {instant: end}",
    ]
    return True


def _wh(energy: Guess) -> int:
    return 1000 if energy.role == "kwh" else 1


def _home_energy(draft: _Draft) -> bool:
    """Readings of a meter, long or wide, add up to months."""
    meter, at = draft.first("meter", "person", "id"), draft.first("time")
    energy = draft.first("kwh", "wh")
    if meter is None:
        return False
    draft.column("meter", meter)
    if draft.wide:
        multiply, each, per_day = _unfolded(draft, at)
    elif at and energy:
        draft.column("at", at)
        draft.column("energy", energy)
        multiply = _wh(energy)
        each, per_day = _rhythm(draft, meter, at)
    else:
        draft.columns.clear()
        return False
    draft.scenario = "energy.home.month"
    draft.why = "高 high: 户号、时间与电量 a meter, times and energy"
    readings = draft.first("readings")
    if readings and each == "day":
        draft.column("readings", readings)
        counted = sorted({int(v) for v in readings.values or readings.samples}, reverse=True)
        per_day = counted[0]
    tail = ", readings: readings" if readings and each == "day" else ""
    draft.body += [
        "# 只计完整的日;缺读数的日不补 only complete days count; gaps are not filled",
        "# 每次读数所在的时段 what a reading covers: interval, day or month",
        f"months: {{by: meter, at: at, add: energy, each: {each}, per_day: {per_day}{tail}}}",
    ]
    draft.event = ["  id: [meter, month]", "  time: month"]
    draft.subject = "meter"
    draft.data = [
        f"    energy_wh: {{column: total, multiply: {multiply}}}",
        "    month: {month_of: month}",
        "    days: {column: days}",
        "    meter_ref: {text: meter}",
        "    # 低 low: 如有估抄标记列 where a column marks estimates: {true_when: …, values: […]}",
        "    estimated: {constant: false}",
    ]
    return True


def _unfolded(draft: _Draft, at: Guess | None) -> tuple[int, str, int]:
    """Declare the unfolding of a wide table. Returns (multiply, each, per_day)."""
    pattern, spelled = draft.wide or ("", "")
    count = sum(bool(re.fullmatch(pattern, name)) for name in draft.table.header)
    draft.body = [
        f"# 高 high: 宽表,{count} 列各为一次读数 a wide table: {count} columns, a reading each",
        f"unfold: {{columns: '{pattern}', name: reading_at, value: reading}}",
    ]
    if "%H" in spelled and at and at.formats:
        where = f"[{_quoted(at.name)}, reading_at]"
        spelled = f"{at.formats[0]} {spelled}"
        each, per_day = "interval", count
    else:
        where, each, per_day = "reading_at", "month", 1
    draft.columns += [
        "  # 高 high: 列名即时间 the name of the column is the time",
        f'  at: {{column: {where}, time: "{spelled}"}}',
        "  # 低 low: 单位按千瓦时 taken as kWh",
        "  energy: {column: reading}",
    ]
    return 1000, each, per_day


def _rhythm(draft: _Draft, meter: Guess, at: Guess) -> tuple[str, int]:
    """How long a reading covers, by how many stand on the commonest day of a meter."""
    if at.formats and at.formats[0] in {"%Y-%m", "%Y年%m月"}:
        return "month", 1
    if at.formats and "%H" not in at.formats[0]:
        return "day", 1
    counts: dict[tuple[str, str], int] = {}
    for row in islice(draft.table.rows(), SAMPLE_ROWS):
        if row is not None:
            day = (row[meter.name], re.split(r"[ T]", row[at.name].strip())[0])
            counts[day] = counts.get(day, 0) + 1
    listed = list(counts.values())
    commonest = max(sorted(set(listed)), key=listed.count)
    return ("interval", commonest) if commonest > 1 else ("day", 1)


def _timetable(draft: _Draft) -> bool:
    """Stop times of GTFS: the rows of one run become one bus trip."""
    names = {guess.name for guess in draft.guesses}
    if not {"trip_id", "arrival_time", "stop_id", "stop_sequence"} <= names:
        return False
    draft.scenario = "transit.bus.trip"
    draft.why = "高 high: GTFS 的 stop_times"
    draft.columns = [
        "  trip: {column: trip_id}",
        "  # 首个服务日加时刻,可过 24:00 the service's first day and a clock that passes 24:00",
        '  at: {column: [start_date, arrival_time], time: "%Y%m%d %H:%M:%S",',
        "       hours_past_24: true, optional: true}",
        "  order: {column: stop_sequence}",
        "  stop: {column: stop_id}",
        "  shape: {column: shape_id}",
    ]
    draft.body = [
        "# 从同一文件夹的其他表取列 columns of the feed's other tables",
        "lookups:",
        "  - {file: trips.txt, by: trip_id, key: trip_id, take: [service_id, shape_id]}",
        "  - {file: calendar.txt, by: service_id, key: service_id, take: [start_date]}",
        "# 一个班次的各站合为一次 all stops of a run make one trip",
        "group: {by: trip, order: order}",
        "places: {file: stops.txt, name: stop_id, lon: stop_lon, lat: stop_lat}",
        "shapes: {file: shapes.txt}",
    ]
    draft.event = ["  id: [trip, first.at]", "  time: last.at"]
    draft.subject = "trip"
    draft.data = [
        "    trips: {constant: 1}",
        "    # 沿线路形状的长度 the length along the shape",
        "    distance_m:",
        "      {along_shape: first.shape, stops: [first.stop, last.stop], optional: true}",
    ]
    return True


def _boardings(draft: _Draft) -> bool:
    """A card at a time on a bus is one trip."""
    at, person = draft.first("time", "start"), draft.first("person")
    words = " ".join([draft.path.name, *(g.name for g in draft.guesses)]).lower()
    if not (at and person) or not any(word in words for word in (*BOARDINGS, "boarding")):
        return False
    draft.scenario = "transit.bus.trip"
    draft.why = "中 medium: 刷卡上车 a card at a time on a bus"
    draft.column("card", person)
    draft.column("at", at)
    draft.event = ["  id: [card, at]", "  time: at"]
    draft.subject = "card"
    draft.data = ["    trips: {constant: 1}"]
    return True
