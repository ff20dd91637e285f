"""What every record format keeps to, found by the registry."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from config.errors import PoisonRecord
from config.settings import IngestSettings, SourceSettings
from streams.decode.body import Limits
from streams.decode.document import Document
from streams.decode.envelope import read_headers
from streams.decode.formats import BODIES, RECORDS
from streams.decode.model import Part
from streams.decode.reader import BodyReader
from streams.decode.reasons import REASONS
from tests.unit.decode.producers import (
    CALL,
    GENAI,
    INPUTS,
    LINE,
    kserve,
    otlp,
    seldon,
)
from tests.unit.decode.records import EVENT, REQUEST, RESPONSE, decode, record
from tests.unit.decode.test_fuzz_producers import peak_bytes
from tests.unit.decode.wire import infer_request

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).parents[2] / "docs" / "producers.md"
LIMITS = Limits.of(IngestSettings())
SAMPLES: dict[str, list[Any]] = {
    "cloudevents": [record(EVENT), kserve("request", REQUEST), kserve("response", RESPONSE)],
    "seldon": [seldon(INPUTS, infer_request())],
    "mlserver": [record(REQUEST, headers=[("mlserver-model", b"m")], key=b"1")],
    "otlp": [record(otlp(*GENAI), headers=[])],
    "litellm": [record(CALL, headers=[]), record([CALL], headers=[])],
    "envoy": [record(LINE, headers=[])],
    "bare": [
        record(REQUEST, headers=[]),
        record({"instances": [1]}, headers=[]),
        record({"model": "m", "messages": []}, headers=[]),
    ],
}
JUNK = [b"", b"\0", b"{", b"[]", b"{}", b"null", b"GIF89a", b"\xff" * 9, b"[" * 5000, b'{"a":1}']


def reason_of(call: Callable[[], object]) -> str | None:
    """Why a call refuses its record; None if it does not."""
    try:
        call()
    except PoisonRecord as error:
        return error.reason
    return None


def events_of(name: str, item: Any) -> Any:
    read = RECORDS[name](BodyReader(LIMITS, BODIES)).events
    return read(item, Document(item.value), read_headers(item.headers, 512))


def test_every_format_has_samples_a_setting_and_a_line_in_the_documentation() -> None:
    assert set(SAMPLES) == set(RECORDS)
    named = get_args(SourceSettings.model_fields["format"].annotation)
    assert set(named) == {"auto", *RECORDS}
    assert all(f"| `{name}` |" in DOCS.read_text(encoding="utf-8") for name in RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_a_format_knows_its_own_and_is_the_first_to(name: str) -> None:
    for item in SAMPLES[name]:
        claims = [other for other in RECORDS if claims_it(other, item)]
        assert claims[0] == name, claims


def claims_it(name: str, item: Any) -> bool:
    try:
        return events_of(name, item) is not None
    except PoisonRecord:
        return True


@pytest.mark.parametrize("name", RECORDS)
def test_a_format_that_is_asked_for_takes_its_own_and_refuses_the_others(name: str) -> None:
    for other, items in SAMPLES.items():
        for item in items:
            sources = {item.topic: SourceSettings(format=name)}  # type: ignore[arg-type]
            if other == name:
                assert decode(item, sources=sources) is not None
                continue
            if claims_it(name, item):
                continue  # a bare body within another envelope
            with pytest.raises(PoisonRecord) as caught:
                decode(item, sources=sources)
            assert caught.value.reason == "another_format"


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("junk", JUNK)
def test_junk_is_left_alone_or_refused_with_a_reason(name: str, junk: bytes) -> None:
    for item in SAMPLES[name]:
        bad = record(junk, headers=item.headers, key=item.key, topic=item.topic)
        assert reason_of(lambda bad=bad: events_of(name, bad)) in {None, *REASONS}


HOSTILE = {
    "ten megabytes": lambda body: body + b" " * (10 << 20),
    "nested deeply": lambda body: b'{"a":' * 200_000 + body + b"}" * 200_000,
    "an integer of a million digits": lambda body: body[:-1] + b',"a":' + b"9" * 1_000_000 + b"}",
    "three megabytes of members": lambda body: body[:-1] + b',"a":1' * 500_000 + b"}",
    "the same a thousand times": lambda body: body * 1000,
    "nothing but brackets": lambda _: b"[" * (4 << 20),
    "nothing but fields of protobuf": lambda _: b"\x0a\x02\x0a\x00" * (1 << 20),
    "texts that are all escapes": lambda body: body[:-1] + b',"a":"' + b"\\u003a" * 500_000 + b'"}',
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets peaks")
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", RECORDS)
def test_a_hostile_record_costs_bounded_time_and_memory(name: str, kind: str) -> None:
    for item in SAMPLES[name]:
        bad = record(HOSTILE[kind](item.value), headers=item.headers, key=item.key)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before_bytes, began_s = peak_bytes(), time.process_time()
        assert reason_of(lambda bad=bad: decode(bad)) in {None, *REASONS}
        assert time.process_time() - began_s < 3.0
        assert peak_bytes() - before_bytes < 192 << 20


@pytest.mark.parametrize("name", RECORDS)
def test_events_say_what_the_pipeline_needs(name: str) -> None:
    for item in SAMPLES[name]:
        for event in events_of(name, item):
            assert event.part is Part.COMPLETE or (event.id and event.source)
            assert event.request is not None or event.response is not None
            assert event.part is not Part.RESPONSE or event.request is None
            assert event.part is not Part.REQUEST or event.response is None


@pytest.mark.parametrize("make", BODIES)
@pytest.mark.parametrize("junk", [b"{}", b"[]", b"1", b"null", b'"x"', b'{"zzz":1}'])
def test_a_body_format_leaves_json_of_others_alone(make: Any, junk: bytes) -> None:
    body_format = make(LIMITS)
    for body in (Document(junk), Document(None, json.loads(junk))):
        assert not (body_format.asks(body.members()) and body_format.request(body))
        assert not (body_format.answers(body.members()) and body_format.response(body))
    assert body_format.stream(Document(b"[" + junk + b"]")) is None


@pytest.mark.parametrize("make", BODIES)
@pytest.mark.parametrize("junk", [*JUNK, json.dumps(EVENT).encode()[:-3]])
def test_a_body_format_raises_only_reasons(make: Any, junk: bytes) -> None:
    body_format = make(LIMITS)
    for read in (body_format.request, body_format.response):
        assert reason_of(lambda read=read: read(Document(junk))) in {None, *REASONS}
