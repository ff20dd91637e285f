"""Secrets and traffic never reach a log line."""

from __future__ import annotations

from typing import Any

import pytest

from streams.logs import REDACTED, redact


@pytest.mark.parametrize(
    "key", ["password", "sasl_password", "Authorization", "api_token", "prompt"]
)
def test_secret_looking_keys_are_redacted(key: str) -> None:
    assert cleaned({key: "hunter2"})[key] == REDACTED


def test_nested_secrets_are_redacted() -> None:
    event = cleaned({"settings": {"kafka": {"sasl_password": "hunter2", "port": 9092}}})
    assert event["settings"] == {"kafka": {"sasl_password": REDACTED, "port": 9092}}


def test_counts_of_tokens_are_kept() -> None:
    assert cleaned({"input_tokens": 12}) == {"input_tokens": 12}


def cleaned(event: dict[str, Any]) -> dict[str, Any]:
    return dict(redact(None, "info", event))
