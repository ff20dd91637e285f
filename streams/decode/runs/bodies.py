"""Bodies with one input tensor and its scores: what surrounds the numbers, read once.

The two long arrays are lifted out of the text. What is left is short, and the same for many
events, so that its decoding is remembered. Nothing is guessed: the rest must be the usual
event with the marks that took the arrays' places, no other member of their name, and no
backslash that could hide a quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from config.errors import PoisonRecord
from streams.decode.body import bounded
from streams.decode.json_body import refuse_duplicate_keys
from streams.decode.oip_v2 import MAX_SCORES, Complete
from streams.decode.remembered import Remembered
from streams.decode.tensor import DATATYPES, FLOATS, element_count, hash_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.decode.body import Limits
    from streams.decode.oip_v2 import Tensor

_ARRAY, _SPACED_ARRAY = b'"data":[', b'"data": ['
_MEMBER = b'"data"'
#: What the two arrays are replaced with, to see where they stood.
_FIRST, _SECOND = 1, 2
_MARKS = [b"%d" % _FIRST, b"%d" % _SECOND]
#: Input tensors that are read here.
BYTES_TYPE, REALS_TYPE = "UINT8", "FP32"


class Lifted(NamedTuple):
    """A body in three: the text around the arrays, and what stands in each of them."""

    rest: bytes
    inputs: bytes
    scores: bytes


class Form(NamedTuple):
    """What the text around the arrays says; inputs are hashed behind their ``head``."""

    datatype: str
    dtype: str
    row_shape: list[int]
    head: bytes
    elements: int
    classes: int
    model: str | None
    model_version: str | None


class Filled(NamedTuple):
    """A usual body: what surrounds its arrays, and what stands in them."""

    form: Form
    inputs: bytes
    scores: bytes


class Mould(NamedTuple):
    """The three texts around the arrays of a usual body, in which the next one is looked for."""

    before: bytes
    between: bytes
    after: bytes
    form: Form

    @classmethod
    def of(cls, rest: bytes, form: Form) -> Mould:
        """Return the mould of what `lift` has left of a body."""
        first = _find_array(rest, 0)
        second = _find_array(rest, first)
        between = rest[first + len(_MARKS[0]) : second]
        return cls(rest[:first], between, rest[second + len(_MARKS[1]) :], form)

    def fill(self, body: bytes) -> Filled | None:
        """Read a body that differs in its arrays alone; None if it does not."""
        first = len(self.before)
        first_end = body.find(b"]", first)
        if not (body.startswith(self.before) and body.startswith(self.between, first_end)):
            return None
        second = first_end + len(self.between)
        second_end = body.find(b"]", second)
        if first_end < 0 or body[second_end:] != self.after:
            return None
        return Filled(self.form, _compact(body[first:first_end]), _compact(body[second:second_end]))


def lift(body: bytes) -> Lifted | None:
    """Take the first two ``data`` arrays out of a body; None if there are not so many."""
    first = _find_array(body, 0)
    if first < 0:
        return None
    first_end = body.find(b"]", first)
    second = _find_array(body, first_end)
    if first_end < 0 or second < 0:
        return None
    second_end = body.find(b"]", second)
    rest = b"".join((body[:first], _MARKS[0], body[first_end:second], _MARKS[1], body[second_end:]))
    return Lifted(rest, _compact(body[first:first_end]), _compact(body[second:second_end]))


def _find_array(body: bytes, start: int) -> int:
    """Return where the inside of an array begins, -1 if there is none."""
    at = body.find(_ARRAY, start)
    if at >= 0:
        return at + len(_ARRAY)
    at = body.find(_SPACED_ARRAY, start)
    return at + len(_SPACED_ARRAY) if at >= 0 else -1


def _compact(numbers: bytes) -> bytes:
    """Drop the space that Python's `json` puts behind a comma."""
    return numbers.replace(b", ", b",") if b" " in numbers else numbers


class FormReader:
    """Reads what surrounds the arrays, and remembers it.

    Parameters
    ----------
    limits
        Bounds of bodies.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decode = msgspec.json.Decoder(Complete).decode
        self._forms = Remembered(self._read)
        self._mould: Mould | None = None

    def read(self, body: bytes) -> Filled | None:
        """Return what a body says, None if it is not the usual one, or wrong."""
        filled = None if self._mould is None else self._mould.fill(body)
        if filled is not None:
            return filled
        lifted = lift(body)
        form = None if lifted is None else self._forms.of(lifted.rest)
        if lifted is None or form is None:
            return None
        self._mould = Mould.of(lifted.rest, form)
        return Filled(form, lifted.inputs, lifted.scores)

    def _read(self, rest: bytes) -> Form | None:
        if b"\\" in rest or not rest.isascii() or rest.count(_MEMBER) != len(_MARKS):
            return None
        try:
            event = self._decode(rest)
            refuse_duplicate_keys(rest, -1)
            return self._form(event)
        except (PoisonRecord, msgspec.DecodeError, RecursionError, ValueError):
            return None

    def _form(self, event: Complete) -> Form | None:
        inputs, outputs = event.request.inputs, event.response.outputs
        if not (_is_marked(inputs, _FIRST) and _is_marked(outputs, _SECOND)):
            return None
        payload, scores = inputs[0], outputs[0]
        if payload.datatype not in (BYTES_TYPE, REALS_TYPE) or scores.datatype not in FLOATS:
            return None
        elements = self._elements(payload)
        classes = self._elements(scores)
        if elements is None or classes is None or classes > MAX_SCORES:
            return None
        answer, limit = event.response, self._limits.identity_bytes
        shape = payload.shape[1:] if len(payload.shape) > 1 else payload.shape
        dtype = DATATYPES[payload.datatype][1]
        return Form(
            payload.datatype,
            dtype,
            shape,
            hash_head(dtype, shape),
            elements,
            classes,
            bounded(answer.model_name or None, limit),
            bounded(answer.model_version or None, limit),
        )

    def _elements(self, tensor: Tensor) -> int | None:
        """Return how many numbers one sample has; None of several samples, or too many."""
        shape = tensor.shape
        count = element_count(shape, self._limits.elements)
        fits = count * DATATYPES[tensor.datatype][2] <= self._limits.tensor_bytes
        return count if fits and (len(shape) == 1 or shape[0] == 1) else None


def _is_marked(tensors: Sequence[Tensor], mark: int) -> bool:
    return len(tensors) == 1 and tensors[0].data == [mark]
