"""Standard Webhooks 1.0.0 signatures: HMAC-SHA256 and Ed25519.

Several secrets sign together, so that a receiver can move from the old to the new one.

References
----------
standard-webhooks/standard-webhooks, ``spec/standard-webhooks.md``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    Sign = Callable[[bytes], str]

_HMAC_PREFIX = "whsec_"
_ED25519_PREFIX = "whsk_"
_MIN_HMAC_BYTES, _MAX_HMAC_BYTES = 24, 64
_SEED_BYTES = 32


class Signer:
    """Signs messages with every secret of one endpoint.

    Parameters
    ----------
    secrets
        Space-separated ``whsec_`` (shared) and ``whsk_`` (Ed25519 private) secrets.
    endpoint
        Name of the webhook for error messages.

    Raises
    ------
    ConfigError
        If a secret has the wrong form; the text does not repeat it.
    """

    def __init__(self, secrets: str, *, endpoint: str) -> None:
        self._signs = tuple(_sign_with(secret, endpoint) for secret in secrets.split())
        if not self._signs:
            raise ConfigError(f"webhook {endpoint}: the secret is empty")

    def headers(self, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
        """Return the three headers for exactly these bytes."""
        content = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(sign(content) for sign in self._signs),
        }


def _sign_with(secret: str, endpoint: str) -> Sign:
    for prefix, make in ((_HMAC_PREFIX, _hmac), (_ED25519_PREFIX, _ed25519)):
        if secret.startswith(prefix):
            return make(_decode(secret.removeprefix(prefix), endpoint), endpoint)
    raise ConfigError(
        f"webhook {endpoint}: a secret starts with {_HMAC_PREFIX} or {_ED25519_PREFIX}"
    )


def _decode(text: str, endpoint: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ConfigError(f"webhook {endpoint}: a secret is not base64") from None


def _hmac(key: bytes, endpoint: str) -> Sign:
    if not _MIN_HMAC_BYTES <= len(key) <= _MAX_HMAC_BYTES:
        raise ConfigError(
            f"webhook {endpoint}: a {_HMAC_PREFIX} secret has "
            f"{_MIN_HMAC_BYTES} to {_MAX_HMAC_BYTES} bytes"
        )

    def sign(content: bytes) -> str:
        return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"

    return sign


def _ed25519(key: bytes, endpoint: str) -> Sign:
    # Some tools write the seed, others the seed followed by the public key.
    if len(key) not in (_SEED_BYTES, 2 * _SEED_BYTES):
        raise ConfigError(f"webhook {endpoint}: a {_ED25519_PREFIX} key has 32 or 64 bytes")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED_BYTES])

    def sign(content: bytes) -> str:
        return f"v1a,{base64.b64encode(private.sign(content)).decode()}"

    return sign
