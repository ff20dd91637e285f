"""The Merkle tree of RFC 6962: growing it, and the two proofs that it gives.

A tree that grows is only its right edge (`Edge`). Proofs are made from whatever gives the root
of a range of leaves, so that a store may answer from the leaves or from roots that it kept.

References
----------
RFC 6962, section 2.1; verification of proofs after RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    #: Gives the root of the leaves ``[first, end)``.
    RangeRoot = Callable[[int, int], bytes]

EMPTY_ROOT = sha256(b"").digest()
#: The roots of aligned blocks of 256 leaves are kept, so that a proof reads no more leaves.
BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
HASH_BYTES = 32


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of one record."""
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash above two others."""
    return sha256(b"\x01" + left + right).digest()


class Edge:
    """The right edge of a growing tree: roots of its perfect subtrees, the largest first.

    Attributes
    ----------
    size
        Number of leaves.
    blocks
        Roots of the blocks that were completed and not taken yet.
    """

    __slots__ = ("_stack", "blocks", "size")

    def __init__(self, size: int = 0, stack: Sequence[bytes] = ()) -> None:
        if len(stack) != size.bit_count():
            raise ValueError("a tree has one perfect subtree for each bit of its size")
        self.size = size
        self._stack = list(stack)
        self.blocks: list[bytes] = []

    @property
    def stack(self) -> tuple[bytes, ...]:
        """What `Edge` needs to go on: the roots of the perfect subtrees."""
        return tuple(self._stack)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        size, node, level, stack = self.size, leaf, 0, self._stack
        while size >> level & 1:
            node = sha256(b"\x01" + stack.pop() + node).digest()
            level += 1
            if level == BLOCK_LEVEL:
                self.blocks.append(node)
        stack.append(node)
        self.size = size + 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the hashes of many leaves, whole blocks at a time where they lie so."""
        first, end = 0, len(leaves)
        while first < end:
            if self.size % BLOCK or end - first < BLOCK:
                self.append(leaves[first])
                first += 1
            else:
                self._append_block(_perfect_root(leaves[first : first + BLOCK]))
                first += BLOCK

    def _append_block(self, root: bytes) -> None:
        size, node, level, stack = self.size, root, BLOCK_LEVEL, self._stack
        self.blocks.append(root)
        while size >> level & 1:
            node = node_hash(stack.pop(), node)
            level += 1
        stack.append(node)
        self.size = size + BLOCK

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._stack:
            return EMPTY_ROOT
        node = self._stack[-1]
        for left in reversed(self._stack[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Edge:
        """Return an edge that grows by itself."""
        made = Edge(self.size, self._stack)
        made.blocks = list(self.blocks)
        return made


def _perfect_root(nodes: Sequence[bytes]) -> bytes:
    """Return the root over as many nodes as a power of two."""
    while len(nodes) > 1:
        pairs = zip(nodes[::2], nodes[1::2], strict=True)
        nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return nodes[0]


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over the hashes of leaves."""
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def range_roots(leaves: Sequence[bytes]) -> RangeRoot:
    """Return the range roots of leaves that are all at hand."""
    return lambda first, end: root_of(leaves[first:end])


def inclusion_path(index: int, size: int, root: RangeRoot) -> list[bytes]:
    """Return the hashes that lead from leaf ``index`` to the root of the first ``size`` leaves."""
    if not 0 <= index < size:
        raise ValueError("a tree proves the inclusion of its own leaves only")
    path = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(first, middle))
            first = middle
    return path[::-1]


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a path leads to, None if the path does not fit the size."""
    if not 0 <= index < size:
        return None
    node, last = leaf, size - 1
    for step in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = node_hash(step, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, step)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def consistency_path(old: int, new: int, root: RangeRoot) -> list[bytes]:
    """Return the hashes that show the first ``old`` of ``new`` leaves to be unchanged."""
    if not 0 < old <= new:
        raise ValueError("consistency is between a tree and a later one, neither empty")
    if old == new:
        return []
    path = []
    first, end, whole = 0, new, True
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(first, middle))
            first, whole = middle, False
    if not whole:
        path.append(root(first, end))
    return path[::-1]


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tell whether a path shows that the tree of ``old`` leaves is the beginning of the other."""
    if old == new:
        return not path and old_root == new_root
    if not 0 < old < new:
        return False
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not steps:
        return False
    return _two_roots(old - 1, new - 1, steps) == (old_root, new_root)


def _two_roots(node: int, last: int, steps: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Walk up from the right edge of the old tree, and give the roots of both."""
    while node & 1:
        node, last = node >> 1, last >> 1
    left = right = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            left, right = node_hash(step, left), node_hash(step, right)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            right = node_hash(right, step)
        node, last = node >> 1, last >> 1
    return (left, right) if last == 0 else None
