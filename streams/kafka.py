"""How every Kafka client of Vedette connects: addresses, TLS and SASL from one place.

SASL is never offered without a TLS context: a password on a plain connection is a leak.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from config.errors import ConfigError

if TYPE_CHECKING:
    from config.settings import KafkaSettings


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the connection arguments of an aiokafka producer or consumer.

    Raises
    ------
    ConfigError
        If SASL is asked for without a username and password, or ``ca_file`` cannot be read.
    """
    options = _connection_options(settings)
    options["bootstrap_servers"] = settings.bootstrap_servers
    return options


def admin_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the connection arguments of a kafka-python admin client.

    Raises
    ------
    ConfigError
        As `aiokafka_options`.
    """
    options = _connection_options(settings)
    options["bootstrap_servers"] = [
        server.strip() for server in settings.bootstrap_servers.split(",")
    ]
    return options


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the broker connections, None for plain text.

    Raises
    ------
    ConfigError
        If ``ca_file`` cannot be read or holds no certificate.
    """
    if settings.security_protocol == "PLAINTEXT":
        return None
    cafile = None if settings.ca_file is None else str(settings.ca_file)
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError:  # SSLError is one of them
        raise ConfigError(
            "VEDETTE_KAFKA__CA_FILE is not a readable PEM file of certificates"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def sasl_credentials(settings: KafkaSettings) -> tuple[str, str] | None:
    """Return username and password for SASL, None where it is not used.

    Raises
    ------
    ConfigError
        If one of them is missing, or if they are set for a connection without TLS.
    """
    username, password = settings.sasl_username, settings.sasl_password
    if settings.security_protocol != "SASL_SSL":
        if username is not None or password is not None:
            raise ConfigError(
                "VEDETTE_KAFKA__SASL_USERNAME and _SASL_PASSWORD need "
                "VEDETTE_KAFKA__SECURITY_PROTOCOL=SASL_SSL"
            )
        return None
    if not username or password is None or not password.get_secret_value():
        raise ConfigError(
            "SASL_SSL needs VEDETTE_KAFKA__SASL_USERNAME and VEDETTE_KAFKA__SASL_PASSWORD"
        )
    return username, password.get_secret_value()


def _connection_options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    credentials = sasl_credentials(settings)
    context = tls_context(settings)
    if context is not None:
        options["ssl_context"] = context
    if credentials is not None:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"], options["sasl_plain_password"] = credentials
    return options
