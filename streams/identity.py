"""Pseudonyms: keyed hashes instead of who people are.

``HMAC-SHA256(key, kind || 0x00 || value)`` cut to 128 bits, base32, prefixed with the epoch of
the key. Without the key a pseudonym cannot be turned back by trying all e-mails or addresses;
deleting the key of an epoch unlinks everything that was written in it.
"""

from __future__ import annotations

import hmac
import os
import secrets
from base64 import b32encode
from functools import lru_cache
from hashlib import blake2b, sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from config.settings import Settings

KEY_BYTES = 32
_DIGEST_BYTES = 16
_DIGEST_CHARS = 26
_CACHED_IDENTITIES = 1 << 16
#: Of an IPv6 address with dotted digits and the name of an interface, in brackets.
_MAX_ADDRESS_CHARS = 80


class Pseudonyms:
    """Turns identities into pseudonyms of one key epoch.

    Parameters
    ----------
    key
        Secret of the epoch, at least 16 bytes.
    epoch
        Number of the epoch; part of every pseudonym.

    Examples
    --------
    >>> names = Pseudonyms(bytes(32))
    >>> names.of("client", "alice")
    'u1_a227lep5g3k7kkxk7lum2z7phq'
    """

    def __init__(self, key: bytes, epoch: int = 1) -> None:
        if len(key) < 16:
            raise ConfigError("VEDETTE_PSEUDONYM_KEY must have at least 16 bytes")
        self.epoch = epoch
        self._key = key
        self._prefix = f"u{epoch}_"
        self._payload_hash = blake2b(
            key=sha256(b"payload\0" + key).digest(), digest_size=_DIGEST_BYTES
        )
        # Every event asks for its client; an attacker who makes up identities costs one HMAC each.
        self.of = lru_cache(maxsize=_CACHED_IDENTITIES)(self._pseudonym)

    def _pseudonym(self, kind: str, value: str) -> str:
        digest = hmac.digest(self._key, kind.encode() + b"\0" + value.encode(), "sha256")
        return self._prefix + b32encode(digest[:_DIGEST_BYTES]).decode().rstrip("=").lower()

    def payload_hash(self, *parts: bytes | memoryview) -> bytes:
        """Return a keyed 128-bit hash of the exact payload."""
        hasher = self._payload_hash.copy()
        for part in parts:
            hasher.update(part)
        return hasher.digest()


def network_of(address: str) -> str | None:
    """Cut an address to its /24 or /48 network; None if it is no address.

    Examples
    --------
    >>> network_of("203.0.113.77")
    '203.0.113.0/24'
    """
    # what is longer is no address, and must not fill the memory
    return _network_of(address) if len(address) <= _MAX_ADDRESS_CHARS else None


@lru_cache(maxsize=_CACHED_IDENTITIES)
def _network_of(address: str) -> str | None:
    try:
        parsed = ip_address(address.strip("[]"))
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if isinstance(parsed, IPv4Address):
        return str(IPv4Network((int(parsed), 24), strict=False))
    return str(IPv6Network((int(parsed), 48), strict=False))


def forwarded_address(text: str, trusted_hops: int = 0) -> str | None:
    """Return the caller's address of an ``x-forwarded-for`` list, None if there is none.

    Every proxy appends the peer it saw; only what one's own proxies wrote can be believed. With
    no trusted hop that is the last entry, with one the entry before it. Ports are cut off.

    Examples
    --------
    >>> forwarded_address("198.51.100.1, 203.0.113.77")
    '203.0.113.77'
    >>> forwarded_address("203.0.113.77:4711, 10.0.0.1", trusted_hops=1)
    '203.0.113.77'
    """
    entries = text.split(",")
    if len(entries) <= trusted_hops:
        return None
    entry = entries[-1 - trusted_hops].strip()
    if entry[:1] == "[":
        entry = entry[1:].partition("]")[0]
    elif ":" in entry and entry.count(":") == 1:
        entry = entry.partition(":")[0]
    return entry if network_of(entry) else None


def load_pseudonyms(settings: Settings) -> Pseudonyms:
    """Return the pseudonyms of the current epoch.

    Its key is the configured one, or one made once under ``home/keys``.
    """
    epoch = settings.pseudonym_epoch
    if settings.pseudonym_key is not None:
        return Pseudonyms(settings.pseudonym_key.get_secret_value().encode(), epoch)
    return Pseudonyms(created_once(_key_file(settings, epoch)), epoch)


def load_past_pseudonyms(settings: Settings) -> list[Pseudonyms]:
    """Return the pseudonyms of the earlier epochs whose key files are still there, newest first.

    To forget an epoch for good, delete its file.
    """
    files = ((epoch, _key_file(settings, epoch)) for epoch in range(1, settings.pseudonym_epoch))
    return [Pseudonyms(path.read_bytes(), epoch) for epoch, path in files if path.exists()][::-1]


class Epochs:
    """Pseudonyms of several key epochs, for what has to outlive a new key.

    Parameters
    ----------
    epochs
        Newest first.
    """

    def __init__(self, *epochs: Pseudonyms) -> None:
        self._epochs = epochs

    def of(self, kind: str, value: str) -> tuple[str, ...]:
        """Return the pseudonyms of an identity, newest first."""
        return tuple(names.of(kind, value) for names in self._epochs)


def load_epochs(settings: Settings) -> Epochs:
    """Return the current epoch, and the earlier ones whose key files are still there."""
    return Epochs(load_pseudonyms(settings), *load_past_pseudonyms(settings))


def is_pseudonym(text: str) -> bool:
    """Say whether a text has the form of a pseudonym.

    Examples
    --------
    >>> is_pseudonym("u1_a227lep5g3k7kkxk7lum2z7phq"), is_pseudonym("alice")
    (True, False)
    """
    epoch, _, digest = text.partition("_")
    return epoch[:1] == "u" and epoch[1:].isdigit() and len(digest) == _DIGEST_CHARS


def known_as(settings: Settings, kind: str, name: str) -> tuple[str, ...]:
    """Return what records may call somebody: the pseudonyms of all epochs, newest first.

    The name itself comes last, and alone where no key lies: not every record was made by ingest.
    """
    if is_pseudonym(name):
        return (name,)
    has_key = settings.pseudonym_key is not None
    has_current = has_key or _key_file(settings, settings.pseudonym_epoch).exists()
    epochs = load_epochs(settings) if has_current else Epochs(*load_past_pseudonyms(settings))
    return (*epochs.of(kind, name), name)


def days_by_tenant(settings: Settings, days: Mapping[str, int]) -> dict[str, int]:
    """Return what is said of tenants by name for all that records may call them."""
    return {
        known: kept for name, kept in days.items() for known in known_as(settings, "tenant", name)
    }


def require_key(settings: Settings) -> None:
    """Refuse to make up a key where one is only to be looked up with.

    Raises
    ------
    ConfigError
        If the current epoch has no key here.
    """
    path = _key_file(settings, settings.pseudonym_epoch)
    if settings.pseudonym_key is None and not path.exists():
        raise ConfigError(
            f"there is no key at {path}: run this where ingest runs, or set VEDETTE_PSEUDONYM_KEY"
        )


def _key_file(settings: Settings, epoch: int) -> Path:
    return settings.home / "keys" / f"pseudonym-{epoch}.key"


def created_once(path: Path) -> bytes:
    """Read a key file, making it if there is none; workers that start together agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(secrets.token_bytes(KEY_BYTES))
            target.flush()
            os.fsync(target.fileno())
        try:
            os.link(temporary, path)  # unlike a rename this never replaces another's key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_bytes()
