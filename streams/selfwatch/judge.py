"""From one look at the broker after the other to what is wrong: no Kafka, no clock in here."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from streams.topics import AUDIT, DLQ_SUFFIX, INTERACTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.respond import WatchSettings
    from streams.selfwatch.vitals_view import Heard

_MINUTE_S = 60.0
#: Processes that were not heard for so long have ended.
_RECENTLY_S = 60.0


class Look(NamedTuple):
    """What the broker shows at one moment.

    ``lag``, ``committed`` and ``lost`` (records that were deleted before they were read) are by
    role; ``ends`` and ``topic_lag`` (what Vedette's own roles have yet to acknowledge) by topic.
    """

    at_s: float
    lag: dict[str, int]
    committed: dict[str, int]
    ends: dict[str, int]
    topic_lag: dict[str, int]
    lost: dict[str, int]


class Trouble(NamedTuple):
    """A condition that holds, of what, and in one sentence why."""

    condition: str
    subject: str
    why: str


class Judge:
    """Remembers what it must of earlier looks.

    Parameters
    ----------
    settings
        Section of the settings.
    sources
        Topics that producers write to.
    """

    def __init__(self, settings: WatchSettings, sources: tuple[str, ...]) -> None:
        self._settings = settings
        self._sources = sources
        self._letters: deque[tuple[float, int]] = deque()
        self._moved: dict[str, tuple[int, float]] = {}
        self._alive: set[str] = set()
        self._shed_before: dict[str, dict[str, float]] = {}

    def judge(
        self, look: Look, *, watermark_s: float, heard: Sequence[Heard] = ()
    ) -> list[Trouble]:
        """Return everything that is wrong now.

        Parameters
        ----------
        watermark_s
            Latest event time of a finding, in unix seconds, 0 if there was none.
        heard
            What the processes last told of themselves.
        """
        return [
            *self._lag(look),
            *self._lost(look),
            *self._dead_letters(look),
            *self._blind(look),
            *self._clock(look, watermark_s, heard),
            *self._shed(heard),
        ]

    def _lag(self, look: Look) -> list[Trouble]:
        found = []
        for role, lag in look.lag.items():
            stuck_s = self._still_s(f"role {role}", look.committed.get(role, 0), look.at_s)
            if lag > self._settings.lag_records:
                found.append(Trouble("lag", role, f"{lag:,} records wait for {role}"))
            elif lag > 0 and stuck_s > self._settings.lag_s:
                why = f"{role} has made no progress for {stuck_s:.0f} s while {lag:,} records wait"
                found.append(Trouble("lag", role, why))
            if lag == 0:
                self._moved.pop(f"role {role}", None)
        return found

    def _lost(self, look: Look) -> list[Trouble]:
        return [
            Trouble("lost", role, f"{count:,} records were deleted before {role} read them")
            for role, count in look.lost.items()
            if count
        ]

    def _dead_letters(self, look: Look) -> list[Trouble]:
        total = sum(end for topic, end in look.ends.items() if topic.endswith(DLQ_SUFFIX))
        self._letters.append((look.at_s, total))
        while look.at_s - self._letters[0][0] > _MINUTE_S:
            self._letters.popleft()
        fresh = total - self._letters[0][1]
        if fresh <= self._settings.dead_letters_per_minute:
            return []
        return [Trouble("deadletters", "all", f"{fresh:,} dead letters within a minute")]

    def _blind(self, look: Look) -> list[Trouble]:
        """Return what stopped, and what goes into a role and does not come out of it."""
        at_s = look.at_s
        interactions = look.ends.get(INTERACTIONS, 0)
        sources = sum(look.ends.get(topic, 0) for topic in self._sources)
        source_s = self._still_s("sources", sources, at_s)
        silent_s = self._still_s(INTERACTIONS, interactions, at_s)
        audit_s = self._still_s(AUDIT, look.ends.get(AUDIT, 0), at_s)
        found = []
        if self._swallows("sources", source_s, silent_s):
            why = f"producers write, but nothing left ingest for {silent_s:.0f} s"
            found.append(Trouble("blind", "ingest", why))
        elif silent_s > self._settings.blind_s and INTERACTIONS in self._alive:
            found.append(Trouble("blind", "ingest", f"no event for {silent_s:.0f} s"))
        if self._swallows(INTERACTIONS, silent_s, audit_s):
            why = f"events come, but detect said nothing of any for {audit_s:.0f} s"
            found.append(Trouble("blind", "detect", why))
        return found

    def _swallows(self, source: str, in_s: float, out_s: float) -> bool:
        """Tell whether what goes in has moved since what comes out last did, long ago."""
        late_s = self._settings.every_s * 2
        return source in self._alive and out_s > self._settings.blind_s and in_s < out_s - late_s

    def _clock(self, look: Look, watermark_s: float, heard: Sequence[Heard]) -> list[Trouble]:
        """Return event times in the future, and hosts whose clock is not this one's."""
        limit_s = self._settings.clock_skew_s
        found = []
        ahead_s = watermark_s - look.at_s
        if ahead_s > limit_s:
            why = f"findings are dated {ahead_s:.0f} s in the future"
            found.append(Trouble("clock", "events", why))
        for vital, at_s in heard:
            skew_s = vital.at_s - at_s
            if abs(skew_s) > limit_s and look.at_s - at_s <= _RECENTLY_S:
                which = "ahead of" if skew_s > 0 else "behind"
                why = f"the clock of {vital.host} is {abs(skew_s):.0f} s {which} this host's"
                found.append(Trouble("clock", f"{vital.role} {vital.host}", why))
        return found

    def _shed(self, heard: Sequence[Heard]) -> list[Trouble]:
        """Return what processes gave up since they were last heard."""
        fresh: dict[str, Counter[str]] = {}
        known, self._shed_before = self._shed_before, {}
        for vital, _ in heard:
            self._shed_before[vital.worker] = vital.shed
            before = known.get(vital.worker)
            for what, count in vital.shed.items() if before is not None else ():
                more = round(count - (before or {}).get(what, 0.0))
                if more > 0:
                    fresh.setdefault(vital.role, Counter())[what] += more
        return [
            Trouble("shed", role, ", ".join(f"{count:,} {what}" for what, count in counts.items()))
            for role, counts in fresh.items()
        ]

    def _still_s(self, name: str, position: int, at_s: float) -> float:
        """Return for how long a position has not moved."""
        before = self._moved.get(name)
        if before is None or before[0] != position:
            if before is not None:
                self._alive.add(name)
            self._moved[name] = (position, at_s)
            return 0.0
        return at_s - before[1]
