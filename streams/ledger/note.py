"""Signed notes and checkpoints, in the forms of C2SP, signed with Ed25519.

A checkpoint is a text that people and other tools can read: the log's name, its size, the root
of its tree, then, as extension lines, the end of the hash chain and the time.

References
----------
C2SP ``signed-note.md`` and ``tlog-checkpoint.md``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from config.errors import ConfigError, VedetteError

if TYPE_CHECKING:
    from pathlib import Path

_ED25519 = b"\x01"
_DASH = "\u2014 "
_KEY_HASH_BYTES = 4
#: A checkpoint has some 300 characters; more than this is not looked at.
MAX_NOTE_CHARS = 16_384


class BadNote(VedetteError):
    """A text is no checkpoint, or is not signed by the key at hand; the text says which."""


class Checkpoint(NamedTuple):
    """What is signed of a log: ``size`` records, their tree, their chain; ``time`` ISO 8601."""

    origin: str
    size: int
    root: bytes
    chain: bytes
    time: str

    def text(self) -> str:
        """Return the text that is signed."""
        root, chain = (base64.b64encode(value).decode() for value in (self.root, self.chain))
        return f"{self.origin}\n{self.size}\n{root}\nchain {chain}\ntime {self.time}\n"


class NoteSigner:
    """Signs notes under a name.

    Parameters
    ----------
    name
        Name of the key, part of what verifiers know; without spaces and ``+``.
    key
        The private key.
    """

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._name = _checked_name(name)
        self._key = key
        self._hash = _key_hash(name, _raw(key.public_key()))

    @property
    def verifier(self) -> str:
        """The public key as text: ``name+hash+key``."""
        public = base64.b64encode(_ED25519 + _raw(self._key.public_key())).decode()
        return f"{self._name}+{self._hash.hex()}+{public}"

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint; the same one each time."""
        text = checkpoint.text()
        signature = base64.b64encode(self._hash + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH}{self._name} {signature}\n"


class NoteVerifier:
    """Opens notes that one key has signed.

    Parameters
    ----------
    text
        ``name+hash+key``, as `NoteSigner.verifier` gives it.
    """

    def __init__(self, text: str) -> None:
        name, _, rest = text.strip().partition("+")
        expected, _, encoded = rest.partition("+")
        public = _decoded(encoded)
        if public[:1] != _ED25519 or len(public) != 33:
            raise ConfigError("the verifier key is no Ed25519 key of the form name+hash+key")
        self.name = name
        self._hash = _key_hash(name, public[1:])
        if self._hash.hex() != expected:
            raise ConfigError("the verifier key is damaged: its hash does not fit")
        self._key = Ed25519PublicKey.from_public_bytes(public[1:])

    def open(self, note: str) -> Checkpoint:
        """Return the checkpoint of a note.

        Raises
        ------
        BadNote
            If it is none, or this key has not signed it.
        """
        if len(note) > MAX_NOTE_CHARS:
            raise BadNote("the checkpoint is too long to be one")
        body, separator, signatures = note.rpartition("\n\n")
        if not separator:
            raise BadNote("the text is no signed note")
        text = body + "\n"
        if not any(self._signed(text, line) for line in signatures.splitlines()):
            raise BadNote(f"the checkpoint is not signed by {self.name}")
        return _parse(text)

    def _signed(self, text: str, line: str) -> bool:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        signature = _decoded(encoded)
        if name != self.name or signature[:_KEY_HASH_BYTES] != self._hash:
            return False
        try:
            self._key.verify(signature[_KEY_HASH_BYTES:], text.encode())
        except InvalidSignature:
            return False
        return True


def ensure_signer(path: Path, name: str) -> NoteSigner:
    """Return the signer whose key lies in ``path`` (PEM), making a key if there is none.

    The public key is written beside it, with the suffix ``.pub``.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(pem)
    signer = NoteSigner(name, _load(path))
    public = path.with_suffix(".pub")
    if not public.exists():
        public.write_text(signer.verifier + "\n", encoding="utf-8")
    return signer


def load_verifier(path: Path) -> NoteVerifier:
    """Return the verifier of a public key file.

    Raises
    ------
    ConfigError
        If there is no such file or it holds no key.
    """
    try:
        return NoteVerifier(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"the public key {path} cannot be read; name the one you kept with --key"
        ) from None


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise ConfigError(f"{path} holds no private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 key; checkpoints need one")
    return key


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        origin, size, root, *extensions = lines[:-1]
        fields = dict(line.split(" ", 1) for line in extensions)
        checkpoint = Checkpoint(
            origin, int(size), _decoded(root), _decoded(fields["chain"]), fields["time"]
        )
    except (ValueError, KeyError):
        raise BadNote("the note is no checkpoint") from None
    if checkpoint.text() != text:
        raise BadNote("the note is no checkpoint of this form")
    return checkpoint


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(char.isspace() for char in name):
        raise ConfigError("the name of a signing key has no spaces and no +")
    return name


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_KEY_HASH_BYTES]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
