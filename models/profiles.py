"""Profiles on disk: a signed directory a model, verified before anything in it is used.

``DIR/signing.pub`` is the key that signed them, for convenience: it proves that nothing was
damaged, not who made it. Pin the key to prove that too.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from detectors.membership.members import Members
from detectors.profile import Profile
from models.device import resolve_device
from models.encoder import Encoder
from models.errors import ModelFileError, UntrustedError
from models.names import directory_name
from models.signing import (
    PUBLIC_KEY,
    directory_digest,
    key_id,
    sign_directory,
    verify_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "vedette.profile.v4"
ENCODER, TABLES, MEMBERS, DESCRIPTION = (
    "encoder.safetensors",
    "tables.safetensors",
    "members.safetensors",
    "profile.json",
)


@dataclass(frozen=True, slots=True)
class LoadedProfile:
    """A verified profile.

    Attributes
    ----------
    encoder
        None if the model was calibrated on traffic alone.
    digest
        Hash of all its files.
    """

    model: str
    encoder: Encoder | None
    profile: Profile
    digest: str


def load_profiles(
    directory: Path, public_key: Path | None, device: str, *, allow_unsigned: bool = False
) -> dict[str, LoadedProfile]:
    """Verify and load all profiles below ``directory``; none if it does not exist.

    Parameters
    ----------
    directory
        What `vedette calibrate --out` wrote: a directory a model, or one of these itself.
    public_key
        Key that must have signed them; ``signing.pub`` beside them if None.
    device
        ``auto``, ``cpu`` or ``cuda``.
    allow_unsigned
        Skip verification: for experiments alone.

    Raises
    ------
    UntrustedError
        If a profile is not what was signed.
    ModelFileError
        If a profile is damaged.
    """
    loaded: dict[str, LoadedProfile] = {}
    for path in _profile_directories(directory):
        if not allow_unsigned:
            verify_directory(path, public_key or path.parent / PUBLIC_KEY)
        profile = _load(path, device)
        if profile.model in loaded:
            raise ModelFileError(f"{directory} holds two profiles of model {profile.model}")
        loaded[profile.model] = profile
    return loaded


def save_profile(
    directory: Path,
    model: str,
    files: Path,
    *,
    private_key: Path,
    public_key: Path,
) -> Path:
    """Sign the files of a profile and put them in place, whole or not at all.

    Raises
    ------
    UntrustedError
        If ``directory`` holds profiles signed with another key.
    """
    beside = directory / PUBLIC_KEY
    if beside.exists() and key_id(beside) != key_id(public_key):
        raise UntrustedError(
            f"{directory} holds profiles signed with another key; choose another --out"
        )
    for path in files.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner only; other workers read it too
    sign_directory(files, private_key)
    target = directory / directory_name(model)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    files.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    if not beside.exists():
        beside.write_bytes(public_key.read_bytes())
    return target


def workspace(directory: Path) -> Path:
    """Return a new hidden directory on the file system of ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=".partial-", dir=directory))
    path.chmod(0o755)
    return path


def write_profile(
    files: Path, model: str, encoder: Encoder | None, profile: Profile, facts: dict[str, Any]
) -> None:
    """Write what is computed with; a report may stand beside it."""
    if encoder is not None:
        encoder.save(files / ENCODER)
    save_file(dict(profile.to_arrays()), files / TABLES)
    description = {
        "format": FORMAT,
        "model": model,
        "encoder": ENCODER if encoder is not None else None,
        "profile": profile.meta(),
        **facts,
    }
    text = json.dumps(description, indent=2, sort_keys=True, ensure_ascii=False)
    (files / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _profile_directories(directory: Path) -> Iterator[Path]:
    if (directory / DESCRIPTION).exists():
        yield directory
    elif directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield path


def _load(path: Path, device: str) -> LoadedProfile:
    try:
        description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ModelFileError(f"{path} has format {description['format']}, not {FORMAT}")
        profile = Profile.from_arrays(load_file(path / TABLES), description["profile"])
        if (path / MEMBERS).exists():
            profile = replace(profile, members=Members.from_arrays(load_file(path / MEMBERS)))
        encoder = None
        if description["encoder"] is not None:
            encoder = Encoder.load(path / ENCODER).to(resolve_device(device))
        return LoadedProfile(str(description["model"]), encoder, profile, directory_digest(path))
    except (KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path} is no usable profile ({type(error).__name__}: {error}); "
            "make it anew with `vedette calibrate`"
        ) from None
