"""The tree: public vectors, and the law that every leaf proves against every later head."""

import hashlib
import json
import time
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit.sm import sm3
from backend.proof import merkle


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def naive_root(leaves: list[bytes], h: merkle.Hash) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return h(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return h(b"\x01" + naive_root(leaves[:k], h) + naive_root(leaves[k:], h))


def grown(leaves: list[bytes], cuts: list[int], h: merkle.Hash = sm3) -> tuple[dict, bytes]:
    """All nodes and the root of a tree appended to in several batches."""
    nodes: dict[merkle.NodeId, bytes] = {}
    edge: dict[merkle.NodeId, bytes] = {}
    root, start = merkle.empty_root(h), 0
    for end in [*sorted(cuts), len(leaves)]:
        growth = merkle.append(start, edge, leaves[start:end], h)
        assert not nodes.keys() & growth.nodes.keys()
        nodes |= growth.nodes
        edge, root, start = growth.edge, growth.root, growth.size
    return nodes, root


def test_every_public_vector(real_data: Path) -> None:
    files = json.loads((real_data / "vectors/merkle_rfc6962_proofs.json").read_text())["files"]
    assert len(files) == 196
    for name, case in files.items():
        path = [b64decode(step) for step in case["proof"] or []]
        if "treeSize" in case:
            held = merkle.verify_inclusion(
                case["leafIdx"],
                case["treeSize"],
                b64decode(case["leafHash"]),
                path,
                b64decode(case["root"]),
                sha256,
            )
        else:
            held = merkle.verify_consistency(
                case["size1"],
                case["size2"],
                b64decode(case["root1"]),
                b64decode(case["root2"]),
                path,
                sha256,
            )
        assert held is not case["wantErr"], name


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert merkle.empty_root(sha256) == sha256(b"")
    assert merkle.fold([]) == sm3(b"")


@pytest.mark.parametrize("h", [sm3, sha256])
def test_append_in_batches_gives_the_naive_root(h: merkle.Hash) -> None:
    leaves = [h(b"%d" % n) for n in range(70)]
    for size in range(71):
        _, root = grown(leaves[:size], [size // 3, size // 2, size // 2], h)
        assert root == naive_root(leaves[:size], h)


def test_every_leaf_proves_against_every_later_head() -> None:
    leaves = [merkle.leaf_hash(b"%d" % n) for n in range(66)]
    nodes, _ = grown(leaves, [1, 7, 40])
    roots = [naive_root(leaves[:size], sm3) for size in range(67)]
    for size in range(1, 67):
        for index in range(size):
            path = merkle.path_of(merkle.inclusion_ranges(index, size), nodes)
            assert merkle.verify_inclusion(index, size, leaves[index], path, roots[size])
            assert not merkle.verify_inclusion(index, size, sm3(b"other"), path, roots[size])
            if path:
                assert not merkle.verify_inclusion(
                    index, size, leaves[index], path[1:], roots[size]
                )
        for first in range(1, size + 1):
            path = merkle.path_of(merkle.consistency_ranges(first, size), nodes)
            assert merkle.verify_consistency(first, size, roots[first], roots[size], path)
            assert not merkle.verify_consistency(first, size, sm3(b""), roots[size], path)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_proofs_hold_however_the_log_was_cut_into_batches(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3_000))
    cuts = data.draw(st.lists(st.integers(0, size), max_size=12))
    leaves = [sm3(size.to_bytes(4) + n.to_bytes(4)) for n in range(size)]
    nodes, root = grown(leaves, cuts)
    assert root == naive_root(leaves, sm3)
    index = data.draw(st.integers(0, size - 1))
    head = data.draw(st.integers(index + 1, size))
    path = merkle.path_of(merkle.inclusion_ranges(index, head), nodes)
    head_root = merkle.fold([nodes[node] for node in merkle.edge_ids(head)])
    assert merkle.verify_inclusion(index, head, leaves[index], path, head_root)
    steps = merkle.path_of(merkle.consistency_ranges(head, size), nodes)
    assert merkle.verify_consistency(head, size, head_root, root, steps)
    if path:
        flipped = data.draw(st.integers(0, len(path) - 1))
        path[flipped] = bytes([path[flipped][0] ^ 1]) + path[flipped][1:]
        assert not merkle.verify_inclusion(index, head, leaves[index], path, head_root)


def test_a_leaf_outside_the_tree_has_no_path() -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_ranges(5, 5)
    with pytest.raises(ValueError, match="no consistency path"):
        merkle.consistency_ranges(0, 5)


def test_append_is_fast_enough() -> None:
    leaves = [sm3(n.to_bytes(4)) for n in range(100_000)]
    begun = time.process_time()
    merkle.append(0, {}, leaves)
    # Figures belong to the benchmark; this only catches a change of its order.
    assert 100_000 / (time.process_time() - begun) > 20_000
