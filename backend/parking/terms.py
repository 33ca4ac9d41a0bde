"""Which price and which division of money count on a day: versions that follow one another."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from backend.kit.db import Tx
from backend.kit.problems import Problem
from backend.parking.assets import Lot
from backend.parking.split import SPACE_OWNER, SplitContract, read_contract
from backend.parking.tariff import Tariff, read_tariff

_SAME_LOT = "文件中的停车场编号与所登记的不同。"


async def publish_tariff(tx: Tx, lot: Lot, tariff: Tariff, now: datetime) -> None:
    """Put a price version in force from its first day; an open earlier version ends there.

    The same document again changes nothing. Raises Problem: 422 `bad-tariff`, 409
    `versions-overlap`, `version-taken`.
    """
    if tariff.lot != lot.lot_id:
        raise Problem(422, "bad-tariff", _SAME_LOT, lot_id=lot.lot_id)
    values = (tariff.document, tariff.digest, tariff.day_from, tariff.day_to, now)
    await _enter_version(tx, "tariff", lot, tariff.version, tariff.digest, tariff.day_from)
    try:
        await tx.execute(
            """INSERT INTO tariff (lot_no, version, document, digest, day_from, day_to,
                                   published_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (lot_no, version) DO NOTHING""",
            lot.lot_no,
            tariff.version,
            *values,
        )
    except asyncpg.ExclusionViolationError as error:
        raise _overlap(lot, tariff.version) from error


async def publish_contract(tx: Tx, lot: Lot, contract: SplitContract, now: datetime) -> None:
    """Put a split contract in force, as `publish_tariff` does a price. The linter ran before.

    Raises Problem: 422 `bad-contract`, `unknown-party`, 409 as above.
    """
    if contract.lot != lot.lot_id:
        raise Problem(422, "bad-contract", _SAME_LOT, lot_id=lot.lot_id)
    await _enter_version(
        tx, "split_contract", lot, contract.version, contract.digest, contract.day_from
    )
    key = (lot.lot_no, contract.version)
    try:
        tag = await tx.execute(
            """INSERT INTO split_contract (lot_no, version, document, digest, merchant_id,
                                           without_space, day_from, day_to, published_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
               ON CONFLICT (lot_no, version) DO NOTHING""",
            *key,
            contract.document,
            contract.digest,
            contract.merchant_id,
            contract.without_space,
            contract.day_from,
            contract.day_to,
            now,
        )
        if tag == "INSERT 0 1":
            await tx.executemany(
                """INSERT INTO contract_share (lot_no, version, n, party_id, share_bp, via)
                   VALUES ($1, $2, $3, $4, $5, $6)""",
                [
                    (
                        *(*key, n, None if share.party_id == SPACE_OWNER else share.party_id),
                        *(share.share_bp, share.via),
                    )
                    for n, share in enumerate(contract.shares)
                ],
            )
    except asyncpg.ExclusionViolationError as error:
        raise _overlap(lot, contract.version) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise Problem(422, "unknown-party", "合同中有未登记的一方。", lot_id=lot.lot_id) from error


async def tariffs_of(tx: Tx, lot_no: int) -> list[Tariff]:
    """A lot's price versions in the order of their days."""
    rows = await tx.fetch(
        "SELECT document, day_to FROM tariff WHERE lot_no = $1 ORDER BY day_from", lot_no
    )
    return [_tariff(row["document"], row["day_to"]) for row in rows]


async def tariffs_of_lots(tx: Tx, lot_nos: Iterable[int]) -> dict[int, list[Tariff]]:
    """The price versions of several lots."""
    rows = await tx.fetch(
        """SELECT lot_no, document, day_to FROM tariff WHERE lot_no = ANY($1::bigint[])
           ORDER BY lot_no, day_from""",
        list(lot_nos),
    )
    found: dict[int, list[Tariff]] = {}
    for row in rows:
        found.setdefault(row["lot_no"], []).append(_tariff(row["document"], row["day_to"]))
    return found


async def contracts_of(tx: Tx, lot_no: int) -> list[SplitContract]:
    """A lot's split contracts in the order of their days, as they were signed."""
    rows = await tx.fetch(
        "SELECT document FROM split_contract WHERE lot_no = $1 ORDER BY day_from", lot_no
    )
    return [_contract(row["document"]) for row in rows]


def in_force(versions: list[Tariff], day: date) -> Tariff | None:
    """The version whose days hold `day`."""
    for each in versions:
        if each.day_from <= day and (each.day_to is None or day < each.day_to):
            return each
    return None


async def contract_on(tx: Tx, lot_no: int, day: date) -> SplitContract | None:
    """The split contract whose days hold `day`, or None."""
    document = await tx.fetchval(
        """SELECT document FROM split_contract
           WHERE lot_no = $1 AND day_from <= $2 AND (day_to IS NULL OR $2 < day_to)""",
        lot_no,
        day,
    )
    return None if document is None else _contract(document)


async def rail_on(tx: Tx, lot_no: int, day: date) -> str:
    """The rail over which a lot is paid on a day. Raises Problem 409 `no-contract`."""
    contract = await contract_on(tx, lot_no, day)
    if contract is None:
        raise Problem(409, "no-contract", "该停车场当日没有生效的分账合同。")
    return contract.rail


async def _enter_version(
    tx: Tx, table: str, lot: Lot, version: int, digest: bytes, day_from: date
) -> None:
    """Refuse another document under a known version; end the open version before this one."""
    await tx.fetchval("SELECT 1 FROM parking_lot WHERE lot_no = $1 FOR UPDATE", lot.lot_no)
    known = await tx.fetchval(
        f"SELECT digest FROM {table} WHERE lot_no = $1 AND version = $2",  # noqa: S608 - ours
        lot.lot_no,
        version,
    )
    if known is not None and known != digest:
        raise Problem(
            409,
            "version-taken",
            "该版本号已用于另一份文件;新的内容须使用新的版本号。",
            lot_id=lot.lot_id,
            version=version,
        )
    if known is None:
        await tx.execute(
            f"""UPDATE {table} SET day_to = $2
                WHERE lot_no = $1 AND day_to IS NULL AND day_from < $2""",  # noqa: S608 - ours
            lot.lot_no,
            day_from,
        )


def _overlap(lot: Lot, version: int) -> Problem:
    return Problem(
        409,
        "versions-overlap",
        "生效日期与该停车场已有的版本重叠。",
        lot_id=lot.lot_id,
        version=version,
    )


@lru_cache(maxsize=2_048)
def _tariff(document: bytes, day_to: date | None) -> Tariff:
    """A stored version; its end is the stored one, which a successor may have brought forward."""
    return replace(read_tariff(document), day_to=day_to)


@lru_cache(maxsize=2_048)
def _contract(document: bytes) -> SplitContract:
    return read_contract(document)
