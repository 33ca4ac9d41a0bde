"""Daily statements: the digests a partner's events had on one day, as a tree (formats.md §14).

The tree stands over all digests in ascending byte order, so it is built once, when the day is
over. It is kept in parts of 1,024 digests: a part is a complete subtree (the last one a smaller
tree), so the parts' roots form a tree of the same shape, and a path needs one part and the roots.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.kit.db import Tx
from backend.kit.sm import sm3_after
from backend.proof import merkle
from backend.proof.verify import statement_text

DIGEST_BYTES = 32
PART_DIGESTS = 1_024
"""A power of two: only then is a part a subtree of the whole."""

_leaf_hash = sm3_after(b"\x00")


@dataclass(frozen=True, slots=True)
class Part:
    """The `n`th 1,024 digests, one after another, and the root over them."""

    n: int
    digests: bytes
    root: bytes

    @property
    def listed(self) -> list[bytes]:
        """The digests, each by itself."""
        return _split(self.digests)


@dataclass(frozen=True, slots=True)
class StatementTree:
    """What the digests of a day come to."""

    count: int
    root: bytes
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A closed day of a partner: `text` is what it co-signs."""

    partner_id: str
    day: date
    count: int
    root: bytes

    @property
    def text(self) -> bytes:
        """What a partner co-signs for a day (formats.md §14)."""
        return statement_text(self.partner_id, self.day.isoformat(), self.count, self.root)


@dataclass(frozen=True, slots=True)
class Cosignature:
    """The partner's signature (DER) over a statement's text, and the key it was made with."""

    key_id: str
    signature: bytes
    cosigned_at: datetime


@dataclass(frozen=True, slots=True)
class StatementPath:
    """Where a digest stands in its statement, and the hashes that lead to the root."""

    index: int
    path: tuple[bytes, ...]


def build_tree(digests: bytes) -> StatementTree:
    """The tree over digests that stand in ascending order, one after another.

    About two hashes an event: a day of 10^6 events takes seconds, so callers with an event loop
    give it a thread. Raises ValueError on digests out of order, repeated or cut off.
    """
    if len(digests) % DIGEST_BYTES:
        raise ValueError("a digest is cut off")
    parts: list[Part] = []
    last = b""
    for start in range(0, len(digests), PART_DIGESTS * DIGEST_BYTES):
        block = digests[start : start + PART_DIGESTS * DIGEST_BYTES]
        listed = _split(block)
        for digest in listed:
            if digest <= last:
                raise ValueError("the digests are not in ascending order, each once")
            last = digest
        parts.append(Part(len(parts), block, _grown(listed).root))
    root = merkle.append(0, {}, [part.root for part in parts]).root
    return StatementTree(len(digests) // DIGEST_BYTES, root, tuple(parts))


def path_in(part: Part, roots: Sequence[bytes], digest: bytes) -> StatementPath | None:
    """The path of a digest of this part, given the roots of all parts; None if it is not there."""
    listed = part.listed
    place = bisect_left(listed, digest)
    if place == len(listed) or listed[place] != digest:
        return None
    inner = merkle.path_of(merkle.inclusion_ranges(place, len(listed)), _grown(listed).nodes)
    outer = merkle.path_of(
        merkle.inclusion_ranges(part.n, len(roots)), merkle.append(0, {}, roots).nodes
    )
    return StatementPath(part.n * PART_DIGESTS + place, (*inner, *outer))


def _split(block: bytes) -> list[bytes]:
    return [block[at : at + DIGEST_BYTES] for at in range(0, len(block), DIGEST_BYTES)]


def _grown(digests: Sequence[bytes]) -> merkle.Growth:
    return merkle.append(0, {}, [_leaf_hash(digest) for digest in digests])


async def add_statement(
    tx: Tx, partner_id: str, day: date, tree: StatementTree, now: datetime
) -> Statement:
    """Write the closed day. The caller holds the day, so that nobody else writes it."""
    await tx.execute(
        """INSERT INTO statement (partner_id, day, count, root, closed_at)
           VALUES ($1, $2, $3, $4, $5)""",
        partner_id,
        day,
        tree.count,
        tree.root,
        now,
    )
    await tx.copy(
        "statement_part",
        ["partner_id", "day", "n", "first_digest", "digests", "root"],
        [
            (partner_id, day, part.n, part.digests[:DIGEST_BYTES], part.digests, part.root)
            for part in tree.parts
        ],
    )
    return Statement(partner_id, day, tree.count, tree.root)


async def statement_of(tx: Tx, partner_id: str, day: date) -> Statement | None:
    """The statement of a day that has been closed."""
    row = await tx.fetchrow(
        "SELECT count, root FROM statement WHERE partner_id = $1 AND day = $2", partner_id, day
    )
    return None if row is None else Statement(partner_id, day, row["count"], row["root"])


async def statement_part(tx: Tx, partner_id: str, day: date, n: int) -> Part | None:
    """One part of a statement; None beyond the last."""
    row = await tx.fetchrow(
        """SELECT n, digests, root FROM statement_part
           WHERE partner_id = $1 AND day = $2 AND n = $3""",
        partner_id,
        day,
        n,
    )
    return None if row is None else Part(**row)


async def statement_path(tx: Tx, partner_id: str, day: date, digest: bytes) -> StatementPath | None:
    """The path from an event's digest to the root of its day; None if it is not in there."""
    row = await tx.fetchrow(
        """SELECT n, digests, root FROM statement_part
           WHERE partner_id = $1 AND day = $2 AND first_digest <= $3
           ORDER BY n DESC LIMIT 1""",
        partner_id,
        day,
        digest,
    )
    if row is None:
        return None
    roots = await tx.fetch(
        "SELECT root FROM statement_part WHERE partner_id = $1 AND day = $2 ORDER BY n",
        partner_id,
        day,
    )
    return path_in(Part(**row), [each["root"] for each in roots], digest)


async def add_cosignature(
    tx: Tx, statement: Statement, key_id: str, signature: bytes, now: datetime
) -> Cosignature:
    """Keep a co-signature; where one stands already, that one is returned and nothing changes."""
    await tx.execute(
        """INSERT INTO cosignature (partner_id, day, key_id, signature, cosigned_at)
           VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING""",
        statement.partner_id,
        statement.day,
        key_id,
        signature,
        now,
    )
    stands = await cosignature_of(tx, statement.partner_id, statement.day)
    if stands is None:
        raise LookupError("a co-signature that was just written is gone")
    return stands


async def cosignature_of(tx: Tx, partner_id: str, day: date) -> Cosignature | None:
    """The partner's co-signature of a day, if there is one."""
    row = await tx.fetchrow(
        """SELECT key_id, signature, cosigned_at FROM cosignature
           WHERE partner_id = $1 AND day = $2""",
        partner_id,
        day,
    )
    return None if row is None else Cosignature(**row)
