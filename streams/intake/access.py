"""Who may post: a bearer token, or the same as the password of basic authentication.

KServe's logger can send no header of its own, but its client turns the user part of the URL
into basic authentication: ``http://any:TOKEN@intake:8088``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING

from config.errors import ConfigError

if TYPE_CHECKING:
    from config.settings import IntakeSettings

MIN_TOKEN_CHARS = 16
_MAX_HEADER_CHARS = 1024


class Access:
    """Compares what a request brings with the token, in constant time.

    Parameters
    ----------
    token
        The secret; None admits everybody.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def admits(self, authorization: str | None) -> bool:
        """Say whether an ``Authorization`` header may post."""
        if self._token is None:
            return True
        given = _secret_of(authorization or "")
        return given is not None and hmac.compare_digest(given, self._token)


def _secret_of(authorization: str) -> bytes | None:
    scheme, _, value = authorization[:_MAX_HEADER_CHARS].partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("utf-8", "replace")
    if scheme.lower() != "basic":
        return None
    try:
        _, separator, password = base64.b64decode(value, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return password if separator else None


def access_of(settings: IntakeSettings) -> Access:
    """Return the access that the settings ask for.

    Raises
    ------
    ConfigError
        If the token is missing where others can reach the server, or is too short.
    """
    token = settings.token.get_secret_value() if settings.token is not None else None
    if token is None and not _is_loopback(settings.host):
        raise ConfigError(
            "VEDETTE_INTAKE__TOKEN must be set where VEDETTE_INTAKE__HOST is not loopback"
        )
    if token is not None and len(token) < MIN_TOKEN_CHARS:
        raise ConfigError(f"VEDETTE_INTAKE__TOKEN must have at least {MIN_TOKEN_CHARS} characters")
    return Access(token)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def server_tls(settings: IntakeSettings) -> ssl.SSLContext | None:
    """Return the TLS context of the server, None for plain HTTP.

    Raises
    ------
    ConfigError
        If certificate or key is missing or cannot be read.
    """
    certificate, key = settings.certificate, settings.certificate_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError(
            "VEDETTE_INTAKE__CERTIFICATE and VEDETTE_INTAKE__CERTIFICATE_KEY go together"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError:  # SSLError is one of them
        raise ConfigError(
            "VEDETTE_INTAKE__CERTIFICATE or its key is not readable PEM, or they do not match"
        ) from None
    return context
