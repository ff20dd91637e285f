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
    return plain, standardised(_blocks(centred(view.reshape(-1, rows, columns))))


def standardised(values: NDArray[np.integer]) -> NDArray[np.int16]:
    """Return int16 (n, k): each row with its mean removed, at one length."""
    wide = values.astype(np.int64)
    wide = wide * wide.shape[1] - wide.sum(axis=1, keepdims=True)
    length = np.sqrt(np.maximum(1, (wide * wide).sum(axis=1, keepdims=True)).astype(np.float64))
    key: NDArray[np.int16] = np.rint(wide * (LENGTH / length)).astype(np.int16)
    return key


def centred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move images (n, h, w) by whole pixels so that what differs from their edge is centred.

    What moves in has the colour of the edge: its median.
    """
    count, height, width = image.shape
    edge = np.concatenate([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], axis=1)
    middle = edge.shape[1] // 2
    ground = np.partition(edge, middle, axis=1)[:, middle][:, None, None]
    mass = np.where(image > ground, image - ground, ground - image)
    down = _steps(mass.sum(axis=2, dtype=np.int64))
    right = _steps(mass.sum(axis=1, dtype=np.int64))
    rows = np.arange(height) - down[:, None]
    columns = np.arange(width) - right[:, None]
    moved: NDArray[np.uint8] = image[
        np.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]
    outside = (rows < 0) | (rows >= height), (columns < 0) | (columns >= width)
    return np.where(outside[0][:, :, None] | outside[1][:, None, :], ground, moved)


def _steps(mass: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return by how much to move each row's mass along an axis, rounded in integers."""
    size = mass.shape[1]
    total = np.maximum(1, mass.sum(axis=1))
    off = (size - 1) * total - 2 * (mass @ np.arange(size))
    steps: NDArray[np.int64] = np.clip((off + total) // (2 * total), -(size - 1), size - 1)
    return np.where(mass.any(axis=1), steps, 0)


def _blocks(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return means (n, b) of at most eight by eight blocks, in 64ths."""
    sides = image.shape[1:]
    counts = [min(_BLOCKS, side) for side in sides]
    down, right = (np.arange(n) * side // n for n, side in zip(counts, sides, strict=True))
    rows = np.add.reduceat(image, down, axis=1, dtype=np.int64)
    sums = np.add.reduceat(rows, right, axis=2)
    area = np.outer(np.diff(down, append=sides[0]), np.diff(right, append=sides[1]))
    means: NDArray[np.int64] = 64 * sums // area
    return means.reshape(len(image), -1)
