"""Documents are ECS, byte for byte the same for the same row, and say what was not seen."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from detectors.finding import Technique
from streams.frames import AUDIT_SCHEMA, decode_frame, encode_frame
from streams.store.documents import alert_row, audit_rows
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, BASE_US, CHAT, FULL, frame

GOLDEN = Path(__file__).parent / "golden"
ALWAYS = {"@timestamp", "ecs", "data_stream", "event", "message", "tags"}


def body(record):
    (row,) = audit_rows(frame(record))
    return msgspec.json.decode(row.body)


@pytest.mark.parametrize(
    ("name", "record"), [("predict", FULL), ("bare", BARE), ("refused_chat", CHAT)]
)
def test_interactions_give_the_golden_documents(name, record):
    (row,) = audit_rows(frame(record))
    assert msgspec.json.format(row.body) == (GOLDEN / f"{name}.json").read_bytes().rstrip()


def test_alerts_give_the_golden_document():
    row = alert_row(alert())
    assert msgspec.json.format(row.body) == (GOLDEN / "alert.json").read_bytes().rstrip()
    assert (row.event_id, row.kind, row.client) == (alert().id, "alert", "u1_mallory")
    assert row.rule_id == "extraction.coverage"


@pytest.mark.parametrize("record", [FULL, BARE, CHAT])
def test_the_fields_elastic_security_needs_are_always_there(record):
    assert body(record).keys() >= ALWAYS
    assert body(record)["event"].keys() >= {"kind", "category", "type", "outcome", "id"}


def test_columns_of_the_row_equal_the_document():
    (row,) = audit_rows(frame(FULL))
    assert row[:7] == (FULL["id"], BASE_US, "event", "u1_alice", "digits", None, "t1")
    assert body(FULL)["@timestamp"] == "2026-09-21T14:13:20.000000Z"


def test_what_was_not_scanned_is_recorded():
    assert body(BARE)["tags"] == ["not-scanned"]
    assert body(BARE)["vedette"]["scanned"] is False
    assert body(FULL)["tags"] == []


@pytest.mark.parametrize(
    ("status", "outcome", "access"),
    [
        (None, "unknown", "allowed"),
        (0, "unknown", "allowed"),
        (200, "success", "allowed"),
        (500, "failure", "allowed"),
        (401, "failure", "denied"),
        (429, "failure", "denied"),
    ],
)
def test_outcome_and_access_follow_the_status(status, outcome, access):
    event = body({**BARE, "status": status})["event"]
    assert (event["outcome"], event["type"]) == (outcome, ["access", access])


def test_numbers_read_as_they_were_meant():
    assert body(FULL)["vedette"]["confidence"] == 0.9
    assert body({**FULL, "confidence": math.nan})["vedette"]["confidence"] is None


def test_a_frame_keeps_its_order_and_length():
    records = [{**BARE, "id": f"i{number}"} for number in range(700)]
    rows = audit_rows(decode_frame(encode_frame(frame(*records)), AUDIT_SCHEMA))
    assert [row.event_id for row in rows] == [record["id"] for record in records]


def test_an_empty_frame_gives_nothing():
    assert audit_rows(frame()) == []


@pytest.mark.parametrize("trace", ["", "00-abc", "x" * 200, None])
def test_a_trace_that_is_none_is_left_out(trace):
    assert "trace" not in body({**BARE, "trace": trace})


def test_a_campaign_has_related_users_but_no_single_one():
    from detectors.finding import Subject

    row = alert_row(alert(subject=Subject(type="campaign", ids=("a", "b"))))
    document = msgspec.json.decode(row.body)
    assert row.client is None
    assert document["related"]["user"] == ["a", "b"]
    assert "user" not in document


def test_techniques_stand_beside_their_names_and_pages():
    def technique(identity, name):
        return Technique(id=identity, name=name, edition="2026.10")

    given = (
        technique("AML.T0043.001", "Craft Adversarial Data: Black-Box Optimization"),
        technique("AML.T0015", "Evade AI Model"),
        technique("AML.T0099.001", "Something"),
    )
    threat = msgspec.json.decode(alert_row(alert(atlas=given)).body)["threat"]["technique"]
    assert list(zip(threat["id"], threat["name"], strict=True)) == [
        ("AML.T0015", "Evade AI Model"),
        ("AML.T0043", "Craft Adversarial Data"),
        ("AML.T0099", "AML.T0099"),
    ]
    assert threat["reference"][0] == "https://atlas.mitre.org/techniques/AML.T0015"
    assert threat["subtechnique"]["id"] == ["AML.T0043.001", "AML.T0099.001"]


def test_an_edition_is_written_once():
    given = (Technique(id="LLM06:2026", name="Unbounded Consumption", edition="2026"),)
    tags = msgspec.json.decode(alert_row(alert(owasp=given)).body)["tags"]
    assert tags == ["AML.T0024.002:2026.10", "LLM06:2026"]
