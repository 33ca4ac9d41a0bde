"""The log in the database: append leaves, sign heads, answer proofs. Nothing here commits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from backend.kit.db import Row, Tx
from backend.proof import checkpoint, merkle
from backend.proof.merkle import NodeId


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head of the log: size in leaves, 32-byte root, the note."""

    size: int
    root: bytes
    note: str


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A stored leaf. Of a kind 2 or 3 leaf everything from `act` on is None."""

    index: int
    kind: int
    ref: UUID
    leaf_hash: bytes
    act: str | None
    points_class: str | None
    programme: str | None
    rule: str | None
    rule_version: int | None
    reason: int | None
    account: bytes | None
    amount: int | None
    city_day: date | None


@dataclass(frozen=True, slots=True)
class NewLeaf:
    """A leaf about to get its index: its row, and the seed its salts follow from."""

    kind: int
    ref: UUID
    leaf_hash: bytes
    seed: bytes
    terms: Mapping[str, Any]
    """The columns act … city_day of a transfer, empty for other kinds."""


_LEAF_COLUMNS = (
    "index",
    "kind",
    "ref",
    "leaf_hash",
    "act",
    "class",
    "programme",
    "rule",
    "rule_version",
    "reason",
    "account",
    "amount",
    "city_day",
)
_TERMS = _LEAF_COLUMNS[4:]
_SELECT_LEAF = f"SELECT {', '.join(_LEAF_COLUMNS)} FROM leaf"  # noqa: S608 - constants only


async def size(tx: Tx) -> int:
    """How many leaves the log has: indexes are dense from 0."""
    return int(await tx.fetchval("SELECT coalesce(max(index) + 1, 0) FROM leaf"))


async def append_leaves(tx: Tx, new: Sequence[NewLeaf], sealed_at: datetime) -> tuple[int, bytes]:
    """Give leaves the next indexes and store them with every node that became whole.

    The caller holds the sealer's lock. Returns the new (size, root).
    """
    start = await size(tx)
    edge = await _nodes(tx, merkle.edge_ids(start))
    growth = merkle.append(start, edge, [leaf.leaf_hash for leaf in new])
    await tx.copy(
        "leaf",
        (*_LEAF_COLUMNS, "sealed_at"),
        [
            (
                index,
                leaf.kind,
                leaf.ref,
                leaf.leaf_hash,
                *(leaf.terms.get(name) for name in _TERMS),
                sealed_at,
            )
            for index, leaf in enumerate(new, start)
        ],
    )
    await tx.copy(
        "leaf_secret",
        ("index", "seed"),
        [(index, leaf.seed) for index, leaf in enumerate(new, start)],
    )
    await tx.copy(
        "log_node",
        ("level", "index", "hash"),
        [(level, index, value) for (level, index), value in growth.nodes.items()],
    )
    return growth.size, growth.root


async def add_checkpoint(tx: Tx, signed: Checkpoint, signed_at: datetime) -> None:
    """Store a signed head."""
    await tx.execute(
        "INSERT INTO checkpoint (size, root, note, signed_at) VALUES ($1, $2, $3, $4)",
        signed.size,
        signed.root,
        signed.note,
        signed_at,
    )


async def latest_checkpoint(tx: Tx) -> Checkpoint | None:
    """The newest signed head, None while the log is empty."""
    row = await tx.fetchrow("SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1")
    return None if row is None else Checkpoint(row["size"], row["root"], row["note"])


async def checkpoint_at(tx: Tx, size: int) -> Checkpoint | None:
    """The signed head of exactly that size."""
    row = await tx.fetchrow("SELECT size, root, note FROM checkpoint WHERE size = $1", size)
    return None if row is None else Checkpoint(row["size"], row["root"], row["note"])


async def leaves_between(tx: Tx, leaf_from: int, leaf_to: int) -> list[LeafRow]:
    """The leaves of [leaf_from, leaf_to), in order."""
    rows = await tx.fetch(
        _SELECT_LEAF + " WHERE index >= $1 AND index < $2 ORDER BY index", leaf_from, leaf_to
    )
    return [_leaf(row) for row in rows]


async def leaf_of(tx: Tx, ref: UUID) -> LeafRow | None:
    """The leaf of a transfer or enactment, None before it is sealed."""
    row = await tx.fetchrow(_SELECT_LEAF + " WHERE ref = $1", ref)
    return None if row is None else _leaf(row)


async def leaf_at(tx: Tx, index: int) -> LeafRow | None:
    """The leaf of an index, None beyond the log's end."""
    row = await tx.fetchrow(_SELECT_LEAF + " WHERE index = $1", index)
    return None if row is None else _leaf(row)


async def seed_of(tx: Tx, index: int) -> bytes | None:
    """The seed of a leaf's salts, None once it was erased."""
    return await tx.fetchval("SELECT seed FROM leaf_secret WHERE index = $1", index)


async def root_at(tx: Tx, size: int) -> bytes:
    """The root of the log's first `size` leaves. Raises KeyError beyond the log's end."""
    ids = merkle.edge_ids(size)
    nodes = await _nodes(tx, ids)
    return merkle.fold([nodes[node] for node in ids])


async def inclusion(tx: Tx, index: int, size: int) -> list[bytes]:
    """The inclusion path of a leaf under the head of that size, O(log n) rows.

    Raises ValueError when index ≥ size, KeyError when the log is shorter than `size`.
    """
    ranges = merkle.inclusion_ranges(index, size)
    return merkle.path_of(ranges, await _nodes(tx, merkle.ids_of(ranges)))


async def consistency(tx: Tx, first: int, second: int) -> list[bytes]:
    """The consistency path between two sizes, O(log n) rows.

    Raises ValueError unless 0 < first ≤ second, KeyError when the log is shorter than `second`.
    """
    ranges = merkle.consistency_ranges(first, second)
    return merkle.path_of(ranges, await _nodes(tx, merkle.ids_of(ranges)))


async def _nodes(tx: Tx, ids: Iterable[NodeId]) -> dict[NodeId, bytes]:
    wanted = list(ids)
    if not wanted:
        return {}
    rows = await tx.fetch(
        """SELECT n.level, n.index, n.hash
           FROM unnest($1::smallint[], $2::bigint[]) AS w (level, index)
           JOIN log_node n USING (level, index)""",
        [level for level, _ in wanted],
        [index for _, index in wanted],
    )
    return {(row["level"], row["index"]): row["hash"] for row in rows}


def _leaf(row: Row) -> LeafRow:
    return LeafRow(*(row[name] for name in _LEAF_COLUMNS))


@dataclass(frozen=True, slots=True)
class PublishedTrust:
    """A stored trust file: its version, bytes, and the root key's signature line if it has one."""

    version: int
    document: bytes
    signature: str | None


async def latest_trust(tx: Tx) -> PublishedTrust | None:
    """The newest trust file, None before the first is published."""
    row = await tx.fetchrow(
        "SELECT version, document, signature FROM trust ORDER BY version DESC LIMIT 1"
    )
    if row is None:
        return None
    return PublishedTrust(row["version"], row["document"], row["signature"])


async def add_trust(tx: Tx, trust: PublishedTrust, published_at: datetime) -> None:
    """Store a new version of the trust file."""
    await tx.execute(
        "INSERT INTO trust (version, document, signature, published_at) VALUES ($1, $2, $3, $4)",
        trust.version,
        trust.document,
        trust.signature,
        published_at,
    )


def sign_checkpoint(
    origin: str,
    size: int,
    root: bytes,
    key_name: str,
    public_key: bytes,
    sign: Callable[[bytes], bytes],
) -> Checkpoint:
    """A head signed by one key; `sign` gives r ‖ s over the text."""
    text = checkpoint.checkpoint_text(origin, size, root)
    line = checkpoint.signature_line(key_name, public_key, sign(text))
    return Checkpoint(size, root, checkpoint.build_note(text, [line]))
