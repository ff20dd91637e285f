"""All detectors by name, with what the documentation and the findings say of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from config.techniques import entries
from detectors.finding import Severity, Technique

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import msgspec

    from detectors.base import Context, Detector

T = TypeVar("T", bound=type)

#: What each escalation makes of a severity.
ESCALATION: dict[Severity, Severity] = {
    "info": "low",
    "low": "medium",
    "medium": "high",
    "high": "critical",
    "critical": "critical",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a kind of finding of a detector means.

    ``severity`` is that of the first crossing.
    """

    severity: Severity
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()

    def severity_at(self, level: int) -> Severity:
        """Return the severity after ``level`` crossings."""
        severity = self.severity
        for _ in range(level - 1):
            severity = ESCALATION[severity]
        return severity

    def techniques(self) -> tuple[tuple[Technique, ...], tuple[Technique, ...]]:
        """Return the ATLAS and OWASP entries with their editions."""
        atlas = tuple(Technique(**e._asdict()) for e in entries("atlas", self.atlas))
        owasp = tuple(Technique(**e._asdict()) for e in entries("owasp", self.owasp))
        return atlas, owasp


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A detector and its description.

    ``cost`` is the work per event, ``state_bytes`` the most a client may cost.
    """

    name: str
    detector: Callable[[Any, Context], Detector]
    config: type[msgspec.Struct]
    kinds: Mapping[str, Kind]
    cost: str
    state_bytes: int
    needs_profile: bool

    @property
    def version(self) -> int:
        """Version of the method and its state."""
        version: int = self.detector.version  # type: ignore[attr-defined] # every detector has one
        return version

    @property
    def summary(self) -> str:
        """What it does, from its docstring."""
        return (self.detector.__doc__ or "").strip().partition("\n")[0]

    def make(self, context: Context) -> Detector:
        """Build the detector with its default configuration."""
        return self.detector(self.config(), context)


_REGISTRY: dict[str, Entry] = {}


def register(
    name: str,
    config: type[msgspec.Struct],
    *,
    kinds: Mapping[str, Kind],
    cost: str,
    state_bytes: int,
    needs_profile: bool = False,
) -> Callable[[T], T]:
    """Add a detector class to the registry."""

    def add(detector: T) -> T:
        if name in _REGISTRY:
            raise ValueError(f"detector {name} is registered twice")
        _REGISTRY[name] = Entry(
            name=name,
            detector=detector,
            config=config,
            kinds=kinds,
            cost=cost,
            state_bytes=state_bytes,
            needs_profile=needs_profile,
        )
        return detector

    return add


@cache
def registered() -> tuple[Entry, ...]:
    """Return all detectors, in the order in which they run."""
    from detectors.catalogue import RUN_ORDER  # noqa: PLC0415 - it imports this module

    places = {detector: place for place, detector in enumerate(RUN_ORDER)}
    return tuple(sorted(_REGISTRY.values(), key=lambda entry: places[entry.detector]))
