"""A signed directory is exactly what was signed, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.errors import UntrustedError
from models.signing import SIGNATURE, ensure_keys, key_id, sign_directory, verify_directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return ensure_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "weights").write_bytes(bytes(range(256)))
    (directory / "about.json").write_text("{}")
    sign_directory(directory, keys[0])
    return directory


def test_what_was_signed_is_accepted(signed: Path, keys: tuple[Path, Path]) -> None:
    verify_directory(signed, keys[1])


def test_a_moved_directory_is_still_signed(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    verify_directory(signed.rename(tmp_path / "elsewhere"), keys[1])


def test_the_private_key_is_for_its_owner_only(keys: tuple[Path, Path]) -> None:
    assert keys[0].stat().st_mode & 0o777 == 0o600


def test_keys_are_made_once(keys: tuple[Path, Path]) -> None:
    before = key_id(keys[1])
    assert key_id(ensure_keys(keys[0].parent)[1]) == before


@pytest.mark.parametrize("at", [0, 100, 255])
def test_a_flipped_bit_is_found(signed: Path, keys: tuple[Path, Path], at: int) -> None:
    data = bytearray((signed / "weights").read_bytes())
    data[at] ^= 1
    (signed / "weights").write_bytes(data)
    with pytest.raises(UntrustedError, match="weights"):
        verify_directory(signed, keys[1])


@pytest.mark.parametrize("name", ["extra.bin", ".hidden", ".git/hook", "sub/model.sig"])
def test_an_extra_file_is_found(signed: Path, keys: tuple[Path, Path], name: str) -> None:
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_bytes(b"x")
    with pytest.raises(UntrustedError):
        verify_directory(signed, keys[1])


def test_a_missing_file_is_found(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / "about.json").unlink()
    with pytest.raises(UntrustedError, match=r"about\.json"):
        verify_directory(signed, keys[1])


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    _, other = ensure_keys(tmp_path / "other")
    with pytest.raises(UntrustedError, match="not signed with the key"):
        verify_directory(signed, other)


def test_an_unsigned_directory_is_refused(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / SIGNATURE).unlink()
    with pytest.raises(UntrustedError, match="not signed"):
        verify_directory(signed, keys[1])


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"rubbish", b"[1]"])
def test_a_damaged_signature_is_refused(
    signed: Path, keys: tuple[Path, Path], rubbish: bytes
) -> None:
    (signed / SIGNATURE).write_bytes(rubbish)
    with pytest.raises(UntrustedError):
        verify_directory(signed, keys[1])


def test_a_symbolic_link_is_refused(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / "link").symlink_to("weights")
    with pytest.raises(UntrustedError, match="symbolic link"):
        verify_directory(signed, keys[1])
