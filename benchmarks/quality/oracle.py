"""What an attacker talks to: answers, and remembers what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Spent(Exception):
    """The attack has succeeded or has used up its queries."""


class Oracle:
    """A served model as seen by one attacker.

    Parameters
    ----------
    scores
        The model.
    max_queries
        When it stops answering.
    """

    def __init__(
        self, scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]], max_queries: int
    ) -> None:
        self._scores, self._max_queries = scores, max_queries
        self._asked: list[NDArray[np.uint8]] = []
        self.queries = 0
        self.success_at: int | None = None

    def ask(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """Answer images (n, h, w) in [0, 1], as whole shades."""
        room = self._max_queries - self.queries
        if room <= 0:
            raise Spent
        shades = np.clip(np.rint(x * 255.0), 0, 255).astype(np.uint8)[:room]
        self._asked.append(shades)
        self.queries += len(shades)
        answers = self._scores(shades)
        if len(shades) < len(x):
            raise Spent
        return answers

    def labels(self, x: NDArray[np.floating]) -> NDArray[np.intp]:
        """Answer with classes alone."""
        return np.asarray(self.ask(x).argmax(axis=1), np.intp)

    def succeed(self) -> None:
        """Note that the attacker has what it wanted; it stops."""
        if self.success_at is None:
            self.success_at = self.queries
        raise Spent

    @property
    def asked(self) -> NDArray[np.uint8]:
        """All queries in order."""
        return np.concatenate(self._asked)
