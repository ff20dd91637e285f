"""Encoder: what an input looks like, and how the served model sees it, in small integers.

The same input gives the same bits in any batch, row, thread count and on any device, see
`models.exact`; findings can therefore be replayed byte for byte.
"""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.exact import ExactLinear, round_layer
from models.grain import grain_of
from models.inputs import InputError, InputRange, check_numeric
from models.layout import Layout, layout_of, pool, pool_index, sketch_of
from models.student import Student, train_student
from models.view import view_grid, view_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = "vedette.encoder.v1"
#: Rows on the device at once, and inputs multiplied at once.
CHUNK_ROWS = 1024
#: Share of the reference's activations that the integer range holds.
_RANGE_QUANTILE = 0.9995
_FIT_ROWS = 20_000
_LAYERS = ("front", "back")
_PARTS = ("weight", "bias", "scale")


class Features(NamedTuple):
    """What an encoder sees of inputs: sketch, embedding, grain and view, a row an input."""

    sketch: NDArray[np.uint8]
    embedding: NDArray[np.int8]
    grain: NDArray[np.int32]
    view: NDArray[np.uint8]


class Encoder:
    """Turns inputs of one served model into sketches and embeddings.

    Parameters
    ----------
    shape
        Shape of one input.
    inputs
        How values become bytes.
    layout
        What neighbours what.
    front, back
        Layers: bytes to hidden activations and sketch, hidden activations to embedding.
    facts
        What else is worth knowing of it, kept in the file.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        inputs: InputRange,
        layout: Layout,
        front: ExactLinear,
        back: ExactLinear,
        facts: dict[str, Any] | None = None,
    ) -> None:
        front.check()
        back.check()
        self.shape = shape
        self.facts = facts or {}
        #: The net it was made from, known only right after `fit`.
        self.student: Student | None = None
        self._inputs, self._layout = inputs, layout
        self._front, self._back = front, back
        self._pool = pool_index(layout)
        self._hidden = back.weight.shape[0]
        self._device = torch.device("cpu")
        if front.weight.shape[0] != (self._pool[1] if self._pool else layout).elements:
            raise ValueError("the encoder's weights do not fit its input shape")

    @property
    def elements(self) -> int:
        """How many numbers an input has."""
        return prod(self.shape)

    @property
    def floating(self) -> bool:
        """Whether inputs are real numbers."""
        return self._inputs.floating

    @property
    def layout(self) -> Layout:
        """What neighbours what in a reduced input."""
        return self._pool[1] if self._pool else self._layout

    @property
    def sketch_size(self) -> int:
        """Columns of a sketch."""
        return int(self._front.weight.shape[1]) - self._hidden

    @property
    def view_size(self) -> int:
        """Columns of a view."""
        rows, columns = view_grid(self.layout).tolist()
        return int(rows * max(1, columns))

    @property
    def embedding_size(self) -> int:
        """Columns of an embedding."""
        return int(self._back.weight.shape[1])

    @classmethod
    def fit(
        cls,
        x: NDArray[Any],
        scores: NDArray[np.floating[Any]],
        *,
        seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Self:
        """Learn an encoder from inputs (n, ...) and the model's answers (n, classes).

        Raises
        ------
        InputError
            If inputs or answers are not finite numbers, or of different lengths.
        """
        check_numeric(x)
        check_numeric(scores)
        if x.ndim < 2 or scores.ndim != 2 or len(x) != len(scores) or scores.shape[1] < 2:
            raise InputError("give inputs (n, ...) and scores (n, classes), at least two classes")
        rows = np.random.default_rng(seed).permutation(len(x))[:_FIT_ROWS]
        x, scores = x[rows], scores[rows]
        inputs = InputRange.fit(x)
        values = inputs.quantise(x.reshape(len(x), -1))
        layout = layout_of(x.shape[1:], values[:1000])
        pooling = pool_index(layout)
        if pooling:
            values = pool(values, pooling[0])
        student = train_student(values, scores, seed=seed, progress=progress or _silent)
        front, back = _round(student, values, pooling[1] if pooling else layout, seed)
        facts = {"agreement": round(student.agreement, 4), "seed": seed, "rows": len(x)}
        encoder = cls(x.shape[1:], inputs, layout, front, back, facts)
        encoder.student = student
        return encoder

    def encode(self, x: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
        """Return sketches uint8 (n, s) and embeddings int8 (n, e) of inputs (n, ...).

        Raises
        ------
        InputError
            If inputs are not finite numbers or of another size.
        """
        return self.features(x)[:2]

    def features(self, x: NDArray[Any]) -> Features:
        """Return all that is seen of inputs (n, ...).

        Raises
        ------
        InputError
            If inputs are not finite numbers or of another size.
        """
        flat = x.reshape(len(x), -1) if len(x) else x.reshape(0, self.elements)
        if flat.shape[1] != self.elements:
            raise InputError(f"inputs have {flat.shape[1]} numbers, not {self.elements}")
        chunks = [
            self.see(self.reduce(flat[start : start + CHUNK_ROWS]))
            for start in range(0, max(1, len(flat)), CHUNK_ROWS)
        ]
        if len(chunks) == 1:
            return chunks[0]
        return Features(*(np.concatenate(parts) for parts in zip(*chunks, strict=True)))

    def reduce(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        """Return inputs (n, ...) as bytes, averaged if they are large."""
        values = self._inputs.quantise(x.reshape(len(x), self.elements))
        return pool(values, self._pool[0]) if self._pool else values

    def see(self, values: NDArray[np.uint8]) -> Features:
        """Return what is seen of reduced inputs (n, elements)."""
        grain = grain_of(values, self.layout)
        if not values.flags.writeable:  # torch warns of views on Arrow memory
            values = values.copy()
        with torch.inference_mode():
            given = torch.from_numpy(values).to(self._device).float()
            seen = self._front(given, 0, 255)
            embedding = self._back(seen[:, : self._hidden], -127, 127)
            sketch = seen[:, self._hidden :].to(torch.uint8)
            embedded = embedding.to(torch.int8).cpu().numpy()
            return Features(sketch.cpu().numpy(), embedded, grain, view_of(values, self.layout))

    def to(self, device: torch.device) -> Self:
        """Compute on ``device`` from now on."""
        if device.type == "cuda":
            # Half of a weight's digits would be lost.
            torch.backends.cuda.matmul.allow_tf32 = False
        self._front, self._back = self._front.to(device), self._back.to(device)
        self._device = device
        return self

    def save(self, path: Path) -> None:
        """Write the encoder as one safetensors file."""
        tensors = {
            f"{name}.{part}": getattr(layer, part).cpu().contiguous()
            for name, layer in zip(_LAYERS, (self._front, self._back), strict=True)
            for part in _PARTS
        }
        tensors["input.low"] = torch.from_numpy(self._inputs.low)
        tensors["input.scale"] = torch.from_numpy(self._inputs.scale)
        layout = self._layout
        meta = {
            "format": FORMAT,
            "shape": self.shape,
            "layout": [layout.height, layout.width, layout.channels, layout.channels_first],
            "floating": self._inputs.floating,
            "identity": self._inputs.identity,
            "facts": self.facts,
        }
        save_file(tensors, path, metadata={"encoder": json.dumps(meta, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an encoder.

        Raises
        ------
        ValueError
            If the file is no encoder, or one whose arithmetic would not be exact.
        """
        try:
            with safe_open(path, "pt") as source:
                meta = json.loads((source.metadata() or {})["encoder"])
                tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
            if meta["format"] != FORMAT:
                raise ValueError(f"{path.name} has format {meta['format']}, not {FORMAT}")
            front, back = (
                ExactLinear(*(tensors[f"{name}.{part}"] for part in _PARTS)) for name in _LAYERS
            )
            low, scale = tensors["input.low"].numpy(), tensors["input.scale"].numpy()
            inputs = InputRange(low, scale, bool(meta["floating"]), bool(meta["identity"]))
            shape = tuple(int(size) for size in meta["shape"])
            return cls(shape, inputs, Layout(*meta["layout"]), front, back, meta["facts"])
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"{path.name} is no encoder: {type(error).__name__}") from None


def _silent(_share: float) -> None:
    """Tell nobody."""


def _round(
    student: Student, values: NDArray[np.uint8], layout: Layout, seed: int
) -> tuple[ExactLinear, ExactLinear]:
    """Round the student to integers and put the sketch beside its first layer."""
    hidden = np.maximum(values @ student.hidden_weight + student.hidden_bias, 0.0)
    unit = np.maximum(np.quantile(hidden, _RANGE_QUANTILE, axis=0), 1e-6) / 255.0
    weights, size = sketch_of(layout, seed)
    offset = 255.0 * (weights < 0).sum(axis=0)
    front = round_layer(student.hidden_weight, student.hidden_bias, unit)
    joined = ExactLinear(
        torch.cat([front.weight, torch.from_numpy(weights)], dim=1).contiguous(),
        torch.cat([front.bias, torch.from_numpy(offset.astype(np.float32))]),
        torch.cat([front.scale, torch.from_numpy((1.0 / size).astype(np.float32))]),
    )
    joined.check()
    steps = np.clip(np.rint(hidden / unit), 0, 255)
    weight = student.weight * unit[:, None]
    final = steps @ weight + student.bias
    reach = np.maximum(np.quantile(np.abs(final), _RANGE_QUANTILE), 1e-6)
    return joined, round_layer(weight, student.bias, np.full(weight.shape[1], reach / 127.0))
