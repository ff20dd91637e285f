"""The tree is RFC 6962's: its published vectors, and both proofs for any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ledger.merkle import (
    EMPTY_ROOT,
    Edge,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    node_hash,
    range_roots,
    root_from_inclusion,
    root_of,
)

#: The reference vectors of Certificate Transparency: eight leaves, and the root after each.
RECORDS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
LEAVES = [leaf_hash(bytes.fromhex(record)) for record in RECORDS]

sizes = st.integers(1, 700)


def leaves_of(size):
    return [leaf_hash(number.to_bytes(4)) for number in range(size)]


def by_the_book(leaves):
    """Compute the root as section 2.1 of the RFC defines it."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return node_hash(by_the_book(leaves[:middle]), by_the_book(leaves[middle:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size):
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing():
    assert root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("place", "path"), INCLUSION.items())
def test_inclusion_paths_are_those_of_the_reference(place, path):
    found = inclusion_path(*place, range_roots(LEAVES))
    assert [step.hex() for step in found] == path


@given(sizes)
def test_a_tree_that_grows_has_the_root_of_the_definition(size):
    leaves = leaves_of(size)
    assert root_of(leaves) == by_the_book(leaves)


@given(sizes, st.data())
def test_an_edge_goes_on_from_what_it_saved(size, data):
    leaves = leaves_of(size)
    edge = Edge()
    for leaf in leaves[: data.draw(st.integers(0, size))]:
        edge.append(leaf)
    restored = Edge(edge.size, edge.stack)
    for leaf in leaves[restored.size :]:
        restored.append(leaf)
    assert restored.root() == root_of(leaves)


@given(st.integers(0, 2000))
def test_blocks_are_the_roots_of_256_leaves(size):
    leaves = leaves_of(size)
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    whole = range(0, size // 256 * 256, 256)
    assert edge.blocks == [root_of(leaves[first : first + 256]) for first in whole]


@given(sizes, st.data())
def test_every_leaf_is_proven_and_no_other(size, data):
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_path(index, size, range_roots(leaves))
    assert root_from_inclusion(index, size, leaves[index], path) == root_of(leaves)
    assert root_from_inclusion(index, size, leaf_hash(b"other"), path) != root_of(leaves)
    other = data.draw(st.integers(-1, size))
    if other != index:
        assert root_from_inclusion(other, size, leaves[index], path) != root_of(leaves)


@given(sizes, st.data())
def test_every_earlier_tree_is_proven_to_be_the_beginning(new, data):
    leaves = leaves_of(new)
    old = data.draw(st.integers(1, new))
    path = consistency_path(old, new, range_roots(leaves))
    roots = root_of(leaves[:old]), root_of(leaves)
    assert is_consistent(old, roots[0], new, roots[1], path)
    forged = root_of([*leaves[: old - 1], leaf_hash(b"other")])
    assert not is_consistent(old, forged, new, roots[1], path)
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        damaged = [*path[:place], leaf_hash(b"other"), *path[place + 1 :]]
        assert not is_consistent(old, roots[0], new, roots[1], damaged)
        assert not is_consistent(old, roots[0], new, roots[1], path[:-1])


@given(st.binary(min_size=0, max_size=80))
def test_paths_of_nonsense_prove_nothing(data):
    path = [data[start : start + 32] for start in range(0, len(data), 32)]
    assert root_from_inclusion(3, 9, LEAVES[0], path) != root_of(leaves_of(9))
    assert not is_consistent(3, LEAVES[0], 9, LEAVES[1], path)


def test_impossible_proofs_are_refused():
    with pytest.raises(ValueError, match="own leaves"):
        inclusion_path(8, 8, range_roots(LEAVES))
    with pytest.raises(ValueError, match="neither empty"):
        consistency_path(0, 8, range_roots(LEAVES))
    with pytest.raises(ValueError, match="perfect subtree"):
        Edge(3, [b""])


@given(st.lists(st.integers(0, 700), max_size=6))
def test_many_leaves_at_once_make_the_same_tree_as_one_by_one(sizes):
    whole, parts, number = Edge(), Edge(), 0
    for size in sizes:
        leaves = [leaf_hash(str(number + place).encode()) for place in range(size)]
        number += size
        parts.extend(leaves)
        for leaf in leaves:
            whole.append(leaf)
    assert (parts.size, parts.stack, parts.blocks) == (whole.size, whole.stack, whole.blocks)
