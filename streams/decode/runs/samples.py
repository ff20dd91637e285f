"""What the arrays of lifted bodies hold: inputs, scores and labels, parsed in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.decode.runs.bodies import BYTES_TYPE
from streams.decode.runs.numbers import parse_floats, parse_uint8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from streams.decode.runs.bodies import Filled, Form

#: Events whose numbers are parsed together: what is made of them stays in the cache.
_TOGETHER = 32
#: Larger ones are parsed alone: a number in text becomes some thirty bytes for a while.
_TOGETHER_BYTES = 1 << 18


class Sample(NamedTuple):
    """One event's numbers: row-major little-endian input, float32 scores, the best class."""

    input: memoryview
    scores: bytes
    label: int


#: Stands where there is none.
NO_SAMPLE = Sample(memoryview(b""), b"", 0)


def read_samples(bodies: Sequence[Filled]) -> list[Sample | None]:
    """Return the numbers of each body; None where they are not what its form says."""
    samples: list[Sample | None] = [None] * len(bodies)
    for places in _alike(bodies):
        form, some = bodies[places[0]].form, [bodies[place] for place in places]
        found = _read_together(form, some)
        if found is None:  # one of them is wrong: which?
            found = [sample for body in some for sample in _read_together(form, [body]) or [None]]
        for place, sample in zip(places, found, strict=True):
            samples[place] = sample
    return samples


def _alike(bodies: Sequence[Filled]) -> Iterator[list[int]]:
    """Yield the places of bodies that can be parsed together, and are not too much at once."""
    groups: dict[tuple[str, int, int], list[int]] = {}
    for place, body in enumerate(bodies):
        form = body.form
        groups.setdefault((form.datatype, form.elements, form.classes), []).append(place)
    for places in groups.values():
        longest = max(len(bodies[place].inputs) + len(bodies[place].scores) for place in places)
        count = max(1, min(_TOGETHER, _TOGETHER_BYTES // max(longest, 1)))
        for start in range(0, len(places), count):
            yield places[start : start + count]


def _read_together(form: Form, bodies: Sequence[Filled]) -> list[Sample | None] | None:
    """Return the samples of bodies of one form; None if any is wrong."""
    inputs = _inputs(form, [body.inputs for body in bodies])
    scores = parse_floats([body.scores for body in bodies], form.classes)
    if inputs is None or scores is None:
        return None
    packed = _float32(scores)
    if packed is None:
        return None
    pixels, answers = memoryview(inputs.tobytes()), packed.tobytes()
    size, width = len(pixels) // len(bodies), len(answers) // len(bodies)
    return [
        Sample(
            pixels[place * size : (place + 1) * size],
            answers[place * width : (place + 1) * width],
            label,
        )
        for place, label in enumerate(scores.argmax(axis=1).tolist())
    ]


def _inputs(form: Form, texts: Sequence[bytes]) -> NDArray[np.uint8] | NDArray[np.float32] | None:
    if form.datatype == BYTES_TYPE:
        return parse_uint8(texts, form.elements)
    values = parse_floats(texts, form.elements)
    return None if values is None else _float32(values)


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Return the values in single precision, None if one is too large for it."""
    with np.errstate(over="ignore"):
        packed = values.astype("<f4")
    return packed if np.isfinite(packed).all() else None
