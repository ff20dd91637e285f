"""Networks from a description: a closed set of layers, built by our code, never by a file's."""

from __future__ import annotations

from typing import Annotated

import msgspec
from torch import nn

Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
MAX_LAYERS = 256


class Linear(msgspec.Struct, tag="linear", frozen=True, forbid_unknown_fields=True):
    """A fully connected layer."""

    inputs: Size
    outputs: Size
    bias: bool = True


class Conv2d(msgspec.Struct, tag="conv2d", frozen=True, forbid_unknown_fields=True):
    """A convolution of images (channels, height, width)."""

    inputs: Size
    outputs: Size
    kernel: Annotated[int, msgspec.Meta(ge=1, le=64)]
    stride: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    padding: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    bias: bool = True


class MaxPool2d(msgspec.Struct, tag="max_pool2d", frozen=True, forbid_unknown_fields=True):
    """The largest value of each window."""

    kernel: Annotated[int, msgspec.Meta(ge=1, le=64)]


class BatchNorm1d(msgspec.Struct, tag="batch_norm1d", frozen=True, forbid_unknown_fields=True):
    """Normalisation of vectors."""

    features: Size


class BatchNorm2d(msgspec.Struct, tag="batch_norm2d", frozen=True, forbid_unknown_fields=True):
    """Normalisation of images."""

    features: Size


class ReLU(msgspec.Struct, tag="relu", frozen=True, forbid_unknown_fields=True):
    """Negative values become zero."""


class Flatten(msgspec.Struct, tag="flatten", frozen=True, forbid_unknown_fields=True):
    """All axes but the first become one."""


Layer = Linear | Conv2d | MaxPool2d | BatchNorm1d | BatchNorm2d | ReLU | Flatten


def build(layers: tuple[Layer, ...]) -> nn.Sequential:
    """Build the network of a description, with random weights."""
    return nn.Sequential(*(_build_layer(layer) for layer in layers))


def _build_layer(layer: Layer) -> nn.Module:  # noqa: PLR0911 - one line a kind
    match layer:
        case Linear():
            return nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
        case Conv2d():
            return nn.Conv2d(
                layer.inputs,
                layer.outputs,
                layer.kernel,
                stride=layer.stride,
                padding=layer.padding,
                bias=layer.bias,
            )
        case MaxPool2d():
            return nn.MaxPool2d(layer.kernel)
        case BatchNorm1d():
            return nn.BatchNorm1d(layer.features)
        case BatchNorm2d():
            return nn.BatchNorm2d(layer.features)
        case ReLU():
            return nn.ReLU()
        case Flatten():
            return nn.Flatten()
