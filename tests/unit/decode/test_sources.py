"""What the settings of a source change."""

from __future__ import annotations

from typing import Any

import pytest

from config.errors import PoisonRecord
from config.settings import SourceSettings
from tests.unit.decode.producers import (
    CALL,
    KSERVE,
    kserve,
    litellm,
)
from tests.unit.decode.records import (
    NAMES,
    REQUEST,
    decode,
    record,
    row_of,
)


def of_source(item: Any, **settings: Any) -> Any:
    return row_of(item, sources={"events": SourceSettings(**settings)})


def test_a_source_that_is_set_to_a_format_takes_no_other() -> None:
    assert of_source(litellm(CALL), format="litellm").model == "gpt-4o"
    with pytest.raises(PoisonRecord, match="another_format"):
        of_source(litellm(CALL), format="envoy")


def test_rules_say_where_the_caller_stands() -> None:
    item = record(
        {**REQUEST, "who": {"name": ["bob"]}},
        {"type": KSERVE + "request", "client": None, "keyid": None, "clientip": None},
        key=b"key-7",
    )
    item = record(item.value, headers=[*item.headers, ("X-Team", b"blue")], key=b"key-7")

    def found(**rules: Any) -> Any:
        row = of_source(item, **rules)
        return row.client, row.tenant

    team = NAMES.of("tenant", "blue")
    bob = NAMES.of("client", "bob")
    assert found(client=["body:who.name"], tenant=["header:x-team"]) == (bob, team)
    missing = ["header:nobody", "body:who.nobody", "body:who.name"]
    assert found(client=missing)[0] == bob
    assert found(client=["key"])[0] == NAMES.of("client", "key-7")
    assert found(client=["attribute:source"])[0] == NAMES.of("client", "http://gateway/1")


@pytest.mark.parametrize(
    ("hops", "network"), [(0, "10.0.0.0/24"), (1, "203.0.113.0/24"), (2, "198.51.100.0/24")]
)
def test_only_what_trusted_hops_wrote_is_believed(hops: int, network: str) -> None:
    headers = [
        ("x-request-id", b"1"),
        ("x-forwarded-for", b"198.51.100.9, 203.0.113.77:4711, 10.0.0.1"),
    ]
    row = of_source(
        record(REQUEST, headers=headers), network=["header:x-forwarded-for"], trusted_hops=hops
    )
    assert row.client_net == network


def test_a_source_names_the_model_that_bodies_do_not() -> None:
    assert of_source(record(REQUEST, headers=[]), model="digits").model == "digits"
    assert of_source(litellm(CALL), model="digits").model == "gpt-4o"


def test_who_does_not_say_who_called_is_kept_or_refused() -> None:
    item = record(REQUEST, headers=[("x-request-id", b"1")], key=None)
    assert of_source(item).client is None
    with pytest.raises(PoisonRecord, match="missing_client"):
        of_source(item, anonymous="refuse")


def test_a_shared_source_marks_its_halves_as_scattered() -> None:
    sources = {"events": SourceSettings(join="shared")}
    decoded = decode(kserve("request", REQUEST), sources=sources)
    assert decoded is not None
    assert decoded.scattered
