"""The tree: structure and proofs of RFC 9162 §2.1, with the hash as a parameter.

The hash is SM3, which the registry of RFC 9162 does not hold, so only the *structure* is that
of the RFC; SHA-256 is accepted so that public vectors can be run. Every function is pure.
A tree of `size` leaves is known by its complete subtrees: node (level, index) covers the
leaves [index·2^level, (index+1)·2^level).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.kit.sm import sm3

Hash = Callable[[bytes], bytes]
NodeId = tuple[int, int]
"""(level, index) of one complete subtree."""

PATH_MAX = 64
"""No path is longer: a tree of 2^63 leaves is beyond every index we can write."""


def empty_root(h: Hash = sm3) -> bytes:
    """The root of a tree without leaves: H("")."""
    return h(b"")


def leaf_hash(data: bytes, h: Hash = sm3) -> bytes:
    """H(0x00 ‖ data), 32 bytes."""
    return h(b"\x00" + data)


def node_hash(left: bytes, right: bytes, h: Hash = sm3) -> bytes:
    """H(0x01 ‖ left ‖ right), 32 bytes."""
    return h(b"\x01" + left + right)


@dataclass(frozen=True, slots=True)
class Growth:
    """What appending leaves adds: every complete subtree that became whole, and the new edge."""

    size: int
    nodes: dict[NodeId, bytes]
    edge: dict[NodeId, bytes]
    root: bytes


def edge_ids(size: int) -> list[NodeId]:
    """The complete subtrees whose hashes, folded, give the root; largest (leftmost) first."""
    levels = reversed(range(size.bit_length()))
    return [(level, (size >> level) - 1) for level in levels if size >> level & 1]


def append(
    size: int, edge: Mapping[NodeId, bytes], leaf_hashes: Sequence[bytes], h: Hash = sm3
) -> Growth:
    """Add leaves to a tree of `size` leaves known by its edge; amortised two hashes a leaf.

    Raises KeyError when `edge` lacks a node of `edge_ids(size)`.
    """
    grown = size + len(leaf_hashes)
    nodes: dict[NodeId, bytes] = {}
    start, row = size, list(leaf_hashes)
    level = 0
    while row:
        for offset, value in enumerate(row, start):
            nodes[level, offset] = value
        if start & 1:
            # The left sibling of the first new node was already whole: it is on the edge.
            start -= 1
            row.insert(0, edge[level, start])
        pairs = len(row) // 2
        row = [h(b"\x01" + row[2 * i] + row[2 * i + 1]) for i in range(pairs)]
        start //= 2
        level += 1
    new_edge = {node: nodes[node] if node in nodes else edge[node] for node in edge_ids(grown)}
    return Growth(grown, nodes, new_edge, fold(list(new_edge.values()), h))


def fold(hashes: Sequence[bytes], h: Hash = sm3) -> bytes:
    """The hash over adjacent complete subtrees, largest first; H("") for none."""
    if not hashes:
        return empty_root(h)
    value = hashes[-1]
    for left in reversed(hashes[:-1]):
        value = h(b"\x01" + left + value)
    return value


def range_ids(start: int, end: int) -> list[NodeId]:
    """The complete subtrees that make up the subtree over leaves [start, end), left to right.

    `start` must be a multiple of the smallest power of two ≥ end - start, as it is for every
    subtree of a tree of RFC 9162.
    """
    ids: list[NodeId] = []
    while start < end:
        level = (end - start).bit_length() - 1
        ids.append((level, start >> level))
        start += 1 << level
    return ids


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (count ≥ 2)."""
    return 1 << ((count - 1).bit_length() - 1)


Range = tuple[int, int]


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges of leaves whose subtree hashes are the inclusion path, leaf's sibling first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    ranges: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """The ranges whose subtree hashes are the consistency path from `first` to `second` leaves."""
    if not 0 < first <= second:
        raise ValueError(f"no consistency path leads from {first} to {second} leaves")
    ranges: list[Range] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def ids_of(ranges: Iterable[Range]) -> list[NodeId]:
    """All complete subtrees that a list of ranges is folded from."""
    return [node for start, end in ranges for node in range_ids(start, end)]


def path_of(ranges: Iterable[Range], nodes: Mapping[NodeId, bytes], h: Hash = sm3) -> list[bytes]:
    """The hash of each range, folded from stored subtrees. Raises KeyError when one is missing."""
    return [fold([nodes[node] for node in range_ids(*span)], h) for span in ranges]


def root_from_path(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], h: Hash = sm3
) -> bytes | None:
    """The root that an inclusion path leads to (RFC 9162 §2.1.3.2), or None if it cannot fit."""
    if not 0 <= index < size or len(leaf) != 32 or any(len(step) != 32 for step in path):
        return None
    position, last, value = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if position & 1 or position == last:
            value = h(b"\x01" + step + value)
            while not position & 1 and position != 0:
                position >>= 1
                last >>= 1
        else:
            value = h(b"\x01" + value + step)
        position >>= 1
        last >>= 1
    return value if last == 0 else None


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes, h: Hash = sm3
) -> bool:
    """Whether the path shows that `leaf` (a leaf hash) stands at `index` under `root`."""
    return len(root) == 32 and root_from_path(index, size, leaf, path, h) == root


def verify_consistency(
    first: int,
    second: int,
    first_root: bytes,
    second_root: bytes,
    path: Sequence[bytes],
    h: Hash = sm3,
) -> bool:
    """Whether the path shows that the tree of `second` leaves continues the one of `first`.

    RFC 9162 §2.1.4.2, and stricter: nothing is shown from an empty tree.
    """
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    if any(len(part) != 32 for part in (first_root, second_root, *path)):
        return False
    steps = list(path)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old = h(b"\x01" + step + old)
            new = h(b"\x01" + step + new)
            while not position & 1 and position != 0:
                position >>= 1
                last >>= 1
        else:
            new = h(b"\x01" + new + step)
        position >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root
