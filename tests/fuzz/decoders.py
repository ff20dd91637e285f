"""Coverage-guided fuzzing of the decoders, by hand: atheris is no dependency of ours.

::

    pip install atheris
    python -m tests.fuzz.decoders -max_total_time=600 CORPUS_DIRECTORY

The first byte chooses how a producer wraps the rest. Whatever comes, decoding gives rows or one of
the known reasons, within a second; and usual records decoded together, column by column, leave what
they leave one after the other.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Without the check of the types, atheris has none.
atheris: Any = importlib.import_module("atheris")

with atheris.instrument_imports(include=["streams"]):
    from config.errors import PoisonRecord
    from streams.decode.runs import run as run_module
    from streams.redact import Redactor
    from tests.unit.decode.producers import (
        INPUTS,
        delta,
        kserve,
        litellm,
        protobuf,
        seldon,
        stream,
    )
    from tests.unit.decode.records import BROKER_MS, REQUEST_TYPE, headers_of, record
    from tests.unit.decode.test_fuzz import outcome
    from tests.unit.decode.test_fuzz_producers import DOCUMENTS, MESSAGES
    from tests.unit.decode.wire import binary_body
    from tests.unit.ingest.test_runs import EVENT, RUNS, builder, by_target, joiner, one_by_one

_LIMIT_S = 1.0
_STRUCTURED = [("content-type", b"application/cloudevents+json")]
USUAL = json.dumps(EVENT).encode()
HEADERS = [*headers_of(), ("content-type", b"application/json")]

WRAPPINGS: tuple[Callable[[bytes], Any], ...] = (
    litellm,
    record,
    lambda body: record(body, {"type": REQUEST_TYPE}),
    lambda body: kserve("request", body),
    lambda body: kserve("response", body),
    lambda body: protobuf("request", body),
    lambda body: protobuf("response", body),
    lambda body: seldon(INPUTS, body),
    lambda body: seldon("renamed", body, infer_type=None),
    lambda body: record(body, headers=_STRUCTURED),
    lambda body: record(body, headers=[("mlserver-model", b"m")]),
    lambda body: record(body, headers=_headers(body)),
    lambda body: record(body, headers=HEADERS),
)
#: The last one is that of usual records, which are decoded together.
_TOGETHER = len(WRAPPINGS) - 1
_REDACTOR = Redactor()


def _headers(data: bytes) -> list[tuple[str, bytes]]:
    """Headers out of bytes: names and values, one after the other, up to a zero."""
    parts = data.split(b"\0")
    names = (part.decode("utf-8", "replace") for part in parts[::2])
    return list(zip(names, parts[1::2], strict=False))


def check(data: bytes) -> None:
    """Decode one input in the way that its first byte names."""
    if not data:
        return
    number, body = data[0] % len(WRAPPINGS), data[1:]
    began_s = time.process_time()
    item = WRAPPINGS[number](body)
    outcome(item)
    if number == _TOGETHER:
        _compare(body)
    _REDACTOR.find(body)
    if time.process_time() - began_s > _LIMIT_S:
        raise TimeoutError(f"a record of {len(body)} bytes took more than {_LIMIT_S} s")


def _compare(body: bytes) -> None:
    """Take a record among usual ones, together and one after the other."""
    items = [
        record(value, headers=HEADERS, offset=n) for n, value in enumerate([USUAL, body, USUAL])
    ]
    run = RUNS.decode(items)
    if run is None or len(run.at) < len(items):
        return
    alone, together = (joiner(), builder()), (joiner(), builder())
    try:
        one_by_one(items, *alone)
    except PoisonRecord as error:
        raise AssertionError("refused alone, and taken among others") from error
    told = together[0].add_run(run, BROKER_MS)
    assert told is not None
    together[1].add_run(run, told)
    assert by_target(alone[1]) == by_target(together[1])
    assert sorted(alone[0].snapshot()) == sorted(together[0].snapshot())


def corpus() -> Iterator[bytes]:
    """Yield a first input for each wrapping and each sample."""
    bodies = [json.dumps(document).encode() for document in DOCUMENTS] + MESSAGES
    bodies += [USUAL, binary_body(4), stream(delta("a"), delta("b"))]
    bodies.append(b"\0".join(part for name, text in HEADERS for part in (name.encode(), text)))
    for number in range(len(WRAPPINGS)):
        for body in bodies:
            yield bytes([number]) + body


def main() -> None:
    """Fill an empty corpus, and fuzz."""
    run_module.MIN_RECORDS = 2
    directory = Path(sys.argv[-1])
    if directory.is_dir() and not any(directory.iterdir()):
        for number, data in enumerate(corpus()):
            (directory / f"first-{number}").write_bytes(data)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
