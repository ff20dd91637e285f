"""What short texts were decoded to, for producers that write the same text again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_TEXTS, _MAX_TEXT_BYTES = 1024, 4096


class Remembered(Generic[T]):
    """Calls a function once for each text, as long as there are not too many.

    Parameters
    ----------
    make
        The function; nobody may change what it returns. What it raises is not remembered.
    """

    def __init__(self, make: Callable[[bytes], T]) -> None:
        self._make = make
        self._made: dict[bytes, T] = {}

    def __len__(self) -> int:
        """Return how many texts are remembered."""
        return len(self._made)

    def of(self, text: bytes) -> T:
        """Return what the function makes of a text."""
        try:
            return self._made[text]
        except KeyError:
            made = self._make(text)
        if len(text) <= _MAX_TEXT_BYTES:
            if len(self._made) >= _TEXTS:
                self._made.clear()  # texts with an id of their own: they are never seen again
            self._made[text] = made
        return made
