"""What the headers of usual records say, as columns: who called what, when, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streams.decode.envelope import known_network, parse_count
from streams.decode.reasons import poison
from streams.decode.record import ANSWERED, MAX_STATUS, without_query
from streams.decode.runs.times import parse_times_us

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from streams.decode.envelope import TimeBounds
    from streams.decode.runs.bodies import Form
    from streams.decode.runs.heads import Heads
    from streams.identity import Pseudonyms
    from streams.records import Fetched

Columns = dict[str, "Sequence[Any]"]


class Origin(NamedTuple):
    """Where records are from, and the broker's times of them."""

    topic: str
    partition: int
    offsets: list[int]
    times_ms: NDArray[np.int64]

    @classmethod
    def of(cls, records: Fetched, at: Sequence[int]) -> Origin:
        """Return it for some of the records."""
        columns = records.columns
        offsets = columns.offsets[at].tolist()
        return cls(records.topic, records.partition, offsets, columns.timestamps_ms[at])


def read_envelopes(
    origin: Origin, heads: Heads, forms: Sequence[Form], names: Pseudonyms
) -> Columns:
    """Return the fields of `Interaction` that headers and forms know, but for the time.

    Parameters
    ----------
    origin, heads, forms
        Of the same events.
    names
        What identities are replaced with.

    Notes
    -----
    A value that is wrong makes its record one of the bad ones of ``heads``.
    """

    def pseudonyms(kind: str) -> Callable[[str], str | None]:
        return lambda text: names.of(kind, text) if text else None

    read = heads.read
    prefix, offsets = f"{origin.topic}-{origin.partition}-", origin.offsets
    columns: dict[str, Sequence[Any] | None] = {
        "id": [f"{prefix}{offset}-0" for offset in offsets],
        "offset": offsets,
        "index": [0] * len(offsets),
        "tenant": read("tenant", pseudonyms("tenant")),
        "client": read("client", lambda text: names.of("client", present(text))),
        "key_id": read("keyid", pseudonyms("key")),
        "client_net": read("clientip", lambda text: known_network(text) if text else None),
        "user_agent": read("useragent", str),
        "model": _models(heads, forms),
        "model_version": _versions(heads, forms),
        "endpoint": read("endpoint", without_query),
        "operation": ["predict"] * len(offsets),
        "status": read("status", _status) or [ANSWERED] * len(offsets),
        "latency_us": read("latencyus", parse_count),
        "trace": read("traceparent", str),
        "input_shape": [form.row_shape for form in forms],
        "input_dtype": [form.dtype for form in forms],
    }
    return {name: column for name, column in columns.items() if column is not None}


def read_times(origin: Origin, heads: Heads, bounds: TimeBounds) -> list[int]:
    """Return the events' times, the broker's if they tell none.

    Times that cannot be read here, and those that are too far away, make their records bad.
    """
    broker_us = origin.times_ms * 1000
    texts = heads.values("time")
    if texts is None:
        return list(np.maximum(broker_us, 0).tolist())
    times, known = parse_times_us(texts)
    early_us = broker_us - times
    known &= (broker_us <= 0) | ((-early_us <= bounds.future_us) & (early_us <= bounds.past_us))
    heads.bad.update(np.flatnonzero(~known).tolist())
    return list(times.tolist())


def present(text: str) -> str:
    """Return a text that must not be empty.

    Raises
    ------
    PoisonRecord
        If it is.
    """
    if not text:
        raise poison("missing_attribute")
    return text


def _status(text: str) -> int | None:
    return parse_count(text, MAX_STATUS)


def _models(heads: Heads, forms: Sequence[Form]) -> Sequence[str | None] | None:
    named = heads.read("model", str)
    if named is not None and all(named):
        return named
    others = [form.model for form in forms]
    later = (heads.read("modelid", str), heads.read("inferenceservicename", str))
    return _first(named, others, *later)


def _versions(heads: Heads, forms: Sequence[Form]) -> Sequence[str | None] | None:
    return _first(heads.read("modelversion", str), [form.model_version for form in forms])


def _first(*columns: Sequence[str | None] | None) -> Sequence[str | None] | None:
    """Return, for each record, the first text that is not empty; of none, the last that is."""
    known = [column for column in columns if column is not None]
    joined = [_either(texts) for texts in zip(*known, strict=True)]
    return joined if any(text is not None for text in joined) else None


def _either(texts: tuple[str | None, ...]) -> str | None:
    """Return what ``a or b or c`` does."""
    return next((text for text in texts if text), texts[-1])
