"""Linear layers whose float32 arithmetic is exact.

Inputs and weights are integers, and the largest sum a neuron can reach stays below 2**24. Every
partial sum is then an integer that float32 holds exactly, so a matrix product gives the same
bits in any order of additions: for any batch size, row, number of threads, and device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Integers below this are exact in float32.
EXACT_LIMIT = 1 << 24
INPUT_MAX = 255
#: More resolution than this in a weight is noise.
_MAX_WEIGHT = 32_767.0


@dataclass(frozen=True, slots=True)
class ExactLinear:
    """``clip(round((x @ weight + bias) * scale), low, high)`` on bytes x.

    Attributes
    ----------
    weight, bias
        Integers held in float32, (inputs, outputs) and (outputs,).
    scale
        float32 (outputs,): one multiplication, rounded alike by every IEEE 754 device.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    scale: torch.Tensor

    def __call__(self, x: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """Apply the layer."""
        total = torch.addmm(self.bias, x, self.weight)
        return total.mul_(self.scale).round_().clamp_(low, high)

    def to(self, device: torch.device) -> ExactLinear:
        """Return the layer on ``device``."""
        return ExactLinear(self.weight.to(device), self.bias.to(device), self.scale.to(device))

    def check(self) -> None:
        """Refuse numbers that would not be exact.

        Raises
        ------
        ValueError
            If a weight is no integer or a sum could reach 2**24.
        """
        weight, bias = self.weight.double(), self.bias.double()
        finite = bool(torch.isfinite(weight).all() and torch.isfinite(self.scale).all())
        largest = weight.abs().sum(dim=0) * INPUT_MAX + bias.abs()
        whole = torch.equal(weight, weight.round()) and torch.equal(bias, bias.round())
        if not finite or not whole or bool((largest >= EXACT_LIMIT).any()):
            raise ValueError("the encoder's weights are not exact in float32")


def round_layer(
    weight: NDArray[np.float64], bias: NDArray[np.float64], unit: NDArray[np.float64]
) -> ExactLinear:
    """Round a float layer to integers, as finely as exactness allows.

    Parameters
    ----------
    weight, bias
        (inputs, outputs) and (outputs,) for inputs that are bytes.
    unit
        (outputs,): the output that becomes 1.
    """
    reach = INPUT_MAX * np.abs(weight).sum(axis=0) + np.abs(bias)
    # Rounding may add half to each weight and to the bias.
    room = EXACT_LIMIT - 1 - INPUT_MAX * (len(weight) + 1) / 2
    finest = _MAX_WEIGHT / np.maximum(np.abs(weight).max(axis=0), 1e-12)
    factor = np.minimum(room / np.maximum(reach, 1e-12), finest)
    layer = ExactLinear(
        torch.from_numpy(np.rint(weight * factor).astype(np.float32)),
        torch.from_numpy(np.rint(bias * factor).astype(np.float32)),
        torch.from_numpy((1.0 / (factor * unit)).astype(np.float32)),
    )
    layer.check()
    return layer
