"""People become pseudonyms that only the key's owner can link."""

from __future__ import annotations

import io
import stat
from typing import TYPE_CHECKING

import pytest

from config.errors import ConfigError
from config.settings import Settings
from streams.cli.main import main
from streams.identity import (
    Pseudonyms,
    forwarded_address,
    load_past_pseudonyms,
    load_pseudonyms,
    network_of,
)

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
        ("203.0.113.77" + " " * 100_000, None),
    ],
)
def test_addresses_are_cut_to_networks(address: str, network: str | None) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("text", "hops", "address"),
    [
        ("203.0.113.77", 0, "203.0.113.77"),
        ("198.51.100.1, 203.0.113.77", 0, "203.0.113.77"),
        ("198.51.100.1,203.0.113.77", 1, "198.51.100.1"),
        ("[2001:db8::1]:443", 0, "2001:db8::1"),
        ("203.0.113.77:80", 0, "203.0.113.77"),
        ("unknown, for=x", 0, None),
        ("203.0.113.77", 1, None),
        ("", 0, None),
    ],
)
def test_of_forwarded_addresses_only_ones_own_proxies_are_believed(
    text: str, hops: int, address: str | None
) -> None:
    assert forwarded_address(text, hops) == address


def test_a_new_epoch_has_a_new_key_and_the_old_one_still_finds(tmp_path: Path) -> None:
    first = load_pseudonyms(Settings(home=tmp_path)).of("client", "eve")
    later = Settings(home=tmp_path, pseudonym_epoch=2)
    second = load_pseudonyms(later).of("client", "eve")
    assert (first[:3], second[:3]) == ("u1_", "u2_")
    assert [names.of("client", "eve") for names in load_past_pseudonyms(later)] == [first]
    (tmp_path / "keys" / "pseudonym-1.key").unlink()
    assert load_past_pseudonyms(later) == []


def test_looking_an_identity_up_never_makes_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main(["pseudonym", "client", "eve"])
    assert stopped.value.code == 2
    assert "run this where ingest runs" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_the_command_prints_what_ingest_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    known = load_pseudonyms(Settings(home=tmp_path)).of("key", "secret")
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    with pytest.raises(SystemExit):
        main(["pseudonym", "key"])
    assert capsys.readouterr().out == known + "\n"
