"""What the chain must allow before points are posted: the class is known, the budget suffices.

The government's key raises a programme's cap on chain to the envelope that the database holds;
the database never lets more be issued than that envelope, so the chain is the second lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from backend.chain import (
    ChainAccess,
    ChainTx,
    Driver,
    Purpose,
    Receipt,
    chain_terms,
    prepare,
)
from backend.chain.contracts import (
    DEBIT_CHAIN_SENDER,
    BatchHeader,
    budget_call,
    class_call,
    read_budget,
    read_class,
    set_budget_input,
    set_class_input,
)
from backend.kit.db import Database, Tx
from backend.kit.logs import log

GRANT_LOCK = 0x6772_616E_74
"""Advisory lock ("grant" in ASCII): two processes never prepare the same grant at once."""

GRANT_GAS = 150_000
GRANT_WAIT_S = 10

PURPOSE = "grant"


async def grant_terms(
    db: Database,
    access: ChainAccess,
    headers: Sequence[BatchHeader],
    totals: Mapping[str, int],
    now: datetime,
) -> bool:
    """Register the classes and raise the caps that these batches need.

    `totals` are the points about to be issued, by programme. True when nothing is missing any
    more; False when a grant is not final yet (call again later). A cap that cannot be raised
    far enough is logged and left: the chain will refuse the batch and say so.
    """
    wanted = [
        *await _missing_classes(access, sorted({header.class_ for header in headers})),
        *await _missing_caps(db, access, totals),
    ]
    if not wanted:
        return True
    terms = await chain_terms(access.client)
    async with db.transaction() as tx:
        await tx.lock(GRANT_LOCK)
        under_way = {
            row["ref"]
            for row in await tx.fetch(
                "SELECT ref FROM chain_tx WHERE purpose = $1 AND settled_at IS NULL", PURPOSE
            )
        }
        for ref, data in wanted:
            if ref not in under_way:
                await prepare(
                    tx,
                    access.keys.government,
                    terms,
                    to=access.points,
                    data=data,
                    gas=GRANT_GAS,
                    purpose=PURPOSE,
                    ref=ref,
                    now=now,
                )
    signer = access.keys.government
    driver = Driver(
        db, access.client, {signer.address: signer}, {PURPOSE: Purpose(on_settled=_settled)}
    )
    return await driver.settle_all(now, timeout_s=GRANT_WAIT_S)


async def _missing_classes(
    access: ChainAccess, classes: Sequence[str]
) -> list[tuple[str, bytes]]:
    outputs = await access.client.calls(access.points, [class_call(c) for c in classes])
    return [
        (f"class {class_}", set_class_input(class_, DEBIT_CHAIN_SENDER))
        for class_, output in zip(classes, outputs, strict=True)
        if read_class(output) == 0
    ]


async def _missing_caps(
    db: Database, access: ChainAccess, totals: Mapping[str, int]
) -> list[tuple[str, bytes]]:
    programmes = sorted(totals)
    outputs = await access.client.calls(access.points, [budget_call(p) for p in programmes])
    short = {
        programme: (cap, issued)
        for programme, output in zip(programmes, outputs, strict=True)
        for cap, issued in [read_budget(output)]
        if issued + totals[programme] > cap
    }
    if not short:
        return []
    async with db.transaction(readonly=True) as tx:
        envelopes = await _envelopes(tx, list(short))
    wanted: list[tuple[str, bytes]] = []
    for programme, (cap, issued) in short.items():
        envelope = envelopes.get(programme, 0)
        if envelope < issued + totals[programme]:
            log(
                "budget.exceeded_on_chain",
                programme=programme,
                cap=cap,
                issued=issued,
                wanted=totals[programme],
                envelope=envelope,
            )
        if envelope > cap:
            wanted.append((f"budget {programme}", set_budget_input(programme, envelope)))
    return wanted


async def _envelopes(tx: Tx, programmes: Sequence[str]) -> dict[str, int]:
    """The sum of a programme's envelopes over its periods: issued on chain never starts anew."""
    rows = await tx.fetch(
        """SELECT programme_id, sum(envelope)::bigint AS envelope FROM budget
           WHERE programme_id = ANY($1::text[]) GROUP BY programme_id""",
        list(programmes),
    )
    return {row["programme_id"]: row["envelope"] for row in rows}


async def _settled(tx: Tx, done: ChainTx, receipt: Receipt | None) -> None:
    if done.state != "final":
        log("grant.refused_by_chain", grant=done.ref, reason=done.reason)
