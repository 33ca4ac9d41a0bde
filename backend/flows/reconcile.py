"""Ledger = chain + in flight, and the log's root = the anchored root, also while events pour in.

Everything of ours is read in one snapshot. The chain is read at a block where it must show exactly
the settled cuts of that snapshot, so that neither side moves while the two are compared: the newest
block before the snapshot when no cut was under way, else the block that settled the last cut. Where
an engine keeps no old state, accounts that batches are touching meanwhile must lie between before
and after.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend import proof
from backend.chain import ChainAccess, contracts
from backend.kit.db import Database, Tx

ACCOUNTS_PER_CALL = 400
"""Some 2,600 gas an account: about 1 M gas a call."""

DIFFERENCES_MAX = 1_000
LEAVES_PER_READ = 50_000

LANES = ("issued", "redeemed", "retired")

Sums = dict[tuple[str, bytes], list[int]]
"""(class, account) → points [issued, redeemed, retired]."""


_NOTHING = [0, 0, 0]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree: where, about what, and what each side says."""

    where: str
    subject: str
    ours: str
    theirs: str

    def sentence(self) -> str:
        """The difference as one line."""
        return f"{self.where}: {self.subject}: {self.ours}, {self.theirs}"


@dataclass(slots=True)
class Reconciliation:
    """What was compared and what differs. Points are whole; sizes count leaves."""

    transfer_count: int = 0
    ledger_points: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    log_size: int = 0
    posted_size: int = 0
    anchored_size: int = 0
    block: int = 0
    account_count: int = 0
    unsealed_count: int = 0
    sealed_unposted_count: int = 0
    refused_count: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Our side, as of one instant."""

    report: Reconciliation
    posted: Sums
    moving: Sums
    cut_open: bool
    anchored_root: bytes | None


async def reconcile(db: Database, access: ChainAccess) -> Reconciliation:
    """Compare ledger, log and chain. Raises NodeAway; differences are in the result."""
    historical = access.client.profile.historical_state
    newest = await access.client.final_block_number()
    snapshot = await _read_snapshot(db)
    report = snapshot.report
    if not historical or not snapshot.cut_open:
        report.block = max(report.block, newest)
    if report.block > newest:
        report.block = await _reached(access, report)
    slots = await _read_slots(access, sorted(snapshot.posted), report.block)
    classes = sorted({*report.ledger_points, *(class_ for class_, _ in snapshot.posted)})
    totals = await _read_class_totals(access, classes, report.block)
    # What was under way until after the chain was read bounds what it may show.
    moving = {} if historical else _growth(snapshot, await _read_snapshot(db))
    _compare_accounts(report, snapshot.posted, slots, moving)
    if not moving:
        _compare_totals(report, snapshot.posted, totals)
    await _compare_roots(report, access, snapshot.anchored_root)
    return report


async def _reached(access: ChainAccess, report: Reconciliation) -> int:
    """The block to compare at: a chain that ends before our last post lost what was final."""
    newest = await access.client.final_block_number()
    if newest < report.block:
        ours = f"our last post is in block {report.block}"
        report.differences.append(
            Difference("chain", access.client.url, ours, f"the chain ends with block {newest}")
        )
    return min(newest, report.block)


def _growth(before: _Snapshot, after: _Snapshot) -> Sums:
    """The most by which each account's totals may exceed what was posted before."""
    grown: Sums = {}
    for key in {*after.posted, *after.moving}:
        posted, moving = after.posted.get(key, _NOTHING), after.moving.get(key, _NOTHING)
        settled = before.posted.get(key, _NOTHING)
        more = [p + m - s for p, m, s in zip(posted, moving, settled, strict=True)]
        if any(more):
            grown[key] = more
    return grown


async def _read_snapshot(db: Database) -> _Snapshot:
    async with db.transaction(isolation="repeatable_read", readonly=True) as tx:
        report = Reconciliation()
        await _count(tx, report)
        report.differences += await _ledger_against_log(tx)
        posted, moving = await _posted_sums(tx, report)
        cut_open = await tx.fetchval(
            "SELECT EXISTS (SELECT FROM chain_batch WHERE state = 'prepared')"
        )
        root = await _recomputed_root(tx, report)
    return _Snapshot(report, posted, moving, cut_open, root)


async def _count(tx: Tx, report: Reconciliation) -> None:
    row = await tx.fetchrow(
        """SELECT (SELECT count(*) FROM transfer) AS transfers,
                  (SELECT count(*) FROM unsealed WHERE kind = 1) AS unsealed,
                  (SELECT coalesce(max(leaf_to), 0) FROM post_cut
                   WHERE settled_at IS NOT NULL) AS posted,
                  (SELECT coalesce(max(size), 0) FROM anchor
                   WHERE final_at IS NOT NULL) AS anchored"""
    )
    if row is None:
        raise LookupError("a query of aggregates always has a row")
    report.transfer_count, report.unsealed_count = row["transfers"], row["unsealed"]
    report.posted_size, report.anchored_size = row["posted"], row["anchored"]
    report.log_size = await proof.size(tx)
    for sums in await tx.fetch(
        """SELECT class, act IN ('award', 'refund') AS issues, act = 'redeem' AS redeems,
                  sum(amount)::bigint AS points FROM transfer GROUP BY 1, 2, 3"""
    ):
        lane = 0 if sums["issues"] else 1 if sums["redeems"] else 2
        report.ledger_points.setdefault(sums["class"], [0, 0, 0])[lane] += sums["points"]
    report.sealed_unposted_count = await tx.fetchval(
        "SELECT count(*) FROM leaf WHERE kind = 1 AND index >= $1", report.posted_size
    )


async def _ledger_against_log(tx: Tx) -> list[Difference]:
    """Every transfer has exactly one leaf that says the same, or waits to be sealed."""
    rows = await tx.fetch(
        """SELECT coalesce(t.transfer_id, l.ref) AS ref, t.transfer_id, l.index, u.ref AS waiting,
                  t.act, t.class, t.amount, a.account,
                  l.act AS leaf_act, l.class AS leaf_class, l.amount AS leaf_amount,
                  l.account AS leaf_account
           FROM transfer t
           FULL JOIN (SELECT * FROM leaf WHERE kind = 1) l ON l.ref = t.transfer_id
           LEFT JOIN citizen_account a ON a.citizen_id = t.citizen_id AND a.class = t.class
           LEFT JOIN unsealed u ON u.kind = 1 AND u.ref = t.transfer_id
           WHERE t.transfer_id IS NULL
              OR (l.ref IS NULL) = (u.ref IS NULL)
              OR (l.ref IS NOT NULL AND (t.act, t.class, t.amount, a.account)
                    IS DISTINCT FROM (l.act, l.class, l.amount, l.account))
           ORDER BY l.index LIMIT $1""",
        DIFFERENCES_MAX,
    )
    return [_row_difference(row) for row in rows]


def _row_difference(row: Mapping[str, Any]) -> Difference:
    ledger = (
        "the ledger has no such transfer"
        if row["transfer_id"] is None
        else f"ledger {row['act']} {row['amount']} {row['class']} for {_hex(row['account'])}"
    )
    if row["index"] is not None:
        subject = f"transfer {row['ref']}, leaf {row['index']}"
        log = f"leaf {row['leaf_act']} {row['leaf_amount']} {row['leaf_class']}"
        log = f"{log} for {_hex(row['leaf_account'])}"
        if row["waiting"] is not None:
            log = f"{log}, and queued to be sealed again"
    else:
        subject = f"transfer {row['ref']}"
        log = "neither a leaf nor queued to be sealed"
    return Difference("ledger against log", subject, ledger, log)


def _hex(account: bytes | None) -> str:
    return "no account" if account is None else account.hex()


async def _posted_sums(tx: Tx, report: Reconciliation) -> tuple[Sums, Sums]:
    """What settled cuts should have brought to the chain, and what the open cut is bringing."""
    posted: Sums = defaultdict(lambda: [0, 0, 0])
    for row in await tx.fetch(
        """SELECT class, account, act IN ('award', 'refund') AS issues, act = 'redeem' AS redeems,
                  sum(amount)::bigint AS points
           FROM leaf WHERE kind = 1 AND index < $1 GROUP BY 1, 2, 3, 4""",
        report.posted_size,
    ):
        lane = 0 if row["issues"] else 1 if row["redeems"] else 2
        posted[row["class"], row["account"]][lane] += row["points"]
    moving: Sums = defaultdict(lambda: [0, 0, 0])
    for row in await tx.fetch(
        """SELECT b.batch_id, b.class, b.kind, b.records, b.state, b.refused_reason, b.total,
                  b.leaf_from, b.leaf_to, t.block, t.state AS tx_state
           FROM chain_batch b JOIN chain_tx t USING (tx_id)
           WHERE b.state IN ('prepared', 'refused') OR (b.state = 'final' AND b.leaf_to > $1)""",
        report.posted_size,
    ):
        if row["state"] == "refused":
            report.refused_count += 1
            report.differences.append(_refusal(row))
        else:
            _add(moving, row, 1)
        if row["leaf_to"] <= report.posted_size:
            _add(posted, row, -1)  # Refused, or sent again after a refusal: not there yet.
    block = await tx.fetchval(
        """SELECT max(t.block) FROM chain_batch b JOIN chain_tx t USING (tx_id)
           WHERE b.leaf_to <= $1""",
        report.posted_size,
    )
    report.block = block or 0
    report.account_count = len(posted)
    return posted, moving


def _add(sums: Sums, row: Mapping[str, Any], sign: int) -> None:
    for account, amount in contracts.read_records(row["records"]):
        sums[row["class"], account][row["kind"] - 1] += sign * amount


def _refusal(row: Mapping[str, Any]) -> Difference:
    return Difference(
        "refused by the chain",
        f"batch {row['batch_id'].hex()}, leaves {row['leaf_from']} to {row['leaf_to']}",
        f"ledger and log hold {row['total']} {row['class']}",
        f"the chain said {row['refused_reason']}",
    )


async def _recomputed_root(tx: Tx, report: Reconciliation) -> bytes | None:
    """The root over the leaf hashes themselves; stored nodes and checkpoints must agree."""
    size = report.anchored_size
    if size == 0:
        return None
    edge: Mapping[tuple[int, int], bytes] = {}
    done, root = 0, b""
    while done < size:
        rows = await tx.fetch(
            "SELECT leaf_hash FROM leaf WHERE index >= $1 AND index < $2 ORDER BY index",
            done,
            min(size, done + LEAVES_PER_READ),
        )
        if not rows:
            break
        growth = proof.merkle.append(done, edge, [row["leaf_hash"] for row in rows])
        done, edge, root = growth.size, growth.edge, growth.root
    row = await tx.fetchrow(
        """SELECT a.root, c.root AS signed FROM anchor a LEFT JOIN checkpoint c USING (size)
           WHERE size = $1""",
        size,
    )
    said = {
        "the stored tree nodes": await proof.root_at(tx, size),
        "the anchor that was sent": None if row is None else row["root"],
        "the signed checkpoint": None if row is None else row["signed"],
    }
    report.differences += [
        Difference(
            "log", f"root at size {size}", f"leaves give {root.hex()}", f"{name} {_hex(value)}"
        )
        for name, value in said.items()
        if value != root
    ]
    return root


async def _read_slots(access: ChainAccess, wanted: Sequence[tuple[str, bytes]], block: int) -> Sums:
    tag = block if access.client.profile.historical_state else "latest"
    by_class: dict[str, list[bytes]] = defaultdict(list)
    for class_, account in wanted:
        by_class[class_].append(account)
    slots: Sums = {}
    for class_, accounts in by_class.items():
        lots = [
            accounts[i : i + ACCOUNTS_PER_CALL] for i in range(0, len(accounts), ACCOUNTS_PER_CALL)
        ]
        outputs = await access.client.calls(
            access.points, [contracts.accounts_call(class_, lot) for lot in lots], tag
        )
        for lot, output in zip(lots, outputs, strict=True):
            for account, slot in zip(lot, contracts.read_accounts(output), strict=True):
                slots[class_, account] = [slot.issued, slot.redeemed, slot.retired]
    return slots


async def _read_class_totals(
    access: ChainAccess, classes: Sequence[str], block: int
) -> dict[str, list[int]]:
    if block == 0:
        return {}  # The first cut is under way: no contract stood at the block to compare at.
    tag = block if access.client.profile.historical_state else "latest"
    outputs = await access.client.calls(
        access.points, [contracts.totals_call(c) for c in classes], tag
    )
    return {
        class_: list(contracts.read_totals(output))
        for class_, output in zip(classes, outputs, strict=True)
    }


def _compare_accounts(report: Reconciliation, posted: Sums, slots: Sums, moving: Sums) -> None:
    for key, expected in posted.items():
        most = [low + more for low, more in zip(expected, moving.get(key, _NOTHING), strict=True)]
        for lane, low, high, found in zip(LANES, expected, most, slots[key], strict=True):
            if not low <= found <= high:
                report.differences.append(
                    Difference(
                        "log against chain",
                        f"account {key[1].hex()} of class {key[0]}, {lane}",
                        f"posted leaves sum to {low}",
                        f"the chain has {found} at block {report.block}",
                    )
                )


def _compare_totals(
    report: Reconciliation, posted: Sums, totals: Mapping[str, Sequence[int]]
) -> None:
    """Points on accounts that our log does not know would show in the class's totals alone."""
    for class_, found in totals.items():
        sums = [sum(s[lane] for (c, _), s in posted.items() if c == class_) for lane in range(3)]
        for lane, ours, theirs in zip(LANES, sums, found, strict=True):
            if ours != theirs:
                report.differences.append(
                    Difference(
                        "log against chain",
                        f"total of class {class_}, {lane}",
                        f"posted leaves sum to {ours}",
                        f"the chain has {theirs} at block {report.block}",
                    )
                )


async def _compare_roots(report: Reconciliation, access: ChainAccess, root: bytes | None) -> None:
    size, newest = contracts.read_latest(
        await access.client.call(access.anchor, contracts.latest_call())
    )
    if size < report.anchored_size:
        report.differences.append(
            Difference(
                "log against chain",
                "anchored size",
                f"final here is {report.anchored_size}",
                f"the chain has {size} with root {newest.hex()}",
            )
        )
    if root is None:
        return
    found = await access.client.call(access.anchor, contracts.root_of_call(report.anchored_size))
    if found != root:
        report.differences.append(
            Difference(
                "log against chain",
                f"root at size {report.anchored_size}",
                f"leaves give {root.hex()}",
                f"the chain has {found.hex()}",
            )
        )
