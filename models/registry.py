"""Registry: signed directories of ``model.safetensors`` and ``model.json``, nothing else.

A model is verified each time before it is loaded. Files that can hold code (pickles) are never
admitted.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.errors import ModelFileError
from models.names import directory_name
from models.nets.sequential import MAX_LAYERS, Layer, build
from models.profiles import workspace
from models.signing import (
    PUBLIC_KEY,
    SIGNATURE,
    directory_digest,
    ensure_keys,
    sign_directory,
    verify_directory,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
#: Suffixes of formats that run code when they are read.
UNSAFE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".npy", ".h5"}


class Architecture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model.json``: what the model is called, what it takes, and its layers.

    Inputs are multiplied with ``input_scale`` before the first layer; outputs are logits.
    """

    name: str
    version: str
    input_shape: tuple[Annotated[int, msgspec.Meta(ge=1)], ...]
    layers: Annotated[tuple[Layer, ...], msgspec.Meta(min_length=1, max_length=MAX_LAYERS)]
    input_scale: float = 1.0
    format: str = "vedette.model.v1"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A verified model, ready to answer."""

    architecture: Architecture
    module: nn.Module
    digest: str


class Registry:
    """Models below one directory, one version each.

    Parameters
    ----------
    directory
        Where they lie.
    keys
        Directory of the signing keys; a pair is made when the first model is registered.
    """

    def __init__(self, directory: Path, keys: Path) -> None:
        self._directory = directory
        self._keys = keys

    def register(self, architecture: Architecture, state: dict[str, torch.Tensor]) -> Path:
        """Store and sign a model, replacing an older version; return its directory.

        Raises
        ------
        ModelFileError
            If the weights do not fit the architecture.
        """
        _fill(architecture, state)
        private, _ = ensure_keys(self._keys)
        files = workspace(self._directory)
        try:
            save_file({name: t.contiguous() for name, t in state.items()}, files / WEIGHTS)
            (files / DESCRIPTION).write_bytes(
                msgspec.json.format(msgspec.json.encode(architecture), indent=2)
            )
            sign_directory(files, private)
            target = self.path(architecture.name)
            shutil.rmtree(target, ignore_errors=True)
            return files.rename(target)
        finally:
            shutil.rmtree(files, ignore_errors=True)

    def admit(self, directory: Path) -> Path:
        """Register the model of a directory of safetensors and JSON from elsewhere.

        Raises
        ------
        ModelFileError
            If it holds anything else; pickles are refused by name.
        """
        refuse_unsafe(directory)
        return self.register(*_read(directory))

    def load(self, name: str) -> LoadedModel:
        """Verify and load a model.

        Raises
        ------
        UntrustedError
            If the directory is not what was signed.
        ModelFileError
            If there is no such model, or it is damaged.
        """
        directory = self.verify(name)
        architecture, state = _read(directory)
        if architecture.name != name:
            raise ModelFileError(f"{directory} holds model {architecture.name}, not {name}")
        module = _fill(architecture, state)
        return LoadedModel(architecture, module, directory_digest(directory))

    def verify(self, name: str) -> Path:
        """Check a model's signature; return its directory."""
        directory = self.path(name)
        if not directory.is_dir():
            known = ", ".join(self.names()) or "none"
            raise ModelFileError(f"there is no model {name}; registered: {known}")
        verify_directory(directory, self._keys / PUBLIC_KEY)
        refuse_unsafe(directory)
        return directory

    def names(self) -> list[str]:
        """Return the names of registered models, unverified."""
        if not self._directory.is_dir():
            return []
        found = [path for path in self._directory.iterdir() if (path / DESCRIPTION).is_file()]
        return sorted(_describe(path).name for path in found if not path.name.startswith("."))

    def path(self, name: str) -> Path:
        """Return the directory of a model."""
        return self._directory / directory_name(name)


def refuse_unsafe(directory: Path) -> None:
    """Refuse files that are neither weights, description nor signature.

    Raises
    ------
    ModelFileError
        Naming the file and the remedy.
    """
    if not directory.is_dir():
        raise ModelFileError(
            f"{directory} is no directory; give one with {WEIGHTS} and {DESCRIPTION}. "
            "Pickled models (.pt, .pkl) are never admitted: reading them runs their code"
        )
    for path in sorted(directory.rglob("*")):
        if path.suffix.lower() in UNSAFE_SUFFIXES:
            raise ModelFileError(
                f"{path.name} is refused: reading a {path.suffix} file can run code hidden in "
                f"it. Save the weights with safetensors.torch.save_file as {WEIGHTS}"
            )
        if path.name not in (WEIGHTS, DESCRIPTION, SIGNATURE):
            raise ModelFileError(f"{path.name} has no place in a model; remove it")


def _read(directory: Path) -> tuple[Architecture, dict[str, torch.Tensor]]:
    try:
        return _describe(directory), load_file(directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{directory / WEIGHTS}: {type(error).__name__}") from None


def _describe(directory: Path) -> Architecture:
    try:
        data = (directory / DESCRIPTION).read_bytes()
        return msgspec.json.decode(data, type=Architecture)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelFileError(f"{directory / DESCRIPTION}: {error}") from None


def _fill(architecture: Architecture, state: dict[str, torch.Tensor]) -> nn.Module:
    module = build(architecture.layers)
    try:
        module.load_state_dict(state)
    except RuntimeError:
        raise ModelFileError(
            f"the weights of model {architecture.name} do not fit its layers"
        ) from None
    return module.eval().requires_grad_(requires_grad=False)
