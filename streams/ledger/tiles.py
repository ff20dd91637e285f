"""The hashes of a log's records in tiles of 256, so that one that was changed can be named.

Checkpoints prove that something was changed, and the roots of blocks tell where within 256
records; only the hashes themselves tell which one. They need no signature: a tile is what was
signed if it has the root that the checkpoints add up to.

References
----------
C2SP ``tlog-tiles.md``, level 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.ledger.merkle import BLOCK, HASH_BYTES, root_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.ledger.note import Checkpoint

_LEVEL = "/tile/0/"
_PARTIAL = ".p/"
_GROUP_DIGITS = 3


class Tile(NamedTuple):
    """The hashes of records ``[256 * number, 256 * number + width)``, 32 bytes each."""

    origin: str
    number: int
    hashes: bytes

    @property
    def width(self) -> int:
        """How many records it covers; fewer than 256: the log had no more."""
        return len(self.hashes) // HASH_BYTES

    @property
    def path(self) -> str:
        """The log's name and the tile's path below it.

        Examples
        --------
        >>> Tile("vedette/x/0/0a", 1234067, bytes(32 * 256)).path
        'vedette/x/0/0a/tile/0/x001/x234/067'
        >>> Tile("vedette/x/0/0a", 0, bytes(32 * 7)).path
        'vedette/x/0/0a/tile/0/000.p/7'
        """
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        part = f"{_PARTIAL}{self.width}" if self.width < BLOCK else ""
        return f"{self.origin}{_LEVEL}{'/'.join(groups)}{part}"


def read_tile(path: str, hashes: bytes) -> Tile | None:
    """Return the tile of a path, None if it is none."""
    origin, level, name = path.partition(_LEVEL)
    groups = name.partition(_PARTIAL)[0].split("/")
    digits = "".join(group.removeprefix("x") for group in groups)
    if not level or not digits.isascii() or not digits.isdigit():
        return None
    tile = Tile(origin, int(digits[:18]), hashes)
    return tile if tile.path == path and len(hashes) % HASH_BYTES == 0 else None


def cut_tiles(origin: str, first: int, leaves: Sequence[bytes]) -> tuple[Tile, ...]:
    """Return the tiles of leaves from place ``first`` on, which begins a block."""
    return tuple(
        Tile(origin, (first + start) // BLOCK, b"".join(leaves[start : start + BLOCK]))
        for start in range(0, len(leaves), BLOCK)
    )


class SignedLeaves(NamedTuple):
    """Hashes that were signed, from place ``first`` to the end of the checkpoint."""

    first: int
    leaves: list[bytes]


def signed_leaves(
    newest: Checkpoint, roots: Mapping[int, bytes], tiles: Mapping[int, bytes]
) -> SignedLeaves | None:
    """Return as many of the newest leaves of a log as tiles give, None if they prove nothing.

    Parameters
    ----------
    newest
        The checkpoint that they have to lead to.
    roots
        Of the blocks before, by number; from the same place as the tiles, and as little trusted.
    tiles
        Hashes by number of the tile.
    """
    whole, rest = divmod(newest.size, BLOCK)
    tail = _cut(tiles.get(whole, b""))[:rest]
    try:
        blocks = [roots[number] for number in range(whole)]
    except KeyError:
        return None
    if len(tail) < rest or root_of([*blocks, root_of(tail)] if rest else blocks) != newest.root:
        return None
    found: list[list[bytes]] = [tail]
    for number in reversed(range(whole)):
        leaves = _cut(tiles.get(number, b""))
        if root_of(leaves) != blocks[number]:
            break
        found.append(leaves)
    joined = [leaf for leaves in reversed(found) for leaf in leaves]
    return SignedLeaves(newest.size - len(joined), joined)


def _cut(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
