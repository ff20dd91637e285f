"""Which findings were seen lately: bounded, whatever is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Seen:
    """The last ids, between one and two times `capacity` of them, in two generations.

    Parameters
    ----------
    capacity
        Ids that are certainly remembered.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._young: set[str] = set()
        self._old: set[str] = set()

    def add(self, identity: str) -> bool:
        """Remember an id; true if it is new.

        Examples
        --------
        >>> seen = Seen(2)
        >>> [seen.add(item) for item in "aabca"]
        [True, False, True, True, False]
        """
        if identity in self._young or identity in self._old:
            return False
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, set()
        self._young.add(identity)
        return True

    def state(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return both generations."""
        return tuple(self._young), tuple(self._old)

    def restore(self, young: Iterable[str], old: Iterable[str]) -> None:
        """Bring back what `state` returned."""
        self._young, self._old = set(young), set(old)
