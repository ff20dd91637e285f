"""What remains of the difference of two inputs after the best harmless explanation.

A shift, turn or zoom moves an image along its own gradients, light changes it along itself, focus
along its curvature; the changes of an attack do none of it. The second image is registered on the
first, coarse to fine, and what is left over is measured. Images are integers in units of 1/16 of a
shade and positions multiples of 1/64 of a pixel, so sums are exact and the same in any order.

References
----------
Lucas, Kanade. An iterative image registration technique. IJCAI 1981.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import FIXED_POINT_ONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float64]

#: What is told of a pair, see `Likeness.of`.
DETAILS = ("explained", "residual", "change", "sparse", "untouched", "rough", "lift")
#: Sizes at which motion is estimated: blocks of so many pixels a side.
_LEVELS = (4, 2, 1)
_SMALLEST = 7
_SHADE, _STEP = 16.0, 64.0
_RIDGE = 64.0
#: Largest motion, of a step and in all, as shares of the side; and turn and zoom.
_STEP_SHARE, _SHIFT_SHARE, _STEP_TURN, _TURN = 0.19, 0.25, 0.15, 0.4
_CHUNK = 16
#: Motion is not looked for where light leaves less than this share, or less than a shade.
_ENOUGH = 0.1
#: Shares are told in these steps, logarithms of energies in units of 1/8.
_SHARES, _LOGS = 64, 8
#: Where logarithms round up: comparisons are alike on every machine, logarithms are not.
_BOUNDS = 2.0 ** ((np.arange(32 * _LOGS) + 0.5) / _LOGS)
#: Pixels whose surroundings differ by this much would change if the image moved.
_EDGE = 16 * _SHADE
_SATURATED = 254 * _SHADE


class Likeness:
    """Compares views.

    Parameters
    ----------
    grid
        int64 (2,): rows and columns of a view; no columns if inputs are no images.
    """

    def __init__(self, grid: NDArray[np.int64]) -> None:
        self._rows, self._columns = grid.tolist()
        side = min(self._rows, self._columns)
        blocks = [block for block in _LEVELS if side // block >= _SMALLEST]
        # One step alone does not find motion of more than a pixel.
        self._levels = blocks * 2 if len(blocks) == 1 else blocks

    def of(self, new: NDArray[np.uint8], old: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return `DETAILS` of pairs of views (n, v) as int64 (n, details).

        explained, sparse, untouched and rough are fixed-point shares: of the energy of the change
        that motion and light explain, of the pixels that what remains is spread over, of the
        pixels near edges that did not change at all, and of what remains that changes from pixel
        to pixel. residual and change are logarithms of mean squares, lift is that of how much
        brighter black has become.
        """
        parts = [
            self._details(new[at : at + _CHUNK], old[at : at + _CHUNK])
            for at in range(0, len(new), _CHUNK)
        ]
        return np.concatenate([*parts, np.zeros((0, len(DETAILS)), np.int64)])

    def _details(self, new: NDArray[np.uint8], old: NDArray[np.uint8]) -> NDArray[np.int64]:
        shape = (len(new), self._rows, max(1, self._columns))
        x, y = (view.reshape(shape) * _SHADE for view in (new, old))
        change = x - y
        left, lift = self._left(x, y) if self._levels else (change, np.zeros(len(x)))
        energy, before = _energy(left), _energy(change)
        pixels = shape[1] * shape[2]
        mass = np.abs(left).sum(axis=(1, 2))
        slopes = np.maximum(np.abs(_slope(y, 1)), np.abs(_slope(y, 2))) if self._levels else y * 0
        edge = slopes >= _EDGE
        still = (edge & (np.abs(change) <= _SHADE)).sum(axis=(1, 2))
        mixed = left[:, 1:, 1:] - left[:, :-1, 1:] - left[:, 1:, :-1] + left[:, :-1, :-1]
        columns = [
            _share(before - energy, before),
            _log(energy / pixels),
            _log(before / pixels),
            _share(mass * mass, pixels * energy),
            _share(still, edge.sum(axis=(1, 2))),
            _share(_energy(mixed) / 8, energy),
            _log(lift * lift),
        ]
        return np.stack(columns, axis=1)

    def _left(self, x: Planes, y: Planes) -> tuple[Planes, NDArray[np.float64]]:
        """Return what is left of ``x`` after ``y`` has been moved, focused and lit to match.

        Motion is only supposed where light does not explain enough and motion explains more, and
        no change is explained by a larger one.
        """
        best = x - y
        before = _energy(best)
        left, lift = _unexplained(x, y)
        least = _energy(left)
        lit = least < before
        best[lit], lift = left[lit], np.where(lit, lift, 0)
        least = np.minimum(least, before)
        rows = np.flatnonzero((least > _ENOUGH * before) & (least > _SHADE**2 * best[0].size))
        if len(rows):
            moved = _moved(y[rows], self._motion(x[rows], y[rows]))
            left, lifted = _unexplained(x[rows], moved)
            better = _energy(left) < least[rows]
            best[rows[better]], lift[rows[better]] = left[better], lifted[better]
        return best, lift

    def _motion(self, x: Planes, y: Planes) -> NDArray[np.float64]:
        """Return the motion (n, 4) that brings ``y`` closest to ``x``."""
        motion = np.zeros((len(x), 4))
        reach = min(self._rows, self._columns)
        for block in self._levels:
            seen, given = _pooled(x, block), _pooled(y, block)
            scale = np.array([1 / block, 1 / block, 1, 1])
            moved = _moved(given, motion * scale)
            step = _step(seen, moved) / scale
            most = np.array([_STEP_SHARE * reach] * 2 + [_STEP_TURN] * 2)
            total = np.array([_SHIFT_SHARE * reach] * 2 + [_TURN] * 2)
            motion = np.clip(motion + np.clip(step, -most, most), -total, total)
            motion[:, :2] = np.rint(motion[:, :2] * _STEP) / _STEP
            motion[:, 2:] = np.rint(motion[:, 2:] * _STEP * reach) / (_STEP * reach)
        return motion


def _pooled(image: Planes, block: int) -> Planes:
    """Return means of blocks, in whole units."""
    if block == 1:
        return image
    n, rows, columns = image.shape
    down, right = rows // block, columns // block
    cut = image[:, : down * block, : right * block].reshape(n, down, block, right, block)
    pooled: Planes = np.rint(cut.sum(axis=(2, 4)) / block**2)
    return pooled


def _moved(image: Planes, motion: NDArray[np.float64]) -> Planes:
    """Return images as seen from elsewhere: down, right, turn, zoom."""
    n, rows, columns = image.shape
    y = (np.arange(rows) - (rows - 1) / 2)[:, None]
    x = (np.arange(columns) - (columns - 1) / 2)[None, :]
    down, right, turn, zoom = (motion[:, i, None, None] for i in range(4))
    at_y = np.clip(y + down - turn * x + zoom * y + (rows - 1) / 2, 0, rows - 1)
    at_x = np.clip(x + right + turn * y + zoom * x + (columns - 1) / 2, 0, columns - 1)
    top, left = (
        np.minimum(at_y.astype(np.intp), rows - 2),
        np.minimum(at_x.astype(np.intp), columns - 2),
    )
    part_y, part_x = at_y - top, at_x - left
    flat = image.reshape(-1)
    corner = top * columns + left + (np.arange(n) * rows * columns)[:, None, None]
    upper = flat[corner] * (1 - part_x) + flat[corner + 1] * part_x
    lower = flat[corner + columns] * (1 - part_x) + flat[corner + columns + 1] * part_x
    moved: Planes = np.rint(upper * (1 - part_y) + lower * part_y)
    return moved


def _step(seen: Planes, given: Planes) -> NDArray[np.float64]:
    """Return the motion (n, 4) that brings ``given`` closest to ``seen``, light apart."""
    n, rows, columns = given.shape
    y = (2 * np.arange(rows) - rows + 1)[None, :, None]
    x = (2 * np.arange(columns) - columns + 1)[None, None, :]
    down, right = _slope(given, 1), _slope(given, 2)
    light = given - np.rint(given.mean(axis=(1, 2), keepdims=True))
    parts = [down, right, y * right - x * down, y * down + x * right, light, np.ones_like(light)]
    # Differences span two pixels, and coordinates are doubled.
    scale = np.array([2, 2, 4, 4, 1, 1]) * np.array([_SHADE] * 5 + [1])
    found = _fit(np.stack(parts, axis=1).reshape(n, 6, -1), (seen - given).reshape(n, -1), scale)
    gain = 1 + np.clip(found[:, 4:5] / _SHADE, -0.5, 1.0)
    step: NDArray[np.float64] = found[:, :4] / _SHADE / gain
    return step


def _unexplained(x: Planes, y: Planes) -> tuple[Planes, NDArray[np.float64]]:
    """Return what light and focus leave of ``x`` unexplained, and by how much they lift black.

    Pixels that are blinded in either image may have been any shade.
    """
    n = len(x)
    seen = (x < _SATURATED) & (y < _SATURATED)
    count = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    middle = np.rint((y * seen).sum(axis=(1, 2), keepdims=True) / count)
    centred = y - middle
    focus = _curvature(y)
    basis = np.stack([centred * seen, seen, focus * seen], axis=1).reshape(n, 3, -1)
    difference = ((x - y) * seen).reshape(n, -1)
    found = _fit(basis, difference, np.array([_SHADE, 1.0, _SHADE]))
    gain = np.rint(np.clip(found[:, 0] / _SHADE, -0.6, 1.5) * 256)[:, None, None] / 256
    blur = np.rint(np.clip(found[:, 2] / _SHADE, -0.25, 0.25) * 256)[:, None, None] / 256
    offset = np.rint(found[:, 1])[:, None, None]
    expected = y + gain * centred + offset + blur * focus
    left = np.rint(x - np.clip(expected, 0, 255 * _SHADE))
    # A blinded pixel of the source was at least as bright.
    left[(y >= _SATURATED) & (left > 0)] = 0
    lift = np.abs(offset - gain * middle)[:, 0, 0]
    return left, lift


def _curvature(image: Planes) -> Planes:
    """Return by how much the neighbours of each pixel are brighter in sum, edges repeated."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    curvature: Planes = around - 4 * image
    return curvature


def _fit(
    basis: NDArray[np.float64], target: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve least squares with a ridge: coefficients (n, k) of ``basis / scale``.

    Sums of integers are exact; what follows is elementwise, so the same on any machine.
    """
    gram = np.matmul(basis, basis.transpose(0, 2, 1)) / np.multiply.outer(scale, scale)
    right = np.matmul(basis, target[:, :, None])[:, :, 0] / scale
    size = len(scale)
    for i in range(size):
        gram[:, i, i] += _RIDGE
    for i in range(size):
        for j in range(i + 1, size):
            factor = gram[:, j, i] / gram[:, i, i]
            right[:, j] -= factor * right[:, i]
            gram[:, j, i:] -= factor[:, None] * gram[:, i, i:]
    for i in reversed(range(size)):
        for j in range(i + 1, size):
            right[:, i] -= gram[:, i, j] * right[:, j]
        right[:, i] /= gram[:, i, i]
    solved: NDArray[np.float64] = right
    return solved


def _slope(image: Planes, axis: int) -> Planes:
    """Return central differences, edges repeated."""
    size = image.shape[axis]
    after = image.take(np.minimum(np.arange(size) + 1, size - 1), axis)
    slope: Planes = after - image.take(np.maximum(np.arange(size) - 1, 0), axis)
    return slope


def _energy(image: Planes) -> NDArray[np.float64]:
    energy: NDArray[np.float64] = (image * image).sum(axis=(1, 2))
    return energy


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.int64]:
    share = np.rint(np.clip(part / np.maximum(whole, 1e-9), 0, 1) * _SHARES)
    return np.asarray(share * (FIXED_POINT_ONE // _SHARES), np.int64)


def _log(mean_square: NDArray[np.float64]) -> NDArray[np.int64]:
    steps = np.searchsorted(_BOUNDS, 1 + mean_square)
    return np.asarray(steps * (FIXED_POINT_ONE // _LOGS), np.int64)
