"""People become pseudonyms that only the key's owner can link."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from config.errors import ConfigError
from config.settings import Settings
from streams.identity import Pseudonyms, load_pseudonyms, network_of

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_identity_gets_the_same_pseudonym() -> None:
    assert Pseudonyms(b"k" * 32).of("client", "eve") == Pseudonyms(b"k" * 32).of("client", "eve")


def test_kind_key_and_epoch_separate_pseudonyms() -> None:
    base = Pseudonyms(b"k" * 32)
    others = [
        base.of("key", "eve"),
        Pseudonyms(b"l" * 32).of("client", "eve"),
        Pseudonyms(b"k" * 32, epoch=2).of("client", "eve"),
    ]
    assert base.of("client", "eve") not in others
    assert base.of("client", "eve").startswith("u1_")
    assert others[2].startswith("u2_")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError):
        Pseudonyms(b"short")


def test_the_payload_hash_is_keyed() -> None:
    first, second = Pseudonyms(b"k" * 32), Pseudonyms(b"l" * 32)
    assert first.payload_hash(b"ab", b"c") == first.payload_hash(b"ab", b"c")
    assert first.payload_hash(b"abc") != second.payload_hash(b"abc")
    assert len(first.payload_hash(b"")) == 16


def test_a_key_is_created_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first = load_pseudonyms(settings).of("client", "eve")
    assert load_pseudonyms(settings).of("client", "eve") == first
    (key,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::5", "2001:db8:1::/48"),
        ("[::1]", "::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("not an address", None),
    ],
)
def test_addresses_are_cut_to_networks(address: str, network: str | None) -> None:
    assert network_of(address) == network
