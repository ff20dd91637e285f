"""Harmless variations of inputs: what cameras, retries and augmentation make of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from models.layout import Layout

#: Largest shift as a share of the side, rotation in radians, zoom, and change of light.
SHIFT, ANGLE, ZOOM, LIGHT = 1 / 14, 0.15, 0.08, 0.2
#: Standard deviation of a sensor's noise, in shades.
SENSOR = 1.0
#: Plain vectors vary by this share of each feature's spread.
JITTER = 0.05


class Motion:
    """A camera's position against the scene, each between -1 and 1, for n frames.

    Parameters
    ----------
    where
        float (n, 5): down, right, angle, zoom, light.
    """

    def __init__(self, where: NDArray[np.float64]) -> None:
        self.where = where

    @classmethod
    def at_random(cls, frames: int, rng: Generator) -> Motion:
        """Return unrelated positions."""
        return cls(rng.uniform(-1, 1, (frames, 5)))

    @classmethod
    def slow(cls, frames: int, rng: Generator, speed: float) -> Motion:
        """Return a path that wanders."""
        path = np.cumsum(rng.normal(0, speed, (frames, 5)), axis=0)
        return cls(np.clip(path + rng.uniform(-0.3, 0.3, 5), -1.2, 1.2))


def vary(
    values: NDArray[np.uint8],
    layout: Layout,
    motion: Motion,
    rng: Generator,
    *,
    sensor: float | None = None,
) -> NDArray[np.uint8]:
    """Return inputs (n, elements) as seen from other positions.

    ``sensor`` is the standard deviation of the noise; if None, half of the inputs have some.
    """
    if not layout.is_image:
        spread = np.maximum(values.std(axis=0), 1.0)
        scale = JITTER * np.abs(motion.where[:, :1])
        moved = values + scale * spread * rng.standard_normal(values.shape)
        return to_bytes(moved)
    images = as_images(values, layout)
    warped = _warp(images, motion.where)
    light = 1 + LIGHT * motion.where[:, 4][:, None, None, None]
    level = (
        SENSOR * (rng.random((len(images), 1, 1, 1)) < 0.5)
        if sensor is None
        else np.full((1, 1, 1, 1), sensor)
    )
    noise = level * rng.standard_normal(images.shape)
    return to_bytes(as_vectors(warped * light + noise, layout))


def as_images(values: NDArray[np.uint8], layout: Layout) -> NDArray[np.float64]:
    """Return images (n, height, width, channels)."""
    if layout.channels_first:
        shape = (-1, layout.channels, layout.height, layout.width)
        return np.moveaxis(values.reshape(shape), 1, -1).astype(np.float64)
    return values.reshape(-1, layout.height, layout.width, layout.channels).astype(np.float64)


def as_vectors(images: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    """Undo `as_images`."""
    ordered = np.moveaxis(images, -1, 1) if layout.channels_first else images
    return ordered.reshape(len(images), -1)


def to_bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Round to whole shades."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _warp(images: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift, rotate and zoom about the centre, between pixels linearly, edges repeated."""
    height, width = images.shape[1:3]
    down, right = (where[:, 0] * SHIFT * height, where[:, 1] * SHIFT * width)
    angle, zoom = where[:, 2] * ANGLE, 1 + where[:, 3] * ZOOM
    y, x = np.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    source_y = _outer(cosine, y) - _outer(sine, x) + (height - 1) / 2 - down[:, None, None]
    source_x = _outer(sine, y) + _outer(cosine, x) + (width - 1) / 2 - right[:, None, None]
    return _sample(images, source_y, source_x)


def _outer(factor: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    return factor[:, None, None] * grid


def _sample(
    images: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    height, width = images.shape[1:3]
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    low, last = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, right = (y - top)[..., None], (x - left)[..., None]
    n = np.arange(len(images))[:, None, None]
    upper = images[n, top, left] * (1 - right) + images[n, top, last] * right
    lower = images[n, low, left] * (1 - right) + images[n, low, last] * right
    sampled: NDArray[np.float64] = upper * (1 - down) + lower * down
    return sampled
