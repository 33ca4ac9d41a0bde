"""Which committed rows may get their leaf now."""

from uuid import UUID

from backend.kit.db import Tx

_TRANSFER = 1

# Whatever is visible and waiting is taken. No highest id is remembered: a row that commits late is
# simply taken later, where a mark would have passed over it.
#
# The chain refuses a redemption beyond the balance, a retirement never. So what was retired while
# points were held waits until the redemption is posted, whose older id then comes first, or voided.
# All of it is one statement, hence one snapshot.
_WAITING = """
    WITH held_back AS MATERIALIZED (
        SELECT t.transfer_id
        FROM hold AS h JOIN transfer AS t ON t.citizen_id = h.citizen_id
             AND t.class = h.class AND t.transfer_id > h.hold_id
        WHERE h.state = 'open' AND t.act IN ('reverse', 'expire', 'erase'))
    SELECT kind, ref FROM (
        (SELECT kind, ref FROM unsealed WHERE kind <> $1 AND refused IS NULL LIMIT $2)
        UNION ALL
        (SELECT kind, ref FROM unsealed
         WHERE kind = $1 AND refused IS NULL AND ref NOT IN (SELECT transfer_id FROM held_back)
         ORDER BY ref LIMIT $2)
    ) AS w
    ORDER BY kind = $1, ref LIMIT $2"""


async def rows_to_seal(tx: Tx, limit: int) -> list[tuple[int, UUID]]:
    """Up to `limit` (kind, ref) of committed rows that get a leaf now, enactments first."""
    return [(row["kind"], row["ref"]) for row in await tx.fetch(_WAITING, _TRANSFER, limit)]
