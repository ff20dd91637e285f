"""Moves: the changes that searches have in common, whatever decides which of them are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.variations import as_vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    from models.layout import Layout

    Vector = NDArray[np.float64]
    Move = Callable[[Layout, Generator], Vector]


def _white(layout: Layout, rng: Generator) -> Vector:
    """Return noise in every element."""
    return np.asarray(rng.standard_normal(layout.elements))


def _single(layout: Layout, rng: Generator) -> Vector:
    """Return a change of one element."""
    change = np.zeros(layout.elements)
    change[int(rng.integers(len(change)))] = rng.choice((-2.0, 2.0))
    return change


def _patch(layout: Layout, rng: Generator) -> Vector:
    """Return a change of a square, or of a run of elements."""
    sign = rng.choice((-1.0, 1.0))
    if not layout.is_image:
        return np.asarray(rng.choice((0.0, sign), layout.elements, p=(0.7, 0.3)))
    change = np.zeros((1, layout.height, layout.width, layout.channels))
    side = int(rng.integers(1, max(2, min(layout.height, layout.width) // 2)))
    top, left = (int(rng.integers(0, size - side + 1)) for size in (layout.height, layout.width))
    change[:, top : top + side, left : left + side] = sign
    return np.asarray(as_vectors(change, layout)[0])


def _smooth(layout: Layout, rng: Generator) -> Vector:
    """Return a wave across the image."""
    if not layout.is_image:
        return _white(layout, rng)
    waves = [
        np.cos(np.pi * (np.arange(size) + 0.5) * int(rng.integers(0, max(2, size // 3))) / size)
        for size in (layout.height, layout.width)
    ]
    wave = np.outer(*waves)[None, :, :, None] * np.ones(layout.channels)
    return np.asarray(as_vectors(wave * rng.choice((-1.0, 1.0)), layout)[0])


def blocks(layout: Layout, rng: Generator) -> Vector:
    """Return plus and minus in coarse blocks."""
    elements = layout.elements
    signs = rng.choice((-1.0, 1.0), int(2 ** rng.integers(0, 6)))
    return np.repeat(signs, -(-elements // len(signs)))[:elements]


#: Changes (elements,) of about one shade, by name.
MOVES: dict[str, Move] = {
    "white": _white,
    "single": _single,
    "patch": _patch,
    "smooth": _smooth,
    "blocks": blocks,
}
