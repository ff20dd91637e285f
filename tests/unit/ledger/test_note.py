"""Checkpoints are signed notes that any tool of that form can open."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from streams.ledger.note import (
    BadNote,
    Checkpoint,
    NoteSigner,
    NoteVerifier,
    ensure_signer,
    load_verifier,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = NoteSigner("vedette", KEY)
VERIFIER = NoteVerifier(SIGNER.verifier)
CHECKPOINT = Checkpoint(
    "vedette/audit/0/aa", 42, b"r" * 32, b"c" * 32, "2026-11-22T10:00:00.000000Z"
)
#: A key and a note of the reference implementation, golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfq"
    "dngotpRZb6KE6RyyBwJnAM=\n"
)


def test_a_note_is_the_text_a_blank_line_and_the_signature():
    text, signature = SIGNER.sign(CHECKPOINT).split("\n\n")
    root = base64.b64encode(b"r" * 32).decode()
    assert text.splitlines()[:3] == ["vedette/audit/0/aa", "42", root]
    dash, name, encoded = signature.split()
    assert (dash, name) == ("\u2014", "vedette")
    public = KEY.public_key().public_bytes_raw()
    identity = hashlib.sha256(b"vedette\n\x01" + public).digest()[:4]
    assert base64.b64decode(encoded)[:4] == identity


def test_a_signed_checkpoint_opens():
    assert VERIFIER.open(SIGNER.sign(CHECKPOINT)) == CHECKPOINT


def test_signing_again_gives_the_same_note():
    assert SIGNER.sign(CHECKPOINT) == SIGNER.sign(CHECKPOINT)


def test_a_note_of_the_reference_implementation_is_verified():
    with pytest.raises(BadNote, match="no checkpoint"):  # signed, but about something else
        NoteVerifier(PETER).open(PETER_NOTE)
    with pytest.raises(BadNote, match="not signed"):
        NoteVerifier(PETER).open(PETER_NOTE.replace("your", "my"))


def test_further_signatures_do_not_disturb():
    note = SIGNER.sign(CHECKPOINT)
    other = NoteSigner("witness", Ed25519PrivateKey.generate()).sign(CHECKPOINT)
    assert VERIFIER.open(note + other.rpartition("\n\n")[2]) == CHECKPOINT


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place, change):
    data = bytearray(SIGNER.sign(CHECKPOINT).encode())
    place %= len(data)
    data[place] ^= change
    if bytes(data).decode(errors="replace").rstrip("\n") == SIGNER.sign(CHECKPOINT).rstrip("\n"):
        return
    try:
        opened = VERIFIER.open(bytes(data).decode(errors="replace"))
    except BadNote:
        return
    assert opened == CHECKPOINT  # a line break added after the signature changes nothing


def test_another_key_of_the_same_name_is_refused():
    forged = NoteSigner("vedette", Ed25519PrivateKey.generate()).sign(CHECKPOINT)
    with pytest.raises(BadNote, match="not signed by vedette"):
        VERIFIER.open(forged)


@pytest.mark.parametrize("text", ["", "x", "a\n\nb", "\n\n", "x" * 20_000])
def test_what_is_no_note_is_refused(text):
    with pytest.raises(BadNote):
        VERIFIER.open(text)


@pytest.mark.parametrize(
    "text", ["", "name", "name+00+", "vedette+00000000+" + SIGNER.verifier.rpartition("+")[2]]
)
def test_damaged_verifier_keys_are_explained(text):
    with pytest.raises(ConfigError):
        NoteVerifier(text)


@pytest.mark.parametrize("name", ["", "two words", "a+b"])
def test_names_that_a_note_cannot_hold_are_refused(name):
    with pytest.raises(ConfigError):
        NoteSigner(name, KEY)


def test_keys_are_made_once_and_kept_secret(tmp_path):
    path = tmp_path / "keys" / "audit.key"
    first = ensure_signer(path, "vedette")
    assert path.stat().st_mode & 0o077 == 0
    note = ensure_signer(path, "vedette").sign(CHECKPOINT)
    assert first.sign(CHECKPOINT) == note
    assert load_verifier(path.with_suffix(".pub")).open(note) == CHECKPOINT


def test_files_that_are_no_keys_are_explained(tmp_path):
    path = tmp_path / "audit.key"
    path.write_text("nonsense")
    with pytest.raises(ConfigError, match="no private key"):
        ensure_signer(path, "vedette")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_verifier(tmp_path / "none.pub")
