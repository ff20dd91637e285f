"""Connections: SASL only ever goes with TLS, and mistakes name the setting."""

from __future__ import annotations

import ssl

import pytest
from pydantic import SecretStr

from config.errors import ConfigError
from config.settings import KafkaSettings
from streams.kafka import admin_options, aiokafka_options

SASL = {"sasl_username": "vedette", "sasl_password": SecretStr("hunter2")}


def test_plain_text_carries_no_credentials() -> None:
    options = aiokafka_options(KafkaSettings(bootstrap_servers="a:1,b:2"))
    assert options == {"bootstrap_servers": "a:1,b:2", "security_protocol": "PLAINTEXT"}
    assert admin_options(KafkaSettings(bootstrap_servers="a:1, b:2"))["bootstrap_servers"] == [
        "a:1",
        "b:2",
    ]


def test_sasl_always_comes_with_a_tls_context() -> None:
    options = aiokafka_options(KafkaSettings(security_protocol="SASL_SSL", **SASL))
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["sasl_plain_password"] == "hunter2"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_credentials_without_sasl_are_refused(protocol: str) -> None:
    with pytest.raises(ConfigError, match="SASL_SSL"):
        aiokafka_options(KafkaSettings(security_protocol=protocol, **SASL))


def test_sasl_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="SASL_PASSWORD"):
        aiokafka_options(KafkaSettings(security_protocol="SASL_SSL", sasl_username="vedette"))
