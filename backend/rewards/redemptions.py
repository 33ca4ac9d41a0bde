"""Redemptions in the database: agreed, claimed by whoever asks the supplier, settled once."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.kit.vault import Vault

State = Literal["held", "unknown", "posted", "voided", "refunded"]

CLAIM_LIFE = timedelta(seconds=20)
"""How long whoever asks a supplier keeps others from asking; longer than any call."""

RETRY_S = (2, 5, 15, 60, 300, 900)
"""When an unknown outcome is asked for again, by the number of tries; then every 15 minutes."""


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points against a reward; see `models.RedemptionRow` for the states."""

    redemption_id: UUID
    citizen_id: UUID
    reward_id: str
    points_class: str
    price_points: int
    state: State
    reason: str | None
    code_sealed: bytes | None
    valid_to: date | None
    tries: int
    created_at: datetime
    settled_at: datetime | None

    def code(self, vault: Vault) -> str | None:
        """What was handed over, opened; None before that and after erasure."""
        if self.code_sealed is None:
            return None
        return vault.open_sealed(self.code_sealed, _context(self.redemption_id)).decode()


_COLUMNS = (
    "redemption_id, citizen_id, reward_id, class AS points_class, price_points, state, reason,"
    " code_sealed, valid_to, tries, created_at, settled_at"
)


def _context(redemption_id: UUID) -> bytes:
    return f"redemption-code/{redemption_id}".encode()


async def agree(
    tx: Tx,
    *,
    redemption_id: UUID,
    citizen_id: UUID,
    reward_id: str,
    points_class: str,
    price_points: int,
    at: datetime,
) -> Redemption:
    """A new redemption whose points are held in the same commit, claimed by the caller."""
    row = await tx.fetchrow(
        f"""INSERT INTO redemption (redemption_id, citizen_id, reward_id, class, price_points,
                state, due_at, created_at)
            VALUES ($1, $2, $3, $4, $5, 'held', $6, $7)
            RETURNING {_COLUMNS}""",  # noqa: S608 - constants only
        redemption_id,
        citizen_id,
        reward_id,
        points_class,
        price_points,
        at,
        at,
    )
    if row is None:
        raise LookupError("an insert returns its row")
    return _redemption(row)


async def claim(tx: Tx, at: datetime, redemption_id: UUID | None = None) -> Redemption | None:
    """A redemption whose outcome is due to be asked for, claimed for a while; None if none is.

    With an id, that one or nothing.
    """
    row = await tx.fetchrow(
        f"""UPDATE redemption SET due_at = $2, tries = tries + 1
            WHERE redemption_id = (
                SELECT redemption_id FROM redemption
                WHERE state IN ('held', 'unknown') AND due_at <= $1
                  AND ($3::uuid IS NULL OR redemption_id = $3)
                ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING {_COLUMNS}""",  # noqa: S608 - constants only
        at,
        at + CLAIM_LIFE,
        redemption_id,
    )
    return None if row is None else _redemption(row)


async def mark_unknown(tx: Tx, redemption: Redemption, error: str, at: datetime) -> None:
    """Nobody knows what the supplier did: ask again later."""
    wait_s = RETRY_S[min(redemption.tries, len(RETRY_S)) - 1]
    await tx.execute(
        """UPDATE redemption SET state = 'unknown', reason = $2, due_at = $3
           WHERE redemption_id = $1 AND state IN ('held', 'unknown')""",
        redemption.redemption_id,
        error[:300],
        at + timedelta(seconds=wait_s),
    )


async def mark_posted(
    tx: Tx,
    vault: Vault,
    redemption: Redemption,
    *,
    code: str,
    supplier_ref: str,
    valid_to: date | None,
    at: datetime,
) -> None:
    """It was handed over: the code is kept sealed for its owner."""
    await tx.execute(
        """UPDATE redemption SET state = 'posted', reason = NULL, code_sealed = $2,
               supplier_ref = $3, valid_to = $4, settled_at = $5
           WHERE redemption_id = $1""",
        redemption.redemption_id,
        vault.seal(code.encode(), _context(redemption.redemption_id)),
        supplier_ref,
        valid_to,
        at,
    )


async def mark(tx: Tx, redemption_id: UUID, state: State, reason: str, at: datetime) -> None:
    """It ended as voided or refunded, and why."""
    await tx.execute(
        """UPDATE redemption SET state = $2, reason = $3, settled_at = $4
           WHERE redemption_id = $1""",
        redemption_id,
        state,
        reason,
        at,
    )


async def redemption_of(
    tx: Tx, redemption_id: UUID, *, citizen_id: UUID | None = None, lock: bool = False
) -> Redemption | None:
    """A redemption, of that citizen if one is named; `lock` holds its row until `tx` ends."""
    row = await tx.fetchrow(
        f"""SELECT {_COLUMNS} FROM redemption
            WHERE redemption_id = $1 AND ($2::uuid IS NULL OR citizen_id = $2)
            {"FOR UPDATE" if lock else ""}""",  # noqa: S608 - constants only
        redemption_id,
        citizen_id,
    )
    return None if row is None else _redemption(row)


async def redemptions_of(
    tx: Tx, citizen_id: UUID, *, before: UUID | None, limit: int
) -> list[Redemption]:
    """A citizen's redemptions, newest first, older than the redemption `before`."""
    rows = await tx.fetch(
        f"""SELECT {_COLUMNS} FROM redemption
            WHERE citizen_id = $1 AND ($2::uuid IS NULL OR redemption_id < $2)
            ORDER BY redemption_id DESC LIMIT $3""",  # noqa: S608 - constants only
        citizen_id,
        before,
        limit,
    )
    return [_redemption(row) for row in rows]


async def count_bought(tx: Tx, citizen_id: UUID, reward_id: str) -> int:
    """How many of a reward a citizen has or is getting."""
    return int(
        await tx.fetchval(
            """SELECT count(*) FROM redemption
               WHERE citizen_id = $1 AND reward_id = $2
                 AND state IN ('held', 'unknown', 'posted')""",
            citizen_id,
            reward_id,
        )
    )


def _redemption(row: Row) -> Redemption:
    return Redemption(**row)
