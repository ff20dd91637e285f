"""Personal data and secrets are found, and what only looks like them is left alone."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.redact import Redactor
from streams.redact.checks import iban_length, luhn
from streams.redact.patterns import KINDS
from tests.unit.decode.records import REQUEST_TYPE, record, row_of

REDACTOR = Redactor()
DATA = Path(__file__).parents[3].parent / "shared" / "data" / "pii" / "presidio_synth.jsonl.gz"
GITHUB = "ghp_" + "a1B2" * 9
FOUND = {
    "email": "ann.lee+x@mail.example.org",
    "card": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "ssn": "123-45-6789",
    "ip": "203.0.113.77",
    "phone": "+44 20 7946 0958",
    "aws_key": "AKIAIOSFODNN7EXAMPLE",
    "github_token": GITHUB,
    "slack_token": "xoxb-1234567890-abcdef",
    "google_key": "AIza" + "Sy0" * 11 + "ab",
    "stripe_key": "sk_live_" + "a1" * 12,
    "api_key": "sk-proj-" + "Ab1_" * 8,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
}
NOTHING = [
    "version 1.2.3, 12:30:45 on 2026-11-24, 3.14159, 1,000,000 rows",
    "order 4111111111111112",  # wrong check digit
    "GB82WEST12345698765433 is no account",  # wrong check digits
    "666-12-3456 and 999-12-3456",  # never given out
    "300.1.2.3 and 01.02.03.04 and 01.02.2026 and 01-02-2026",
    "a @ b, user@localhost, @mention",
    "enterprises.9.9.392.1.3.21.1.20 and 1.3.6.1.4.1.31337.5",
    "std::vector<int> a::b::c",
    "17:08:02 19.07.2020, $5.04 072-6385 and Nature 12(3), 345-367 (2020) 1234-1240",
    "sk-short and AKIA-not and eyJ.x.y",
]


@pytest.mark.parametrize("kind", FOUND)
def test_each_kind_is_masked_and_its_surroundings_stay(kind: str) -> None:
    kept, notes = REDACTOR.apply(f"so \u00e9 {FOUND[kind]}, ok?", "prompt")
    assert kept == f"so \u00e9 [{kind}], ok?"
    assert notes == {"vedette.masked.prompt": f"{kind}=1"}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("password: hunter22", "password: [password]"),
        ('{"api_key": "abcdef123"}', '{"api_key": "[password]"}'),
        ("Authorization: Bearer abcdefghijklmnop123", "Authorization: Bearer [bearer_token]"),
        ("postgres://bob:hunter22@db/x", "postgres://bob:[url_password]@db/x"),
        ("call me on 467 3395", "call me on [phone]"),
        ("655 437 108 office", "[phone] office"),
        # a number beside it hides none
        ("19 4111111111111111 3", "19 [card] 3"),
        ("+34683113248 4711081500", "[phone] 4711081500"),
        ("080-4416-2483 1234567", "[phone] 1234567"),
    ],
)
def test_of_what_a_word_gives_away_only_the_secret_is_masked(text: str, kept: str) -> None:
    assert REDACTOR.mask(text) == kept


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert REDACTOR.apply(text, "prompt") == (text, {})


def test_every_kind_is_tested() -> None:
    assert {kind.name for kind in KINDS} == set(FOUND) | {
        "password",
        "bearer_token",
        "url_password",
    }


def test_a_dropped_text_leaves_its_length_and_counts() -> None:
    drop = Redactor("drop")
    kept, notes = drop.apply("mail ann@example.org", "prompt")
    assert kept is None
    assert notes == {"vedette.masked.prompt": "email=1", "vedette.chars.prompt": "20"}
    assert drop.apply("mail ann@example.org", "prompt", keep=True)[0] == "mail [email]"
    assert Redactor("off").apply("mail ann@example.org", "prompt") == ("mail ann@example.org", {})


def test_checksums() -> None:
    assert [luhn(digits) for digits in ("79927398713", "79927398710")] == [True, False]
    assert iban_length("DE89370400440532013000 and more") == len("DE89370400440532013000")


@given(st.text(max_size=200))
def test_any_text_stays_a_text(text: str) -> None:
    kept, notes = REDACTOR.apply(text, "prompt")
    assert kept is not None
    assert bool(notes) == (kept != text)


@pytest.mark.parametrize(
    "hostile",
    [
        "a@" * 100_000,
        "4" * 200_000,
        "1.1." * 50_000,
        "-----BEGIN PRIVATE KEY-----" * 5_000,
        "ab:" * 60_000,
        "GB82 WEST " * 20_000,
        "a.a@b.co " * 20_000,
    ],
)
def test_a_hostile_text_takes_bounded_time(hostile: str) -> None:
    began_s = time.process_time()
    REDACTOR.apply(hostile, "prompt")
    assert time.process_time() - began_s < 2.0


def test_what_ingest_keeps_is_masked_and_what_it_hashes_is_not() -> None:
    body = {
        "request": {"messages": [{"role": "user", "content": "I am ann@example.org"}]},
        "response": {"choices": [{"message": {"content": "hello ann@example.org"}}]},
    }
    row = row_of(record(body))
    assert (row.prompt, row.completion) == ("I am [email]", "hello [email]")
    assert row.params == {
        "vedette.masked.prompt": "email=1",
        "vedette.masked.completion": "email=1",
    }
    assert row.input_hash == row_of(record(body), redact="off").input_hash
    dropped = row_of(record(body), redact="drop")
    assert (dropped.prompt, dropped.params["vedette.chars.prompt"]) == (None, "20")
    assert row_of(record(body), redact="drop", text_tenants=("acme",)).prompt == "I am [email]"


def test_a_secret_at_the_edge_of_what_is_kept_is_masked_whole() -> None:
    prompt = "x" * 290 + " " + GITHUB + " " + "y" * 1000
    body = {"model": "m", "prompt": prompt}
    row = row_of(record(body, {"type": REQUEST_TYPE}), max_text_bytes=300)
    assert row.prompt == "x" * 290 + " [github_t"
    assert row.params["vedette.truncated"] == "prompt"
    dropped = row_of(record(body, {"type": REQUEST_TYPE}), max_text_bytes=300, redact="drop")
    assert dropped.params["vedette.chars.prompt"] == str(len(prompt))


@pytest.mark.skipif(not DATA.exists(), reason="the labelled texts are not on this machine")
def test_structured_kinds_are_found_in_labelled_texts() -> None:
    kinds = {
        "CREDIT_CARD": "card",
        "IBAN_CODE": "iban",
        "EMAIL_ADDRESS": "email",
        "US_SSN": "ssn",
        "IP_ADDRESS": "ip",
        "PHONE_NUMBER": "phone",
    }
    outcome: Counter[str] = Counter()
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    began_s = time.process_time()
    for document in documents:
        text = document["text"]
        wanted = [
            (
                kinds[span["type"]],
                len(text[: span["start"]].encode()),
                len(text[: span["end"]].encode()),
            )
            for span in document["spans"]
            if span["type"] in kinds
        ]
        for hit in REDACTOR.find(text.encode()):
            fitting = [
                want
                for want in wanted
                if want[0] == hit.kind and want[1] < hit.end and hit.start < want[2]
            ]
            outcome["right" if fitting else "wrong"] += 1
            if fitting:
                wanted.remove(fitting[0])
        outcome["missed"] += len(wanted)
    used_s = time.process_time() - began_s
    assert outcome["right"] / (outcome["right"] + outcome["wrong"]) >= 0.95
    assert outcome["right"] / (outcome["right"] + outcome["missed"]) >= 0.97
    assert used_s / len(documents) <= 200e-6  # twice the budget, for a busy machine
