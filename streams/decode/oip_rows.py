"""Rows of Open Inference Protocol tensors whose values are already bytes.

The protocol's binary extension and its protobuf messages carry tensors as little-endian bytes;
both become `RawTensor` and are cut into rows here, by the rules that JSON tensors follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.decode.body import INT32_MAX
from streams.decode.model import RequestRow, ResponseRow
from streams.decode.oip_v2 import LABEL_NAMES, MAX_SCORES, SCORE_NAMES
from streams.decode.reasons import poison
from streams.decode.tensor import DATATYPES, element_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streams.decode.body import Limits

_LENGTH_BYTES = 4
_BF16, _BF16_BYTES = "BF16", 2


class RawTensor(NamedTuple):
    """A tensor: packed row-major little-endian values, or the elements of a BYTES tensor.

    ``data`` is exactly as long as shape and datatype say: `raw_tensor` sees to it.
    """

    name: str
    shape: list[int]
    dtype: str
    data: bytes
    texts: list[bytes] | None = None

    @property
    def is_float(self) -> bool:
        """Whether the values are real numbers."""
        return self.dtype.startswith("float")

    @property
    def is_integer(self) -> bool:
        """Whether the values are integers."""
        return "int" in self.dtype and self.texts is None

    @property
    def values(self) -> NDArray[Any]:
        """The values, flat."""
        return np.frombuffer(self.data, np.dtype(self.dtype).newbyteorder("<"))


def raw_tensor(
    name: str, shape: list[int], datatype: str, data: bytes, limits: Limits
) -> RawTensor:
    """Check packed values against shape and datatype.

    Raises
    ------
    PoisonRecord
        If they do not agree, or a value is not finite.
    """
    count = element_count(shape, limits.elements)
    if datatype == "BYTES":
        return RawTensor(name, shape, "bytes", b"", split_texts(data, count))
    if datatype == _BF16:
        if len(data) != count * _BF16_BYTES:
            raise poison("shape_mismatch")
        # the upper half of a float32: widening is exact
        wide = np.frombuffer(data, "<u2").astype("<u4") << np.uint32(16)
        data, datatype = wide.tobytes(), "FP32"
    if datatype not in DATATYPES:
        raise poison("unknown_datatype")
    _, dtype, item_bytes = DATATYPES[datatype]
    if len(data) != count * item_bytes:
        raise poison("shape_mismatch")
    tensor = RawTensor(name, shape, dtype, data)
    if tensor.is_float and not np.isfinite(tensor.values).all():
        raise poison("non_finite")
    return tensor


def split_texts(data: bytes, count: int) -> list[bytes]:
    """Return the elements of a BYTES tensor, each behind its 4-byte little-endian length.

    Raises
    ------
    PoisonRecord
        With reason ``shape_mismatch`` if a length leads past the end, or there are other than
        ``count`` elements.
    """
    if count * _LENGTH_BYTES > len(data):
        raise poison("shape_mismatch")
    texts, at = [], 0
    for _ in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise poison("shape_mismatch")
        texts.append(data[start:at])
    if at != len(data):
        raise poison("shape_mismatch")
    return texts


def request_rows(inputs: Sequence[RawTensor], limits: Limits) -> list[RequestRow]:
    """Cut the largest input into one row a sample.

    Raises
    ------
    PoisonRecord
        If there is no input, or too many rows.
    """
    if not inputs:
        raise poison("wrong_type")
    payload = max(inputs, key=_elements) if len(inputs) > 1 else inputs[0]
    if payload.texts is not None:
        if len(payload.texts) > limits.rows:
            raise poison("too_many_rows")
        return [_text_row(text) for text in payload.texts]
    shape = payload.shape
    rows = shape[0] if len(shape) > 1 else 1
    if rows > limits.rows:
        raise poison("too_many_rows")
    row_shape = shape[1:] if len(shape) > 1 else shape
    stride = len(payload.data) // rows
    return [
        RequestRow(payload.data[start : start + stride], row_shape, payload.dtype)
        for start in range(0, len(payload.data), stride)
    ]


def response_rows(outputs: Sequence[RawTensor], limits: Limits) -> list[ResponseRow]:
    """Return scores, labels and texts, one row a sample.

    Raises
    ------
    PoisonRecord
        If outputs disagree on the number of rows, or there are too many.
    """
    scores = _pick(outputs, SCORE_NAMES, floats=True)
    labels = _pick(outputs, LABEL_NAMES, floats=False)
    texts = next((tensor.texts for tensor in outputs if tensor.texts is not None), None)
    score_rows = _matrix(scores) if scores else None
    label_row = _labels(labels) if labels else None
    if label_row is None and score_rows is not None:
        label_row = [int(best) for best in score_rows.argmax(axis=1)]
    counts = [len(column) for column in (score_rows, label_row) if column is not None]
    if not counts and texts is not None:
        counts = [len(texts)]
    rows = counts[0] if counts else 1
    if any(count != rows for count in counts):
        raise poison("row_mismatch")
    if rows > limits.rows:
        raise poison("too_many_rows")
    return [_answer(row, score_rows, label_row, texts) for row in range(rows)]


def _answer(
    row: int,
    scores: NDArray[Any] | None,
    labels: list[int] | None,
    texts: list[bytes] | None,
) -> ResponseRow:
    answer = ResponseRow()
    if scores is not None and scores.shape[1] <= MAX_SCORES:
        with np.errstate(over="ignore"):
            packed = scores[row].astype("<f4")
        if not np.isfinite(packed).all():
            raise poison("non_finite")
        answer.scores = packed.tobytes()
    if labels is not None:
        answer.label = labels[row]
    if texts is not None and row < len(texts):
        answer.completion = texts[row].decode("utf-8", "replace")
    return answer


def _text_row(text: bytes) -> RequestRow:
    try:
        return RequestRow(prompt=text.decode())
    except UnicodeDecodeError:  # a picture or the like: bytes, not text
        return RequestRow(text, [len(text)], "uint8")


def _elements(tensor: RawTensor) -> int:
    return len(tensor.texts) if tensor.texts is not None else len(tensor.values)


def _pick(outputs: Sequence[RawTensor], names: frozenset[str], *, floats: bool) -> RawTensor | None:
    """Return the tensor of a telling name, else the first of the kind."""
    fitting = [tensor for tensor in outputs if (tensor.is_float if floats else tensor.is_integer)]
    telling = (tensor for tensor in fitting if tensor.name.lower() in names)
    return next(telling, fitting[0] if fitting else None)


def _matrix(tensor: RawTensor) -> NDArray[Any]:
    rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
    return tensor.values.reshape(rows, -1)


def _labels(tensor: RawTensor) -> list[int]:
    values: list[int] = tensor.values.tolist()
    if any(not -INT32_MAX <= value <= INT32_MAX for value in values):
        raise poison("int_out_of_range")
    return values
