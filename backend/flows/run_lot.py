"""An operator's papers: prices and shares are checked before they count.

A contract that the rail cannot execute is refused with the reasons and a contract it can.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.flows.park_stay import operators_lot
from backend.kit.db import Database
from backend.kit.logs import log
from backend.kit.needs import DocumentError
from backend.kit.problems import Problem
from backend.parking import assets, split, tariff, terms
from backend.payments import RailLimits, limits_of, linter


async def publish_tariff(
    db: Database, operator_id: str, lot_id: str, document: Mapping[str, Any], now: datetime
) -> tariff.Tariff:
    """Put prices in force. Raises Problem 422 by the reader's reason, else as `terms`."""
    try:
        read = tariff.read_tariff(document)
    except DocumentError as error:
        raise _refused(error) from error
    async with db.transaction() as tx:
        lot = await operators_lot(tx, operator_id, lot_id)
        await terms.publish_tariff(tx, lot, read, now)
    log("tariff_published", lot_id=lot_id, version=read.version)
    return read


async def publish_contract(
    db: Database, operator_id: str, lot_id: str, document: Mapping[str, Any], now: datetime
) -> split.SplitContract:
    """Put shares in force that the rail can execute.

    Raises Problem 409 `rail-cannot-execute` with `flaws` and `proposal` (a whole contract, or
    null where no party has a merchant account), 422 by the reader's reason, else as `terms`.
    """
    try:
        read = split.read_contract(document)
    except DocumentError as error:
        raise _refused(error) from error
    limits = limits_of(read.rail)
    if limits is None:
        raise Problem(422, "unknown-rail", "没有接入这个支付渠道。", rail=read.rail)
    async with db.transaction() as tx:
        lot = await operators_lot(tx, operator_id, lot_id)
        known = await assets.parties(tx, [share.party_id for share in read.shares])
        merchants = {party_id for party_id, party in known.items() if party.merchant}
        _refuse_unless_executable(read, document, merchants, limits)
        await terms.publish_contract(tx, lot, read, now)
    log("contract_published", lot_id=lot_id, version=read.version)
    return read


def _refuse_unless_executable(
    read: split.SplitContract,
    document: Mapping[str, Any],
    merchants: set[str],
    limits: RailLimits,
) -> None:
    parts = [linter.Part(*share) for share in read.shares]
    flaws = linter.lint(parts, read.merchant_id, merchants, limits)
    if not flaws:
        return
    proposed = linter.propose(parts, read.merchant_id, merchants, limits)
    proposal = None
    if proposed is not None:
        merchant_id, made = proposed
        shares = [{"party": p.party_id, "share_bp": p.share_bp, "via": p.via} for p in made]
        proposal = {**document, "merchant": merchant_id, "shares": shares}
    raise Problem(
        409,
        "rail-cannot-execute",
        "支付渠道无法执行该合同:" + ";".join(flaw.detail for flaw in flaws),
        flaws=[{"name": flaw.name, "detail": flaw.detail} for flaw in flaws],
        proposal=proposal,
    )


def _refused(error: DocumentError) -> Problem:
    return Problem(422, error.name, error.detail)
