"""Keys of kept content: destroying one shreds what it encrypted, wherever copies of that lie.

A text is encrypted under a key derived from two random secrets: one of its client, one of its
tenant's day (the key epoch). A person is forgotten by destroying the first, a day by destroying
the second, a tenant by destroying both. Documents, chain and proofs stay as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.identity import created_once

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_INFO = b"vedette content v1"
#: Two keys of AES-256, see RFC 5297.
_KEY_BYTES = 64
_CLIENTS, _DAYS = "clients", "days"


class ContentKey(NamedTuple):
    """A key; ``id`` begins with its epoch and differs once a secret was destroyed and made anew."""

    id: str
    cipher: AESSIV


class ContentKeys:
    """The secrets under one directory, which is read each time: a destroyed one is gone at once.

    Parameters
    ----------
    directory
        Readable only by those who may read content.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self, tenant: str, client: str, epoch: str) -> ContentKey:
        """Return the key of a client on a day (``2026-11-22``), making what is missing of it."""
        secrets = [created_once(path) for path in self._paths(tenant, client, epoch)]
        return _derived(epoch, *secrets)

    def find(self, tenant: str, client: str, identity: str) -> ContentKey | None:
        """Return the key of an id, None if it was destroyed."""
        epoch = identity.partition(".")[0]
        if not _is_day(epoch):
            return None
        try:
            secrets = [path.read_bytes() for path in self._paths(tenant, client, epoch)]
        except FileNotFoundError:
            return None
        key = _derived(epoch, *secrets)
        return key if key.id == identity else None

    def destroy(self, *, client: str | None = None, tenant: str | None = None) -> int:
        """Destroy the secrets of a client, of a tenant, or of a client at a tenant."""
        where = "*" if tenant is None else _name(tenant)
        what = "*/*" if client is None else f"{_CLIENTS}/{_name(client)}"
        return _destroy(self._directory.glob(f"{where}/{what}.key"))

    def expire(self, before: date, *, tenant: str | None = None, spare: Iterable[str] = ()) -> int:
        """Destroy the secrets of days before one, of one tenant or of all but some."""
        where = "*" if tenant is None else _name(tenant)
        spared = {_name(item) for item in spare}
        return _destroy(
            path
            for path in self._directory.glob(f"{where}/{_DAYS}/*.key")
            if path.parent.parent.name not in spared
            and _is_day(path.stem)
            and date.fromisoformat(path.stem) < before
        )

    def _paths(self, tenant: str, client: str, epoch: str) -> tuple[Path, Path]:
        home = self._directory / _name(tenant)
        return home / _CLIENTS / f"{_name(client)}.key", home / _DAYS / f"{epoch}.key"


def _derived(epoch: str, of_client: bytes, of_day: bytes) -> ContentKey:
    key = HKDF(SHA256(), _KEY_BYTES, salt=of_day, info=_INFO).derive(of_client)
    generation = hashlib.blake2b(key, digest_size=6, person=b"content key id").hexdigest()
    return ContentKey(f"{epoch}.{generation}", AESSIV(key))


def _name(text: str) -> str:
    """Return a file name that does not tell whose it is, whatever characters a name has."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _destroy(paths: Iterable[Path]) -> int:
    """Overwrite and remove files; the directories know it before this returns."""
    parents: set[Path] = set()
    count = 0
    for path in list(paths):
        with contextlib.suppress(FileNotFoundError):
            with path.open("r+b") as target:
                target.write(bytes(path.stat().st_size))
                target.flush()
                os.fsync(target.fileno())
            path.unlink()
            parents.add(path.parent)
            count += 1
    for parent in parents:
        descriptor = os.open(parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return count
