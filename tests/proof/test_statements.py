"""The tree of a day's statement: any size, any digest, and nothing that is not in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kit.sm import sm3
from backend.proof import merkle, statements


def some_digests(count: int) -> list[bytes]:
    return sorted(sm3(b"event %d" % n) for n in range(count))


def whole_root(digests: list[bytes]) -> bytes:
    """The root by one tree over everything, without parts."""
    return merkle.append(0, {}, [merkle.leaf_hash(digest) for digest in digests]).root


SIZES = (1, 2, 3, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 3_072, 3_073, 5_000)


@pytest.mark.parametrize("count", SIZES)
def test_parts_make_the_same_tree(count: int) -> None:
    digests = some_digests(count)
    tree = statements.build_tree(b"".join(digests))
    assert (tree.count, tree.root) == (count, whole_root(digests))
    roots = [part.root for part in tree.parts]
    for at in {0, 1, 1_022, 1_023, 1_024, 1_025, count // 2, count - 2, count - 1} & {
        *range(count)
    }:
        digest = digests[at]
        way = statements.path_in(tree.parts[at // 1_024], roots, digest)
        assert way is not None
        assert way.index == at
        leaf = merkle.leaf_hash(digest)
        assert merkle.verify_inclusion(at, count, leaf, way.path, tree.root)
        other = merkle.leaf_hash(sm3(digest))
        assert not merkle.verify_inclusion(at, count, other, way.path, tree.root)


def test_a_day_without_events() -> None:
    tree = statements.build_tree(b"")
    assert (tree.count, tree.root, tree.parts) == (0, sm3(b""), ())


@pytest.mark.parametrize("size", [1_000, 1_023, 768])
def test_control_parts_of_another_size_make_another_tree(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that is no power of two is no subtree: the check above would fail."""
    monkeypatch.setattr(statements, "PART_DIGESTS", size)
    digests = some_digests(2_500)
    assert statements.build_tree(b"".join(digests)).root != whole_root(digests)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_every_digest_has_a_path_and_no_other(found: set[bytes]) -> None:
    digests = sorted(found)
    tree = statements.build_tree(b"".join(digests))
    for digest in digests:
        assert statements.path_in(tree.parts[0], [tree.root], digest) is not None
        assert statements.path_in(tree.parts[0], [tree.root], sm3(digest)) is None


def test_digests_out_of_order_repeated_or_cut_off() -> None:
    one, two = some_digests(2)
    for wrong in (two + one, one + one, one + two[:-1]):
        with pytest.raises(ValueError, match="digest"):
            statements.build_tree(wrong)
    many = some_digests(1_025)
    many[1_023], many[1_024] = many[1_024], many[1_023]
    with pytest.raises(ValueError, match="ascending"):
        statements.build_tree(b"".join(many))
