"""Leaves → batches: sums per account over a range of leaves (formats.md §7). Pure functions."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from backend.chain.contracts import (
    ACCOUNT_HIGHEST,
    ACCOUNT_LOWEST,
    AMOUNT_MAX,
    ISSUE,
    RECORDS_MAX,
    REDEEM,
    RETIRE,
    BatchContent,
    BatchHeader,
    make_records,
)

KIND_OF_ACT = {
    "award": ISSUE,
    "refund": ISSUE,
    "redeem": REDEEM,
    "expire": RETIRE,
    "reverse": RETIRE,
    "erase": RETIRE,
}


class AmountTooLarge(Exception):
    """One leaf alone exceeds what a record can hold (2^32 − 1 points)."""


@dataclass(frozen=True, slots=True)
class PostLeaf:
    """What a batch needs of a transfer's leaf. `day` counts from 1970-01-01; points whole."""

    index: int
    act: str
    class_: str
    programme: str | None
    rule: str | None
    rule_version: int | None
    reason: int
    account: bytes
    amount: int
    day: int


@dataclass(frozen=True, slots=True, order=True)
class _Group:
    kind: int
    class_: str
    programme: str
    rule: str
    rule_version: int
    reason: int


@dataclass(slots=True)
class _Sum:
    """What one account gets in a group, and the days it spans."""

    amount: int
    day_first: int
    day_last: int

    def add(self, leaf: PostLeaf) -> None:
        self.amount += leaf.amount
        self.day_first = min(self.day_first, leaf.day)
        self.day_last = max(self.day_last, leaf.day)


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """A batch ready to be posted, with its sums; `lane` counts from 0."""

    header: BatchHeader
    content: BatchContent
    account_count: int
    total: int
    lane: int = 0


def _group_of(leaf: PostLeaf) -> _Group:
    kind = KIND_OF_ACT[leaf.act]
    # Only an award carries its rule to the chain: refunds, redeem and retire have zeros.
    if leaf.act != "award":
        return _Group(kind, leaf.class_, "", "", 0, leaf.reason)
    return _Group(
        kind,
        leaf.class_,
        leaf.programme or "",
        leaf.rule or "",
        leaf.rule_version or 0,
        leaf.reason,
    )


def fitting(leaves: Sequence[PostLeaf]) -> int:
    """How many leading leaves can share a cut without a sum beyond a record's width.

    Raises AmountTooLarge when the first one alone is beyond it.
    """
    sums: dict[tuple[_Group, bytes], int] = defaultdict(int)
    for count, leaf in enumerate(leaves):
        key = (_group_of(leaf), leaf.account)
        sums[key] += leaf.amount
        if sums[key] > AMOUNT_MAX:
            if count == 0:
                raise AmountTooLarge(f"leaf {leaf.index} has {leaf.amount} points")
            return count
    return len(leaves)


def plan_batches(
    leaves: Iterable[PostLeaf], leaf_from: int, leaf_to: int, accounts_max: int, *, lanes: int = 1
) -> list[PlannedBatch]:
    """All batches of [leaf_from, leaf_to): issue before redeem before retire.

    A group with more accounts than `accounts_max` (at most 2,040) is split into ranges that
    cover every account, so that each leaf falls in exactly one batch. Up to `lanes` lanes share
    the accounts in ranges that are the same for every group: all batches of an account are in
    one lane, in order. There are no more lanes than full batches in the largest group, and that
    group is shared equally.
    """
    groups: dict[_Group, dict[bytes, _Sum]] = defaultdict(dict)
    for leaf in leaves:
        if not leaf_from <= leaf.index < leaf_to:
            raise ValueError(f"leaf {leaf.index} lies outside [{leaf_from}, {leaf_to})")
        of_account = groups[_group_of(leaf)]
        known = of_account.get(leaf.account)
        if known is None:
            of_account[leaf.account] = _Sum(leaf.amount, leaf.day, leaf.day)
        else:
            known.add(leaf)
    size = min(accounts_max, RECORDS_MAX)
    largest: Iterable[bytes] = max(groups.values(), key=len) if groups else ()
    parts = _lane_parts(sorted(largest), size, lanes)
    batches: list[PlannedBatch] = []
    for group in sorted(groups):
        accounts = sorted(groups[group])
        for low, high, lane in _account_ranges(accounts, size, parts):
            header = BatchHeader(
                group.kind,
                group.class_,
                group.programme,
                group.rule,
                group.rule_version,
                group.reason,
                leaf_from,
                leaf_to,
                low,
                high,
            )
            mine = accounts[bisect_left(accounts, low) : bisect_right(accounts, high)]
            sums = [(account, groups[group][account]) for account in mine]
            batches.append(_summed(header, sums, lane))
    return batches


def _lane_parts(accounts: Sequence[bytes], size: int, lanes: int) -> list[tuple[bytes, bytes]]:
    """The space of accounts in parts without gap, with equally many of `accounts` in each."""
    used = max(1, min(lanes, -(-len(accounts) // size)))
    starts = [ACCOUNT_LOWEST, *(accounts[n * len(accounts) // used] for n in range(1, used))]
    return list(zip(starts, [*map(_before, starts[1:]), ACCOUNT_HIGHEST], strict=True))


def _before(account: bytes) -> bytes:
    return (int.from_bytes(account, "big") - 1).to_bytes(20, "big")


def _account_ranges(
    accounts: Sequence[bytes], size: int, parts: Sequence[tuple[bytes, bytes]]
) -> Iterator[tuple[bytes, bytes, int]]:
    """Ranges (low, high, lane) of at most `size` of ours; together they cover each used part."""
    for lane, (lowest, highest) in enumerate(parts):
        mine = accounts[bisect_left(accounts, lowest) : bisect_right(accounts, highest)]
        if not mine:
            continue
        starts = [lowest, *(mine[i] for i in range(size, len(mine), size))]
        for low, high in zip(starts, [*map(_before, starts[1:]), highest], strict=True):
            yield low, high, lane


def _summed(header: BatchHeader, sums: Sequence[tuple[bytes, _Sum]], lane: int) -> PlannedBatch:
    records = make_records([(account, total.amount) for account, total in sums])
    day_from, day_to = 0, 0
    if header.kind == ISSUE:
        day_from = min(total.day_first for _, total in sums)
        day_to = max(total.day_last for _, total in sums) + 1
    total = sum(total.amount for _, total in sums)
    return PlannedBatch(header, BatchContent(day_from, day_to, records), len(sums), total, lane)


def covers(header: BatchHeader, leaf: PostLeaf) -> bool:
    """Whether a leaf falls into the batch with that header."""
    return (
        header.leaf_from <= leaf.index < header.leaf_to
        and _group_of(leaf)
        == _Group(
            header.kind,
            header.class_,
            header.programme,
            header.rule,
            header.rule_version,
            header.reason,
        )
        and header.account_from <= leaf.account <= header.account_to
    )


def content_of(header: BatchHeader, leaves: Iterable[PostLeaf]) -> BatchContent:
    """Days and records that the batch with that header must carry: the sums over its leaves."""
    sums: dict[bytes, int] = defaultdict(int)
    days: set[int] = set()
    for leaf in leaves:
        if covers(header, leaf):
            sums[leaf.account] += leaf.amount
            days.add(leaf.day)
    day_from, day_to = (min(days), max(days) + 1) if days and header.kind == ISSUE else (0, 0)
    return BatchContent(day_from, day_to, make_records(list(sums.items())))
