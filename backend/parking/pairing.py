"""Which gate events make which stays: a pure function of the set of events, not of their order.

Whoever sends late, twice or from an offline buffer changes nothing but the moment at which the
stays are known. What makes no stay ends in a list with a name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from uuid import UUID

SCAN_S = 10
"""The same direction again within 10 s is the same car at the same barrier: scanned twice."""
REPLAY_S = 30
"""Up to 30 s it is a repeated push of the gate, which is safe to send again."""
REENTRY_S = 900
"""Who comes back within 15 minutes is marked, so that a tariff need not give free minutes twice."""
OPEN_S_MAX = 7 * 86_400
"""An entry without an exit is given up after seven days; a stay beyond is decided by a person."""

ExceptionKind = Literal[
    "duplicate-scan",
    "repeated-push",
    "exit-without-entry",
    "missing-exit",
    "stay-too-long",
    "unknown-plate",
]


class Pass(NamedTuple):
    """A gate event as pairing sees it; `at_s` in seconds since 1970, `lifted`: opened by hand."""

    at_s: int
    direction: str
    device_id: str
    seq: int
    event_id: UUID
    lifted: bool
    space_label: str | None


@dataclass(frozen=True, slots=True)
class PairedStay:
    """An entry with its exit, or without one yet (`exit` None: the car is inside)."""

    entry: Pass
    exit: Pass | None
    reentry: bool


@dataclass(frozen=True, slots=True)
class Oddity:
    """An event that made no stay, and why."""

    kind: ExceptionKind
    event: Pass


@dataclass(slots=True)
class Paired:
    """Every event is in exactly one place: the entry or exit of a stay, or an oddity."""

    stays: list[PairedStay] = field(default_factory=list[PairedStay])
    oddities: list[Oddity] = field(default_factory=list[Oddity])


def pair(passes: Iterable[Pass], now_s: int) -> Paired:
    """The stays of one car at one lot. `now_s` decides which open entries are given up.

    At the same second an exit comes before an entry: a car cannot leave before it is inside.
    """
    ordered = sorted(passes, key=lambda p: (p.at_s, p.direction == "in", p.device_id, p.seq))
    paired = Paired()
    inside: Pass | None = None
    last: dict[str, Pass] = {}
    left_s: int | None = None
    back = False
    for each in ordered:
        before = last.get(each.direction)
        # A repetition only if nothing happened in the other direction in between.
        if before is not None and each.at_s - before.at_s <= REPLAY_S:
            kind: ExceptionKind = (
                "duplicate-scan" if each.at_s - before.at_s <= SCAN_S else "repeated-push"
            )
            paired.oddities.append(Oddity(kind, each))
            continue
        last = {each.direction: each}
        if each.direction == "in":
            if inside is not None:
                paired.oddities.append(Oddity("missing-exit", inside))
            inside = each
            back = left_s is not None and each.at_s - left_s <= REENTRY_S
        elif inside is None:
            paired.oddities.append(Oddity("exit-without-entry", each))
        else:
            _close(paired, inside, each, reentry=back)
            left_s, inside = each.at_s, None
    if inside is not None:
        if now_s - inside.at_s > OPEN_S_MAX:
            paired.oddities.append(Oddity("missing-exit", inside))
        else:
            paired.stays.append(PairedStay(inside, None, back))
    return paired


def _close(paired: Paired, entry: Pass, exit_: Pass, *, reentry: bool) -> None:
    if exit_.at_s - entry.at_s > OPEN_S_MAX:
        paired.oddities += [Oddity("stay-too-long", entry), Oddity("stay-too-long", exit_)]
    else:
        paired.stays.append(PairedStay(entry, exit_, reentry))


def accounted(passes: Sequence[Pass], paired: Paired) -> bool:
    """Whether every event stands in exactly one place: what the callers may rely on."""
    named = [each.event.event_id for each in paired.oddities]
    named += [stay.entry.event_id for stay in paired.stays]
    named += [stay.exit.event_id for stay in paired.stays if stay.exit is not None]
    return sorted(named) == sorted(p.event_id for p in passes)
