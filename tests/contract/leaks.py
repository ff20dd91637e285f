"""One assertion for everything that handles a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def assert_no_leak(secrets: Sequence[str], said: Iterable[object]) -> None:
    """Fail if a secret, or a long part of one, is in anything that was said.

    The secret itself is not repeated in the failure either.
    """
    texts = [f"{item!s} {item!r}" for item in said]
    for number, secret in enumerate(secrets):
        parts = {secret, secret[:12], secret[-12:]} if len(secret) >= 12 else {secret}
        for text in texts:
            if any(part in text for part in parts):
                message = f"secret {number} leaked"
                raise AssertionError(message)
