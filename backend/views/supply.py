"""Points in circulation by class, as the ledger has them, and what is on its way to the chain."""

from dataclasses import dataclass

from backend.kit.db import Tx

LANES: tuple[str, str, str] = ("issued", "redeemed", "retired")
"""The three totals of an account and a class, as on chain (kinds 1, 2, 3)."""


@dataclass(frozen=True, slots=True)
class LedgerSupply:
    """One class as one snapshot of the database has it; all figures whole points, by lane.

    `ledger` is the sum of all transfers, `unsealed` of those without a leaf, `sealed` of all
    leaves, `settled` of the batches known to be final. `open_batches` were sent and are not
    settled: (batch_id, kind, total).
    """

    points_class: str
    ledger: dict[str, int]
    unsealed: dict[str, int]
    sealed: dict[str, int]
    settled: dict[str, int]
    open_batches: tuple[tuple[bytes, int, int], ...]


_BY_LANE = """SELECT class,
       CASE WHEN act IN ('award', 'refund') THEN 'issued'
            WHEN act = 'redeem' THEN 'redeemed' ELSE 'retired' END AS lane,
       sum(amount)::bigint AS points
FROM """
_SUMS = {
    "ledger": _BY_LANE + "transfer GROUP BY 1, 2",
    "unsealed": _BY_LANE
    + "unsealed JOIN transfer ON transfer_id = ref WHERE kind = 1 GROUP BY 1, 2",
    "sealed": _BY_LANE + "leaf WHERE kind = 1 GROUP BY 1, 2",
    "settled": """SELECT class, (ARRAY['issued', 'redeemed', 'retired'])[kind] AS lane,
                         sum(total)::bigint AS points
                  FROM chain_batch WHERE state = 'final' GROUP BY 1, 2""",
}


async def ledger_supply(tx: Tx) -> list[LedgerSupply]:
    """Every class with a programme, a transfer or a batch. `tx` must be repeatable_read."""
    sums: dict[str, dict[str, dict[str, int]]] = {}
    classes = {row["class"] for row in await tx.fetch("SELECT DISTINCT class FROM programme")}
    for name, query in _SUMS.items():
        sums[name] = {}
        for row in await tx.fetch(query):
            lanes = sums[name].setdefault(row["class"], dict.fromkeys(LANES, 0))
            lanes[row["lane"]] = row["points"]
        classes |= sums[name].keys()
    under_way: dict[str, list[tuple[bytes, int, int]]] = {}
    for row in await tx.fetch(
        """SELECT class, batch_id, kind, total FROM chain_batch
           WHERE state = 'prepared' ORDER BY batch_id"""
    ):
        under_way.setdefault(row["class"], []).append((row["batch_id"], row["kind"], row["total"]))
    nothing = dict.fromkeys(LANES, 0)
    return [
        LedgerSupply(
            points_class=each,
            ledger=sums["ledger"].get(each, nothing),
            unsealed=sums["unsealed"].get(each, nothing),
            sealed=sums["sealed"].get(each, nothing),
            settled=sums["settled"].get(each, nothing),
            open_batches=tuple(under_way.get(each, ())),
        )
        for each in sorted(classes)
    ]


async def batches_known(tx: Tx) -> int:
    """How many batches were ever prepared: two equal counts mean none was in between."""
    return int(await tx.fetchval("SELECT count(*) FROM chain_batch"))
