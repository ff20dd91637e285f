"""Query-based evasion as others wrote it: the Adversarial Robustness Toolbox, and foolbox.

Both are development dependencies alone. Their attacks ask the served model through an `Oracle`
that judges every query: an attack has succeeded with the first one that is misread and lies within
the budget of `benchmarks.quality.evasion`.

References
----------
Nicolae et al., Adversarial Robustness Toolbox, 2018. Rauber et al., Foolbox Native, 2020.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.quality.evasion import LINF, RMS
from benchmarks.quality.oracle import Oracle, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.quality.victims import Victim

    Image = NDArray[np.float64]
    Attack = Callable[["Judging", Image], Any]


class Judging(Oracle):
    """A model that ends the attack on ``x`` with the first query that has won."""

    def __init__(self, victim: Victim, x: Image, max_queries: int) -> None:
        super().__init__(victim.scores, max_queries)
        self.classes = victim.scores(victim.hostile[:1]).shape[1]
        self._x, self._rounding = x, 0.5 / 255
        self.label = int(victim.scores(np.rint(x * 255).astype(np.uint8)[None])[0].argmax())

    def ask(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Answer images (n, h, w) in [0, 1]; stop at the first one that has won."""
        before = self.queries
        answers = super().ask(x)
        change = np.clip(x[: len(answers)], 0, 1) - self._x
        near = np.sqrt((change**2).mean(axis=(1, 2))) <= RMS + self._rounding
        near |= np.abs(change).max(axis=(1, 2)) <= LINF + self._rounding
        won = np.flatnonzero(near & (answers.argmax(axis=1) != self.label))
        if len(won):
            self._forget(before + int(won[0]) + 1)
            self.succeed()
        return answers

    def _forget(self, kept: int) -> None:
        """Leave out what was asked with the winning query, but after it."""
        self._asked, self.queries = [self.asked[:kept]], kept


def _toolbox(name: str, **options: Any) -> Attack:
    """Return an attack of the toolbox."""

    def run(oracle: Judging, x: Image) -> Any:
        from art.attacks import evasion  # noqa: PLC0415 - slow to import
        from art.estimators.classification import (  # noqa: PLC0415
            BlackBoxClassifierNeuralNetwork,
        )

        asked = BlackBoxClassifierNeuralNetwork(
            lambda batch: oracle.ask(batch[:, 0]),
            (1, *x.shape),
            oracle.classes,
            clip_values=(0.0, 1.0),
        )
        given = dict(options)
        if name != "SquareAttack":
            given["targeted"] = False
        return getattr(evasion, name)(asked, verbose=False, **given).generate(
            x[None, None].astype(np.float32)
        )

    return run


def _foolbox(name: str, **options: Any) -> Attack:
    """Return an attack of foolbox."""

    def run(oracle: Judging, x: Image) -> Any:
        # It imports a library that would insist on a git to run.
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        import foolbox  # noqa: PLC0415 - slow to import

        class Asked(torch.nn.Module):
            def forward(self, batch: torch.Tensor) -> torch.Tensor:
                scores = oracle.ask(batch[:, 0].numpy().astype(np.float64))
                return torch.from_numpy(np.log(np.maximum(scores, 1e-12)))

        model = foolbox.PyTorchModel(Asked().eval(), bounds=(0, 1), device="cpu")
        image = torch.from_numpy(x[None, None].astype(np.float32))
        label = torch.tensor([oracle.label])
        return getattr(foolbox.attacks, name)(**options)(model, image, label, epsilons=None)

    return run


OTHERS: dict[str, Attack] = {
    "HopSkipJump (ART)": _toolbox("HopSkipJump", max_iter=40, init_eval=50, max_eval=1000),
    "Boundary (ART)": _toolbox("BoundaryAttack", max_iter=200, delta=0.1, epsilon=0.1),
    "Square (ART)": _toolbox("SquareAttack", norm=np.inf, eps=LINF, max_iter=400, nb_restarts=1),
    "SimBA (ART)": _toolbox("SimBA", attack="px", epsilon=0.25, max_iter=400),
    "Boundary (foolbox)": _foolbox("BoundaryAttack", steps=400),
    "HopSkipJump (foolbox)": _foolbox("HopSkipJumpAttack", steps=20),
}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what the libraries draw from: the global generators, and fresh ones without a seed."""

    class Seeded(np.random.RandomState):
        def __init__(self, given: int | None = None) -> None:
            super().__init__(seed if given is None else given)

    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    with patch.object(np.random, "RandomState", Seeded):
        yield


def record(
    victim: Victim, name: str, seed: int, max_queries: int
) -> tuple[NDArray[np.uint8], int | None]:
    """Run an attack on a random image; return its queries, and at which one it succeeded."""
    rng: Generator = np.random.default_rng([seed, len(name)])
    x = victim.hostile[int(rng.integers(len(victim.hostile)))] / 255.0
    oracle = Judging(victim, x, max_queries)
    with suppress(Spent), warnings.catch_warnings(), _seeded(int(rng.integers(1 << 31))):
        warnings.simplefilter("ignore")
        OTHERS[name](oracle, x)
    return oracle.asked, oracle.success_at
