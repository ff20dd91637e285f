"""References: benign inputs and answers, from a recording or from NumPy arrays."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from config.errors import ConfigError
from streams.columns import (
    NUMERIC_DTYPES,
    codes,
    integers,
    list_lengths,
    score_rows,
    tensor_rows,
    times_us,
)
from streams.featurise import to_batch
from streams.recording import read_recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

#: More interactions than this add nothing to a calibration.
MAX_ROWS = 400_000
#: Tensors kept in memory.
MAX_TENSOR_ROWS = 60_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who called when, in stream order; what `detectors.calibration.Calibration` wants of it."""

    time_us: NDArray[np.int64]
    client: NDArray[np.int32]
    status: NDArray[np.int16]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    label: NDArray[np.int32]
    confidence: NDArray[np.int32]
    margin: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Reference:
    """Benign inputs (n, ...) with answers (n, classes), traffic, or both.

    ``label`` is the answered class, -1 where the highest score decides.
    """

    x: NDArray[Any] | None = None
    scores: NDArray[np.float32] | None = None
    label: NDArray[np.int32] | None = None
    traffic: Traffic | None = None

    @property
    def rows(self) -> int:
        """How many samples there are."""
        if self.traffic is not None:
            return len(self.traffic.time_us)
        return 0 if self.x is None else len(self.x)


def read_reference(path: Path, model: str) -> Reference:
    """Read a ``.npz`` file with ``x`` and ``scores``, or a recording of traffic.

    Raises
    ------
    ConfigError
        If the file is neither, or holds nothing of ``model``; the text says what to do.
    """
    if path.suffix == ".npz":
        return _from_arrays(path)
    return _from_recording(path, model)


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read the named arrays of a ``.npz`` file; nothing is unpickled.

    Raises
    ------
    ConfigError
        If the file or one of the arrays is missing or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as source:
            missing = [name for name in names if name not in source.files]
            if missing:
                found = ", ".join(source.files) or "none"
                raise ConfigError(
                    f"{path} has no array named {' or '.join(missing)} (it has: {found})"
                )
            return {name: source[name] for name in source.files}
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
        raise ConfigError(f"{path} cannot be read as .npz of numeric arrays") from None


def _from_arrays(path: Path) -> Reference:
    arrays = read_arrays(path, "x", "scores")
    x, scores = arrays["x"], arrays["scores"]
    label = np.asarray(arrays.get("label", np.full(len(x), -1)), np.int32)
    if x.ndim < 2 or scores.ndim != 2 or not len(x) == len(scores) == len(label):
        raise ConfigError(
            f"{path}: x must have shape (n, ...) and scores (n, classes); they have "
            f"{x.shape} and {scores.shape}"
        )
    _check_finite(path, x, scores)
    return Reference(x, scores.astype(np.float32), label)


def _check_finite(path: Path, *arrays: NDArray[Any]) -> None:
    for array in arrays:
        if array.dtype.kind not in "biuf":
            raise ConfigError(f"{path} holds values of type {array.dtype}; give numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ConfigError(f"{path} holds NaN or infinity; leave these rows out")


def _from_recording(path: Path, model: str) -> Reference:
    others: Counter[str] = Counter()
    batches = list(_of_model(path, model, others))
    if not batches:
        known = ", ".join(sorted(others)[:10]) or "nothing"
        raise ConfigError(f"{path} holds no interaction of model {model}; it holds {known}")
    x, scores, label = _tensors(batches)
    return Reference(x, scores, label, _traffic(batches))


def _of_model(path: Path, model: str, others: Counter[str]) -> Iterator[pa.RecordBatch]:
    rows = 0
    for batch in read_recording(path):
        others.update(batch.column("model").unique().to_pylist())
        chosen = batch.filter(pc.equal(batch.column("model"), model))
        if chosen.num_rows:
            rows += chosen.num_rows
            yield chosen
        if rows >= MAX_ROWS:
            return


def _traffic(batches: list[pa.RecordBatch]) -> Traffic:
    """Gather the columns that detectors see, with clients numbered over the whole recording."""
    seen = [to_batch(batch, times_us(batch.column("time")), 0, None) for batch in batches]
    numbers: dict[str, int] = {}
    clients = []
    for batch in seen:
        number = [numbers.setdefault(name, len(numbers)) for name in batch.clients]
        clients.append(np.array(number, np.int32)[batch.client])
    names = ("status", "input_tokens", "output_tokens", "label", "confidence", "margin")
    rest = [np.concatenate([getattr(batch, name) for batch in seen]) for name in names]
    return Traffic(np.concatenate([b.time_us for b in seen]), np.concatenate(clients), *rest)


def _tensors(
    batches: list[pa.RecordBatch],
) -> tuple[NDArray[Any] | None, NDArray[np.float32] | None, NDArray[np.int32] | None]:
    """Return the inputs and answers of the commonest kind, None if there are none."""
    kind = _commonest_kind(batches)
    if kind is None:
        return None, None, None
    shape, dtype, classes = kind
    xs, ys, labels = [], [], []
    for batch in batches:
        label = integers(batch.column("label"), np.int32, -1)
        answered, scores = score_rows(batch.column("scores"), classes)
        for rows, values in tensor_rows(batch, elements=prod(shape), floating=dtype.kind == "f"):
            both, at, score_at = np.intersect1d(rows, answered, return_indices=True)
            finite = np.isfinite(scores[score_at]).all(axis=1)
            finite &= np.isfinite(values[at]).all(axis=1)
            xs.append(values[at][finite].astype(dtype))
            ys.append(scores[score_at][finite])
            labels.append(label[both[finite]])
    x = np.concatenate(xs)
    rows = _thinned(len(x))
    return x[rows].reshape(-1, *shape), np.concatenate(ys)[rows], np.concatenate(labels)[rows]


def _thinned(rows: int) -> NDArray[np.intp]:
    return (
        np.arange(rows)
        if rows <= MAX_TENSOR_ROWS
        else np.arange(0, rows, -(-rows // MAX_TENSOR_ROWS))
    )


def _commonest_kind(
    batches: list[pa.RecordBatch],
) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    kinds: Counter[tuple[tuple[int, ...], str, int]] = Counter()
    for batch in batches:
        widths = list_lengths(batch.column("scores"))
        dtypes, names = codes(batch.column("input_dtype"))
        shapes = batch.column("input_shape").to_pylist()
        for shape, code, count in zip(shapes, dtypes.tolist(), widths.tolist(), strict=True):
            if shape and code >= 0 and count > 1 and names[code] in NUMERIC_DTYPES:
                kinds[tuple(shape), str(names[code]), count] += 1
    if not kinds:
        return None
    (shape, dtype, classes), _ = kinds.most_common(1)[0]
    return shape, np.dtype(dtype), classes
