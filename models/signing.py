"""Signatures of directories: OpenSSF model signing with P-256 keys.

``model_signing`` takes a second to import, so it is imported when it is used.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.errors import UntrustedError

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = "model.sig"
PRIVATE_KEY, PUBLIC_KEY = "signing.key", "signing.pub"
#: An absurdly long signature file is not read.
_MAX_SIGNATURE_BYTES = 16 << 20


def ensure_keys(directory: Path) -> tuple[Path, Path]:
    """Return private and public key file in ``directory``, creating a pair if there is none."""
    private, public = directory / PRIVATE_KEY, directory / PUBLIC_KEY
    if not private.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write_once(private, secret)
    if not public.exists():
        public.write_bytes(_public_pem(private))
    return private, public


def sign_directory(directory: Path, private_key: Path) -> None:
    """Sign every file of ``directory``; the signature becomes ``model.sig`` in it."""
    signing = _library("signing")
    target = directory / SIGNATURE
    target.unlink(missing_ok=True)
    config = signing.Config().use_elliptic_key_signer(private_key=private_key)
    config.set_hashing_config(_hashing()).sign(directory, target)


def verify_directory(directory: Path, public_key: Path) -> None:
    """Check that ``directory`` holds exactly what was signed with the key of ``public_key``.

    Raises
    ------
    UntrustedError
        If it is unsigned, signed with another key, or a file was changed, added or removed.
    """
    signature = directory / SIGNATURE
    if not signature.is_file() or signature.is_symlink():
        raise UntrustedError(
            f"{directory} is not signed: it has no {SIGNATURE}; make it anew with "
            "`vedette calibrate` or `vedette models register`"
        )
    if signature.stat().st_size > _MAX_SIGNATURE_BYTES:
        raise UntrustedError(f"{signature} is too large to be a signature")
    if not public_key.is_file():
        raise UntrustedError(
            f"there is no public key {public_key}; name one with --key or "
            "VEDETTE_DETECT__PROFILE_KEY"
        )
    links = [path for path in directory.rglob("*") if path.is_symlink()]
    if links:
        raise UntrustedError(f"{directory} holds a symbolic link, {links[0].name}")
    verifying = _library("verifying")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
        config.set_hashing_config(_hashing()).verify(directory, signature)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UntrustedError(_explain(directory, public_key, error)) from None


def key_id(public_key: Path) -> str:
    """Return a short name of a public key: the start of the SHA-256 of its DER form."""
    return hashlib.sha256(_load_public(public_key)).hexdigest()[:16]


def directory_digest(directory: Path) -> str:
    """Return a hash of the names and contents of all files but the signature."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != SIGNATURE:
            digest.update(f"{path.relative_to(directory).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _explain(directory: Path, public_key: Path, error: Exception) -> str:
    text = str(error)
    if "mismatch" in text.lower() and "Signature mismatch" in text:
        return f"{directory} is not what was signed: {text.removeprefix('Signature mismatch: ')}"
    return (
        f"{directory} was not signed with the key of {public_key}, or its {SIGNATURE} was "
        "changed; give the right key with --key or VEDETTE_DETECT__PROFILE_KEY, or make the "
        "directory anew"
    )


def _hashing() -> Any:
    hashing = _library("hashing")
    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _library(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415 - slow, see the module's docstring

    return import_module(f"model_signing.{name}")


def _write_once(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as target:
        target.write(data)


def _public_pem(private: Path) -> bytes:
    key = serialization.load_pem_private_key(private.read_bytes(), password=None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _load_public(path: Path) -> bytes:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise UntrustedError(f"{path} is no public key in PEM form") from None
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
