"""A body that is parsed once says the same as one that is decoded straight to its type."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import PoisonRecord
from streams.decode.document import Document, Shape
from streams.decode.openai import Request
from tests.unit.decode.records import REQUEST_TYPE, record, row_of

_REQUEST = Shape[Request](Request)
CHAT = '{"model":"m","messages":[{"role":"user","content":"hi"%s}],"temperature":1%s}'
#: Numbers that a model's server may read, and no decoder here does.
UNREADABLE = ["1e999", "1" + "0" * 5000, '[{"a":-1e999}]']

numbers = st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("role", "content", "tool_calls", "refusal", "x"), values)
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=3) | values},
    optional=dict.fromkeys(("model", "n", "temperature", "logprobs", "logit_bias", "user"), values),
)


def outcome(body: Document) -> Any:
    """What reading gives: a request, None, or that it is refused."""
    try:
        return body.try_read(_REQUEST)
    except PoisonRecord:
        return PoisonRecord


@given(requests | values)
def test_what_is_parsed_first_is_read_as_what_is_not(value: Any) -> None:
    text = json.dumps(value).encode()
    parsed, unparsed = Document(text), Document(text)
    if parsed.parse():
        assert repr(outcome(parsed)) == repr(outcome(unparsed))


@given(requests, st.booleans())
def test_members_are_documents_with_the_same_members(value: dict[str, Any], compact: bool) -> None:
    text = json.dumps({"request": value}, separators=(",", ":") if compact else None)
    member = Document(text.encode()).member("request")
    assert member is not None
    assert member.members().keys() == value.keys()
    assert member.members() == Document(json.dumps(value).encode()).members()


@given(values, st.booleans(), st.booleans())
def test_json_without_duplicates_passes_however_it_is_written(
    value: Any, compact: bool, escaped: bool
) -> None:
    separators = (",", ":") if compact else None
    text = json.dumps(value, separators=separators, ensure_ascii=escaped)
    Document(text.encode()).check()


@given(st.dictionaries(st.text(max_size=3), values, min_size=1), st.data())
def test_a_member_that_is_written_twice_is_found_wherever_it_stands(
    members: dict[str, Any], data: st.DataObject
) -> None:
    twice = data.draw(st.sampled_from(sorted(members)))
    pairs = [*members.items(), (twice, data.draw(values))]
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs)
    with pytest.raises(PoisonRecord) as caught:
        Document(b'{"x":[{%b}]}' % text.encode()).check()
    assert caught.value.reason == "duplicate_key"


@pytest.mark.parametrize("value", UNREADABLE)
@pytest.mark.parametrize("place", ["in a message", "beside the messages"])
def test_a_member_that_nobody_reads_costs_no_record(value: str, place: str) -> None:
    extra = f',"extra":{value}'
    text = CHAT % ((extra, "") if place == "in a message" else ("", extra))
    assert not Document(text.encode()).parse()
    row = row_of(record(text.encode(), {"type": REQUEST_TYPE}), text_tenants=["acme"])
    assert row.prompt == "hi"
    whole = b'{"request":%b,"response":{"choices":[]}}' % text.encode()
    assert row_of(record(whole), text_tenants=["acme"]).prompt == "hi"


def test_bytes_that_are_not_utf8_are_found_in_members_that_nobody_reads() -> None:
    for text in (b'{"x":"\xff"}', b'{"\xff":1}', b'{"x":[{"\xc3":1}],"y":1e999}'):
        with pytest.raises(PoisonRecord) as caught:
            Document(text).check()
        assert caught.value.reason == "invalid_utf8"


def test_a_document_of_no_json_has_no_members_to_look_at() -> None:
    for text in (b"", b"{", b"GIF89a", b'{"a":1} {}'):
        with pytest.raises(PoisonRecord):
            Document(text).members()
    assert Document(b"[]").members() == {}
