"""How fast a sink may be told: GCRA, whose whole state is one number, kept with the offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.respond import SinkSettings


class Limiter:
    """At most ``burst`` messages at once and ``per_minute`` for long.

    In any minute a sink gets at most ``burst + per_minute`` messages. Times are unix seconds, so
    that the state holds over a restart.

    Attributes
    ----------
    due_s
        When the messages sent so far would have been due at the sustained rate.

    References
    ----------
    ITU-T I.371, generic cell rate algorithm.
    """

    def __init__(self, per_minute: float, burst: int) -> None:
        self._interval_s = 60.0 / per_minute
        self._tolerance_s = (burst - 1) * self._interval_s
        self.due_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return how long the next message must wait.

        Examples
        --------
        >>> limiter = Limiter(per_minute=60, burst=2)
        >>> limiter.take(100.0), limiter.take(100.0), limiter.wait_s(100.0)
        (None, None, 1.0)
        """
        # A clock that was set back must not stop a sink for longer than the limit can ask.
        due_s = min(self.due_s, now_s + self._tolerance_s + self._interval_s)
        return max(0.0, due_s - self._tolerance_s - now_s)

    def take(self, now_s: float) -> None:
        """Note that a message is sent."""
        due_s = min(self.due_s, now_s + self._tolerance_s + self._interval_s)
        self.due_s = max(due_s, now_s) + self._interval_s


def limiter_of(sink: SinkSettings) -> Limiter:
    """Return the limiter of a sink."""
    return Limiter(sink.per_minute, sink.burst)
