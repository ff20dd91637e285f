"""The registry admits signed safetensors and JSON, and nothing that can hold code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from models.errors import ModelFileError, UntrustedError
from models.nets.sequential import Conv2d, Flatten, Linear, MaxPool2d, ReLU, build
from models.registry import Architecture, Registry

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = (Conv2d(1, 2, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(18, 3))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models", tmp_path / "keys")


@pytest.fixture
def stored(registry: Registry) -> Path:
    architecture = Architecture(name="tiny", version="7", input_shape=(1, 8, 8), layers=LAYERS)
    torch.manual_seed(1)
    return registry.register(architecture, build(LAYERS).state_dict())


def test_a_registered_model_answers_as_before(registry: Registry, stored: Path) -> None:
    model = registry.load("tiny")
    torch.manual_seed(1)
    x = torch.ones(2, 1, 8, 8)
    with torch.no_grad():
        np.testing.assert_array_equal(model.module(x), build(LAYERS).eval()(x))
    assert model.architecture.version == "7"
    assert registry.names() == ["tiny"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_changed_model_is_not_loaded(registry: Registry, stored: Path, name: str) -> None:
    data = bytearray((stored / name).read_bytes())
    data[-2] ^= 1
    (stored / name).write_bytes(data)
    with pytest.raises(UntrustedError, match=name.replace(".", r"\.")):
        registry.load("tiny")


@pytest.mark.parametrize("name", ["model.pt", "weights.pkl", "net.PTH"])
def test_pickles_are_refused_with_the_reason(
    registry: Registry, stored: Path, tmp_path: Path, name: str
) -> None:
    candidate = stored.rename(tmp_path / "candidate")
    (candidate / name).write_bytes(b"")
    with pytest.raises(ModelFileError, match="can run code"):
        registry.admit(candidate)


def test_a_model_of_unknown_layers_is_refused(
    registry: Registry, stored: Path, tmp_path: Path
) -> None:
    candidate = stored.rename(tmp_path / "candidate")
    text = (candidate / "model.json").read_text().replace('"relu"', '"os.system"')
    (candidate / "model.json").write_text(text)
    with pytest.raises(ModelFileError, match=r"model\.json"):
        registry.admit(candidate)


def test_weights_of_another_size_are_refused(registry: Registry) -> None:
    architecture = Architecture(name="tiny", version="1", input_shape=(4,), layers=(Linear(4, 2),))
    with pytest.raises(ModelFileError, match="do not fit"):
        registry.register(architecture, build((Linear(5, 2),)).state_dict())


def test_an_unknown_model_is_named(registry: Registry, stored: Path) -> None:
    with pytest.raises(ModelFileError, match="registered: tiny"):
        registry.load("huge")
