"""All detectors of one model's stream behind one call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.finding import Finding, Subject, finding_id
from detectors.registry import Entry, registered
from detectors.slots import BLOCK_ROWS, ClientSlots
from detectors.tables import State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from detectors.base import Detector
    from detectors.batch import Batch
    from detectors.profile import Profile

STATE_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen in a batch: findings, and the evidence of single rows in fixed point."""

    findings: list[Finding]
    near_log_e: NDArray[np.int32]
    far_log_e: NDArray[np.int32]


class Suite:
    """Run every registered detector over the stream of one model.

    Findings and state depend on the rows only, not on how they are cut into batches.

    Parameters
    ----------
    profile
        Without one, the detectors that need it are left out.
    run_length_events
        Wanted number of benign events between false alarms of a client.
    lateness_us
        How far event time may lag behind the watermark.
    config
        Hash of the configuration, put into findings.
    detectors
        Names to run; all if None.
    clock
        Gives seconds, to tell what each detector costs; nothing that is found depends on it.

    Attributes
    ----------
    busy_s
        How long each detector has computed, by name.
    evicted
        Clients forgotten for want of room.
    """

    def __init__(  # noqa: PLR0913 - the one place where all of it meets
        self,
        model: str,
        profile: Profile | None,
        *,
        run_length_events: int,
        max_clients: int,
        lateness_us: int,
        seed: int = 0,
        config: str = "",
        detectors: tuple[str, ...] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        context = Context(
            model=model,
            profile=profile,
            run_length_events=run_length_events,
            max_clients=max_clients,
            lateness_us=lateness_us,
            seed=seed,
        )
        self._context = context
        self._config = config
        self._clock = clock
        self._slots = ClientSlots(max_clients)
        self._detectors: list[tuple[Entry, Detector]] = [
            (entry, entry.make(context))
            for entry in registered()
            if (profile is not None or not entry.needs_profile)
            and (detectors is None or entry.name in detectors)
        ]
        self.busy_s = dict.fromkeys((entry.name for entry, _ in self._detectors), 0.0)
        self.evicted = 0

    @property
    def clients(self) -> int:
        """Clients held in memory."""
        return self._slots.clients

    @property
    def bytes_per_client(self) -> float:
        """State that one client costs."""
        return 16.0 + sum(detector.bytes_per_client for _, detector in self._detectors)

    @property
    def state_keys(self) -> dict[str, int]:
        """Clients that each detector keeps something of, by its name."""
        return {
            entry.name: self.clients if detector.bytes_per_client else 0
            for entry, detector in self._detectors
        }

    def observe(self, batch: Batch) -> Observed:
        """Run the detectors over a batch."""
        near, far = (np.zeros(len(batch), np.int32) for _ in range(2))
        findings: list[Finding] = []
        for start, stop in _blocks(batch):
            part = batch if stop - start == len(batch) else batch.cut(start, stop)
            if part.first_row % BLOCK_ROWS == 0:
                evicted = self._slots.make_room()
                self.evicted += len(evicted)
                if len(evicted):
                    for _, detector in self._detectors:
                        detector.reset(evicted)
            findings += self._observe_piece(self._piece(part, near[start:stop], far[start:stop]))
        return Observed(findings, near, far)

    def finish(self) -> list[Finding]:
        """Close what is open: the stream has ended."""
        return [
            self._finding(entry, crossing)
            for entry, detector in self._detectors
            for crossing in detector.finish()
        ]

    def snapshot(self) -> State:
        """Return all state as arrays without objects."""
        state = {"version": np.array([STATE_VERSION], np.int64)}
        state |= nest("slots", self._slots.snapshot())
        for entry, detector in self._detectors:
            state |= nest(_state_name(entry), detector.snapshot(self._slots.used))
        return state

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned.

        Detectors that the snapshot does not know in this version start afresh.

        Raises
        ------
        ValueError
            If the snapshot is of another version.
        """
        version = int(arrays["version"][0])
        if version != STATE_VERSION:
            raise ValueError(f"detector state has version {version}, not {STATE_VERSION}")
        self._slots.restore(pick("slots", arrays))
        for entry, detector in self._detectors:
            saved = pick(_state_name(entry), arrays)
            if saved:
                detector.restore(saved)

    def _piece(self, batch: Batch, near: NDArray[np.int32], far: NDArray[np.int32]) -> Piece:
        slot = self._slots.assign(batch)
        segments = Segments.of(np.arange(len(batch)), slot)
        events = np.empty(len(batch), np.int64)
        events[segments.order] = self._slots.events[segments.slot] + segments.rank + 1
        self._slots.events[segments.slots] += segments.counts
        return Piece(batch, slot, segments, events, near, far, np.zeros(len(batch), np.bool_))

    def _observe_piece(self, piece: Piece) -> list[Finding]:
        found: list[tuple[int, int, int, Entry, Crossing]] = []
        for place, (entry, detector) in enumerate(self._detectors):
            began_s = self._clock()
            for number, crossing in enumerate(detector.observe(piece)):
                found.append((crossing.row, place, number, entry, crossing))
            self.busy_s[entry.name] += self._clock() - began_s
        # By the row that decided: the same order whatever the batches are.
        found.sort(key=lambda item: item[:3])
        return [self._finding(entry, crossing) for *_, entry, crossing in found]

    def _tenant(self, crossing: Crossing) -> str | None:
        if crossing.subject_type != "client":
            return None
        return self._slots.tenant_of(crossing.subject)

    def _finding(self, entry: Entry, crossing: Crossing) -> Finding:
        kind = entry.kinds[crossing.kind]
        atlas, owasp = kind.techniques()
        model = self._context.model
        return Finding(
            id=finding_id(
                entry.name,
                entry.version,
                model,
                crossing.subject_type,
                crossing.subject,
                crossing.trigger,
                crossing.level,
                str(crossing.evidence.get("label", "")),
            ),
            time=_iso(crossing.time_us),
            model=model,
            tenant=self._tenant(crossing),
            kind=crossing.kind,
            detector=entry.name,
            version=entry.version,
            subject=Subject(type=crossing.subject_type, ids=crossing.ids or (crossing.subject,)),
            trigger=crossing.trigger,
            events=crossing.events,
            since=_iso(crossing.since_us),
            log_e=round(crossing.log_e / FIXED_POINT_ONE, 4),
            run_length=self._context.run_length_events,
            severity=kind.severity_at(crossing.level),
            evidence={
                "escalation": crossing.level,
                **crossing.evidence,
                **crossing.usual.evidence(),
            },
            atlas=atlas,
            owasp=owasp,
            config=self._config,
        )


def _blocks(batch: Batch) -> Iterator[tuple[int, int]]:
    """Split where the model's row count is a multiple of `BLOCK_ROWS`."""
    start = 0
    while start < len(batch):
        stop = min(len(batch), start + BLOCK_ROWS - (batch.first_row + start) % BLOCK_ROWS)
        yield start, stop
        start = stop


def _state_name(entry: Entry) -> str:
    return f"{entry.name}.{entry.version}"


def _iso(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")
