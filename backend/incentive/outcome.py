"""What a run comes to: points, people, tonnes, caps, concentration, by day, scenario, district."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from backend.incentive.trial import Paid

MG_PER_TONNE = 10**9
PARTS = 1_000


@dataclass(slots=True)
class Outcome:
    """Sums over the events of one run, in whole points and mg.

    `cut` are (times, points not given) by cap, `rows` (times, points before caps) by paid row,
    `refused` events by reason. `levels` are points by evidence level.
    """

    awards: int = 0
    points: int = 0
    points_before_caps: int = 0
    reduction_mg: int = 0
    by_person: dict[UUID, int] = field(default_factory=dict[UUID, int])
    by_day: Counter[date] = field(default_factory=Counter[date])
    cut: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    rows: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    refused: Counter[str] = field(default_factory=Counter[str])
    levels: Counter[str] = field(default_factory=Counter[str])
    exhausted_on: date | None = None

    def add(
        self, citizen_id: UUID, day: date, level: str, reduction_mg: int, paid: Paid | str
    ) -> int:
        """Count one event; the points it earns."""
        if isinstance(paid, str):
            self.refused[paid] += 1
            if paid == "budget-exhausted" and self.exhausted_on is None:
                self.exhausted_on = day
            return 0
        amount, before, cut_by, rows = paid
        self.awards += 1
        self.points += amount
        self.points_before_caps += before
        if amount:
            self.reduction_mg += reduction_mg
            self.by_person[citizen_id] = self.by_person.get(citizen_id, 0) + amount
            self.by_day[day] += amount
            self.levels[level] += amount
        if cut_by is not None:
            times, points = self.cut.get(cut_by, (0, 0))
            self.cut[cut_by] = (times + 1, points + before - amount)
        row = "+".join(rows)
        times, points = self.rows.get(row, (0, 0))
        self.rows[row] = (times + 1, points + before)
        return amount


@dataclass(slots=True)
class Shift:
    """Two runs held against each other over a part of the events."""

    events: int = 0
    before: int = 0
    after: int = 0
    reduction_mg: int = 0
    people: dict[UUID, int] = field(default_factory=dict[UUID, int])

    def add(self, citizen_id: UUID, before: int, after: int, reduction_mg: int) -> None:
        """Count one event, worth `before` points in one run and `after` in the other."""
        self.events += 1
        self.before += before
        self.after += after
        self.reduction_mg += reduction_mg
        if before != after:
            self.people[citizen_id] = self.people.get(citizen_id, 0) + after - before

    @property
    def winners(self) -> int:
        """People who get more in the second run."""
        return sum(by > 0 for by in self.people.values())

    @property
    def losers(self) -> int:
        """People who get less."""
        return sum(by < 0 for by in self.people.values())


@dataclass(frozen=True, slots=True)
class Concentration:
    """How unequally points are spread, in thousandths: Gini, and the share of the first people."""

    gini: int
    top_1_percent: int
    top_10_percent: int
    top_person: int


def concentration(points: Iterable[int]) -> Concentration:
    """Of the points of everyone who has some; nobody at all is perfectly even.

    Gini = (2 Σ i·x_i) / (n Σ x) − (n + 1) / n over ascending x, rounded to thousandths.
    """
    held = sorted(points)
    count, total = len(held), sum(held)
    if total == 0:
        return Concentration(0, 0, 0, 0)
    weighted = sum(place * each for place, each in enumerate(held, start=1))
    gini = (2 * weighted - (count + 1) * total) * PARTS // (count * total)
    one, ten = -(-count // 100), -(-count // 10)
    return Concentration(
        gini=gini,
        top_1_percent=sum(held[-one:]) * PARTS // total,
        top_10_percent=sum(held[-ten:]) * PARTS // total,
        top_person=held[-1] * PARTS // total,
    )


def fen_per_tonne(fen: int | None, reduction_mg: int) -> int | None:
    """The price of a tonne in fen, rounded down; None without a money value or a reduction."""
    return fen * MG_PER_TONNE // reduction_mg if fen is not None and reduction_mg else None
