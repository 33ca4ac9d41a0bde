"""a party's statement → its own check → its co-signature, or its objection to one line."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from backend import partners
from backend.kit.db import Database, Row, Tx
from backend.kit.ids import new_id
from backend.kit.logs import log
from backend.kit.problems import Problem
from backend.kit.sm import Sm2PublicKey
from backend.parking import Lot, Party, assets, terms
from backend.payments import settling, statement


@dataclass(frozen=True, slots=True)
class PartyDay:
    """A party's statement of a lot's day with everything that it is checked by."""

    key: statement.StatementKey
    account: bytes
    count: int
    total_fen: int
    root: bytes
    tx_hash: bytes | None
    block: int | None
    cosignature: Row | None
    lines: tuple[statement.Line, ...]
    contracts: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """What the party signs."""
        return statement.cosigned_text(self.key, self.count, self.total_fen, self.root)


@dataclass(frozen=True, slots=True)
class Which:
    """Which statement is meant."""

    party_id: str
    lot_id: str
    day: date
    part: int = 0


async def read_statement(tx: Tx, which: Which) -> PartyDay:
    """A statement with its lines and contracts. Raises Problem 404 `unknown-statement`."""
    lot, row = await _statement(tx, which)
    lines = await settling.lines_of(tx, lot.lot_no, which.day, which.part, which.party_id)
    versions = {line.contract_version for line in lines}
    return PartyDay(
        key=statement.StatementKey(lot.lot_id, which.day, which.part, which.party_id),
        account=row["account"],
        count=row["count"],
        total_fen=row["total_fen"],
        root=row["root"],
        tx_hash=row["tx_hash"],
        block=row["block"],
        cosignature=await _cosignature(tx, lot, which),
        lines=tuple(lines),
        contracts=tuple(
            each.document
            for each in await terms.contracts_of(tx, lot.lot_no)
            if each.version in versions
        ),
    )


async def _statement(tx: Tx, which: Which) -> tuple[Lot, Row]:
    lot = await assets.find_lot(tx, which.lot_id)
    row = await tx.fetchrow(
        """SELECT p.count, p.total_fen, p.root, a.account, s.tx_hash, s.block
           FROM party_statement AS p JOIN settlement AS s USING (lot_no, day, part)
           JOIN party AS a USING (party_id)
           WHERE p.lot_no = $1 AND p.day = $2 AND p.part = $3 AND p.party_id = $4""",
        lot.lot_no,
        which.day,
        which.part,
        which.party_id,
    )
    if row is None:
        raise Problem(404, "unknown-statement", "没有这份对账单。")
    return lot, row


async def _cosignature(tx: Tx, lot: Lot, which: Which) -> Row | None:
    return await tx.fetchrow(
        """SELECT key_id, signature, cosigned_at FROM party_cosignature
           WHERE lot_no = $1 AND day = $2 AND part = $3 AND party_id = $4""",
        lot.lot_no,
        which.day,
        which.part,
        which.party_id,
    )


async def cosign_settlement(
    db: Database, city_tz: str, which: Which, signature: bytes, now: datetime
) -> Row:
    """Keep the first valid SM2 signature (DER) over a statement's text; it stands for ever.

    A party signs with the statement keys of its partner account that are valid on the day.
    Raises Problem: 404 `unknown-statement`, 409 `no-statement-key`, `statement-disputed` (a line
    of it is), 422 `bad-cosignature`.
    """
    async with db.transaction() as tx:
        lot, row = await _statement(tx, which)
        stands = await _cosignature(tx, lot, which)
        if stands is not None:
            return stands
        if await _disputed(tx, lot, which):
            raise Problem(409, "statement-disputed", "该对账单有异议尚未处理,处理后再签署。")
        party = (await assets.parties(tx, [which.party_id]))[which.party_id]
        keys = await _keys(tx, party, which.day, city_tz)
        key = statement.StatementKey(lot.lot_id, which.day, which.part, which.party_id)
        text = statement.cosigned_text(key, row["count"], row["total_fen"], row["root"])
        signer = next(
            (k for k in keys if Sm2PublicKey(k.public_key).verify_der(signature, text)), None
        )
        if signer is None:
            raise Problem(422, "bad-cosignature", "签名与本平台的对账单不符。")
        await tx.execute(
            """INSERT INTO party_cosignature (lot_no, day, part, party_id, key_id, signature,
                                              cosigned_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING""",
            lot.lot_no,
            which.day,
            which.part,
            which.party_id,
            signer.key_id,
            signature,
            now,
        )
        kept = await _cosignature(tx, lot, which)
    if kept is None:
        raise LookupError("a co-signature that was just written")
    log("settlement_cosigned", lot_id=lot.lot_id, day=which.day, party_id=which.party_id)
    return kept


async def _keys(tx: Tx, party: Party, day: date, city_tz: str) -> list[partners.PublicKey]:
    keys: list[partners.PublicKey] = []
    if party.partner_id is not None:
        keys = await partners.statement_keys(tx, party.partner_id, day, city_tz)
    if not keys:
        raise Problem(409, "no-statement-key", "该日没有有效的对账单密钥,请先登记。")
    return keys


async def _disputed(tx: Tx, lot: Lot, which: Which) -> bool:
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM line_dispute AS d
                   JOIN settlement_line AS l USING (source_id, party_id)
                   WHERE l.lot_no = $1 AND l.day = $2 AND l.part = $3 AND l.party_id = $4
                     AND d.resolved_at IS NULL)""",
            lot.lot_no,
            which.day,
            which.part,
            which.party_id,
        )
    )


async def dispute_line(
    db: Database, which: Which, source_id: UUID, reason: str, now: datetime
) -> UUID:
    """Object to one line of a statement that is not signed yet; the dispute's id.

    Raises Problem: 404 `unknown-statement`, `unknown-line`, 409 `statement-signed`,
    `line-disputed`.
    """
    dispute_id = new_id()
    async with db.transaction() as tx:
        lot, _ = await _statement(tx, which)
        if await _cosignature(tx, lot, which) is not None:
            raise Problem(409, "statement-signed", "该对账单已签署,不能再对其明细提出异议。")
        known = await tx.fetchval(
            """SELECT 1 FROM settlement_line
               WHERE source_id = $1 AND party_id = $2 AND lot_no = $3 AND day = $4 AND part = $5""",
            source_id,
            which.party_id,
            lot.lot_no,
            which.day,
            which.part,
        )
        if known is None:
            raise Problem(404, "unknown-line", "该对账单没有这一行。", source_id=str(source_id))
        try:
            async with tx.savepoint():
                await tx.execute(
                    """INSERT INTO line_dispute (dispute_id, party_id, source_id, reason, opened_at)
                       VALUES ($1, $2, $3, $4, $5)""",
                    dispute_id,
                    which.party_id,
                    source_id,
                    reason,
                    now,
                )
        except asyncpg.UniqueViolationError as error:
            raise Problem(409, "line-disputed", "这一行已提出过异议。") from error
    log("line_disputed", lot_id=lot.lot_id, day=which.day, dispute_id=dispute_id)
    return dispute_id


async def resolve_dispute(
    db: Database, operator_id: str, dispute_id: UUID, resolution: str, now: datetime
) -> None:
    """The lot's operator answers an objection; what turns out wrong is set right by a refund.

    Raises Problem 404 `unknown-dispute`, 409 `dispute-resolved`.
    """
    async with db.transaction() as tx:
        row = await tx.fetchrow(
            """SELECT d.resolved_at FROM line_dispute AS d
               JOIN settlement_line AS l USING (source_id, party_id)
               JOIN parking_lot AS p ON p.lot_no = l.lot_no
               WHERE d.dispute_id = $1 AND p.operator_id = $2""",
            dispute_id,
            operator_id,
        )
        if row is None:
            raise Problem(404, "unknown-dispute", "没有这项异议。")
        if row["resolved_at"] is not None:
            raise Problem(409, "dispute-resolved", "这项异议已处理。")
        await tx.execute(
            "UPDATE line_dispute SET resolved_at = $2, resolution = $3 WHERE dispute_id = $1",
            dispute_id,
            now,
            resolution,
        )
    log("dispute_resolved", dispute_id=dispute_id)
