"""How grainy an input is: noise that no camera, shift or change of light brings about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.layout import Layout

#: An edge counts no more than this: many small steps are noise, few large ones are a picture.
MAX_STEP = 16
#: Grain is in units of 1/256 of a shade.
UNIT = 256


def grain_of(values: NDArray[np.uint8], layout: Layout) -> NDArray[np.int32]:
    """Return the mean capped mixed second difference of images (n, elements); 0 for vectors."""
    if not len(values) or not layout.is_image or min(layout.height, layout.width) < 2:
        return np.zeros(len(values), np.int32)
    if layout.channels_first:
        shape, rows, columns = (layout.channels, layout.height, layout.width), 2, 3
    else:
        shape, rows, columns = (layout.height, layout.width, layout.channels), 1, 2
    image = values.reshape(-1, *shape).astype(np.int16)
    step = _difference(_difference(image, rows), columns)
    np.abs(step, out=step)
    np.minimum(step, MAX_STEP, out=step)
    flat = step.reshape(len(values), -1)
    total = flat.sum(axis=1, dtype=np.int64)
    return np.asarray(total * UNIT // flat.shape[1], np.int32)


def _difference(image: NDArray[np.int16], axis: int) -> NDArray[np.int16]:
    moved = np.moveaxis(image, axis, 0)
    difference: NDArray[np.int16] = np.moveaxis(moved[1:] - moved[:-1], 0, axis)
    return difference
