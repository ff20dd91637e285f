"""A view of an input: grey and at most 32 a side; inputs are compared in detail by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.layout import Layout, block_index, pool, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SIDE = 32


def view_grid(layout: Layout) -> NDArray[np.int64]:
    """Return rows and columns of views; plain vectors have no columns."""
    if not layout.is_image:
        return np.array([min(layout.elements, MAX_SIDE**2), 0], np.int64)
    sides = [int(split(size, MAX_SIDE).max()) + 1 for size in (layout.height, layout.width)]
    return np.array(sides, np.int64)


def view_of(values: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Return views (n, v) of inputs (n, elements): means of blocks over all channels."""
    rows, columns = view_grid(layout).tolist()
    size = rows * max(1, columns)
    if size == layout.elements:
        return values
    if not layout.is_image:
        return pool(values, np.arange(layout.elements) * size // layout.elements)
    if layout.height % rows or layout.width % columns:
        block = block_index(Layout(layout.height, layout.width, 1), MAX_SIDE)
        channel = np.ones(layout.channels, np.intp)
        each = (
            np.multiply.outer(channel, block)
            if layout.channels_first
            else np.repeat(block, layout.channels)
        )
        return pool(values, each.reshape(-1))
    down, right = layout.height // rows, layout.width // columns
    shape: tuple[int, ...] = (rows, down, columns, right)
    axes: tuple[int, ...] = (2, 4)
    if layout.channels > 1:
        shape = (layout.channels, *shape) if layout.channels_first else (*shape, layout.channels)
        axes = (1, 3, 5) if layout.channels_first else (2, 4, 5)
    total = values.reshape(-1, *shape).sum(axis=axes, dtype=np.uint32).reshape(-1, size)
    count = layout.elements // size
    return np.asarray((2 * total + count) // (2 * count), np.uint8)
