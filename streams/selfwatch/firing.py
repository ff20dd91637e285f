"""Conditions that flicker do not fire: it takes two looks to begin and two to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.respond.alerts import State
    from streams.selfwatch.judge import Trouble

LOOKS = 2
REMIND_S = 4 * 3600.0
#: Certain at the first look: these are events, not measurements.
_AT_ONCE = frozenset({"sink", "shed", "lost"})


@dataclass
class _Held:
    trouble: Trouble
    since_s: float
    seen: int = 0
    missed: int = 0
    told_s: float | None = None


class Firing:
    """What fires now."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], _Held] = {}

    def is_firing(self, condition: str) -> bool:
        """Tell whether a condition fires for any subject."""
        return any(
            key[0] == condition and held.told_s is not None for key, held in self._held.items()
        )

    def update(
        self, troubles: Sequence[Trouble], at_s: float
    ) -> Iterator[tuple[Trouble, State, float]]:
        """Take one look's troubles; yield what to tell, and since when it lasts."""
        found = {(trouble.condition, trouble.subject): trouble for trouble in troubles}
        for key, trouble in found.items():
            held = self._held.setdefault(key, _Held(trouble, at_s))
            held.trouble, held.missed = trouble, 0
            held.seen += 1
            if held.told_s is None and (held.seen >= LOOKS or trouble.condition in _AT_ONCE):
                held.told_s = at_s
                yield trouble, "opened", held.since_s
            elif held.told_s is not None and at_s - held.told_s >= REMIND_S:
                held.told_s = at_s
                yield trouble, "updated", held.since_s
        for key in self._held.keys() - found.keys():
            held = self._held[key]
            held.missed += 1
            if held.missed >= LOOKS or held.told_s is None:
                del self._held[key]
                if held.told_s is not None:
                    yield held.trouble, "resolved", held.since_s
