"""What neighbours what in an input: blocks of pixels, or random groups of features."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt, prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SKETCH = 64
#: Larger inputs are averaged before anything is multiplied with them.
MAX_ELEMENTS = 4096
_GREY_BLOCKS, _COLOUR_BLOCKS = 8, 4
_MAX_CHANNELS = 4
_MIN_SQUARE = 7


@dataclass(frozen=True, slots=True)
class Layout:
    """An input's axes: an image (height, width, channels) or a plain vector (elements, 0, 0)."""

    height: int
    width: int
    channels: int
    channels_first: bool = False

    @property
    def is_image(self) -> bool:
        """Whether neighbouring elements belong together."""
        return self.width > 0

    @property
    def elements(self) -> int:
        """How many numbers an input has."""
        return self.height * max(self.width, 1) * max(self.channels, 1)


def layout_of(shape: tuple[int, ...], sample: NDArray[np.uint8]) -> Layout:
    """Guess the axes of inputs of ``shape``; ``sample`` (n, elements) tells flattened images."""
    axes = tuple(size for size in shape if size != 1)
    if len(axes) == 2 and min(axes) >= _MIN_SQUARE:
        return Layout(*axes, 1)
    if len(axes) == 3 and axes[0] <= _MAX_CHANNELS:
        return Layout(axes[1], axes[2], axes[0], channels_first=True)
    if len(axes) == 3 and axes[2] <= _MAX_CHANNELS:
        return Layout(axes[0], axes[1], axes[2])
    elements = prod(shape)
    side = isqrt(elements)
    if len(axes) == 1 and side >= _MIN_SQUARE and side**2 == elements and _is_smooth(sample, side):
        return Layout(side, side, 1)
    return Layout(elements, 0, 0)


def _is_smooth(sample: NDArray[np.uint8], side: int) -> bool:
    """Say whether vertical neighbours resemble each other, as in a flattened picture."""
    image = sample.reshape(-1, side, side).astype(np.float64)
    spread = image.var()
    step = ((image[:, 1:] - image[:, :-1]) ** 2).mean()
    return bool(step < spread)  # unrelated neighbours: twice the variance


def sketch_of(layout: Layout, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights (elements, s) of 0, 1 and -1, and the size (s,) of each group.

    A sketch value is the mean of a group; a feature of weight -1 counts as 255 minus itself.
    """
    if layout.elements <= MAX_SKETCH:
        return np.eye(layout.elements, dtype=np.float32), np.ones(layout.elements, np.float32)
    if layout.is_image:
        blocks = _GREY_BLOCKS if layout.channels == 1 else _COLOUR_BLOCKS
        group = block_index(layout, blocks)
        sign = np.ones(layout.elements, np.float32)
    else:
        rng = np.random.default_rng(seed)
        group = rng.permutation(layout.elements) % MAX_SKETCH
        sign = rng.choice(np.array([-1.0, 1.0], np.float32), layout.elements)
    weights = np.zeros((layout.elements, int(group.max()) + 1), np.float32)
    weights[np.arange(layout.elements), group] = sign
    return weights, np.abs(weights).sum(axis=0)


def block_index(layout: Layout, blocks: int) -> NDArray[np.intp]:
    """Return which block each element of an image belongs to, at most ``blocks`` a side."""
    rows, columns = split(layout.height, blocks), split(layout.width, blocks)
    block = rows[:, None] * (columns.max() + 1) + columns[None, :]
    channel = np.arange(layout.channels)
    if layout.channels_first:
        index = channel[:, None, None] * (block.max() + 1) + block[None]
    else:
        index = block[:, :, None] * layout.channels + channel
    flat: NDArray[np.intp] = index.reshape(-1)
    return flat


def split(size: int, blocks: int) -> NDArray[np.intp]:
    """Return the block of each position; blocks of equal size where there are such."""
    if size <= blocks:
        return np.arange(size)
    even = next((n for n in range(blocks, blocks // 2, -1) if size % n == 0), blocks)
    block: NDArray[np.intp] = np.arange(size) * even // size
    return block


def pool_index(layout: Layout) -> tuple[NDArray[np.intp], Layout] | None:
    """Return how to average an input that is too large, and its layout then."""
    if layout.elements <= MAX_ELEMENTS:
        return None
    if not layout.is_image:
        index = np.arange(layout.elements) * MAX_ELEMENTS // layout.elements
        return index, Layout(MAX_ELEMENTS, 0, 0)
    side = isqrt(MAX_ELEMENTS // layout.channels)
    rows, columns = split(layout.height, side), split(layout.width, side)
    pooled = Layout(
        int(rows.max()) + 1, int(columns.max()) + 1, layout.channels, layout.channels_first
    )
    return block_index(layout, side), pooled


def pool(values: NDArray[np.uint8], index: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Average the elements of each group in integers, rounding half up."""
    order = np.argsort(index, kind="stable")
    size = np.bincount(index)
    starts = np.concatenate([[0], np.cumsum(size)[:-1]])
    total = np.add.reduceat(values[:, order].astype(np.int64), starts, axis=1)
    return ((2 * total + size) // (2 * size)).astype(np.uint8)
