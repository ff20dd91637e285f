"""By what an input is recognised as a member: what it looks like, whatever light or place it is in.

Noise, clipped at black and white, raises one and lowers the other, and so does other light. A
sketch that is brought to mean zero and one length keeps what all of them leave alone. The second
key is the same of the input moved to where its mass is centred: a member that was shifted by whole
pixels has the key of the member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Length of a key: squared distances stay below 2**24, and rounding makes no two members one.
LENGTH = 1000
#: Blocks a side of a centred view.
_BLOCKS = 8


def keys_of(
    sketch: NDArray[np.uint8], view: NDArray[np.uint8], grid: NDArray[np.int64]
) -> tuple[NDArray[np.int16], ...]:
    """Return the keys of inputs: one, or two where inputs are images.

    Parameters
    ----------
    sketch, view
        uint8 (n, s) and (n, v).
    grid
        Rows and columns of views; columns are 0 where inputs are no images.
    """
    rows, columns = grid.tolist()
    plain = standardised(sketch)
    if not columns:
        return (plain,)
    return plain, standardised(centred_blocks(view.reshape(-1, rows, columns)))


def standardised(values: NDArray[np.integer]) -> NDArray[np.int16]:
    """Return int16 (n, k): each row with its mean removed, at one length."""
    wide = values.astype(np.float64)  # whole numbers below 2**53
    wide = wide * wide.shape[1] - wide.sum(axis=1, keepdims=True)
    length = np.sqrt(np.maximum(1, np.einsum("ij,ij->i", wide, wide)))[:, None]
    key: NDArray[np.int16] = np.rint(wide * (LENGTH / length)).astype(np.int16)
    return key


def centred_blocks(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return means (n, b), in 64ths, of at most eight by eight blocks of centred images (n, h, w).

    An image is moved by whole pixels so that what differs from its edge is centred; what moves in
    has the colour of the edge: its median. All sums are whole numbers below 2**24, exact in
    float32 for views.
    """
    sides = image.shape[1:]
    edge = np.concatenate([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], axis=1)
    middle = edge.shape[1] // 2
    ground = np.partition(edge, middle, axis=1)[:, middle].astype(np.float32)
    off = image - ground[:, None, None]
    bounds = [np.arange(n + 1) * side // n for side in sides for n in [min(_BLOCKS, side)]]
    rows, columns = (
        _inside(bound, steps, side)
        for bound, steps, side in zip(bounds, _steps(np.abs(off)), sides, strict=True)
    )
    sums = (rows @ off @ columns.transpose(0, 2, 1)).astype(np.int64)
    area = np.outer(*(np.diff(bound) for bound in bounds))
    means: NDArray[np.int64] = 64 * (sums + ground.astype(np.int64)[:, None, None] * area) // area
    return means.reshape(len(image), -1)


def _steps(mass: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Return by how much to move masses (n, h, w) down and right, rounded in integers."""
    count, *sides = mass.shape
    place = np.indices(sides).reshape(2, -1)
    weights = np.stack([np.ones(place.shape[1]), *place], axis=1).astype(np.float32)
    total, *moments = (mass.reshape(count, -1) @ weights).T.astype(np.int64)
    some = np.maximum(1, total)
    return [
        np.where(total > 0, ((size - 1) * some - 2 * moment + some) // (2 * some), 0)
        for moment, size in zip(moments, sides, strict=True)
    ]


def _inside(bound: NDArray[np.int64], steps: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """Tell (n, b, size) which positions lie within which block once they have moved."""
    at = (np.arange(size) + steps[:, None])[:, None, :]
    inside: NDArray[np.float32] = ((at >= bound[:-1, None]) & (at < bound[1:, None])).astype(
        np.float32
    )
    return inside
