"""Campaigns: many accounts, each of them quiet, that are odd together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments, Usual
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import EvidenceSums, hedged
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pack_texts, pick, unpack_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

CHANNELS = ("near", "far")
#: Accounts are looked at together after so many rows of the model's stream.
EVERY_ROWS = 256
#: Evidence (log e) above which an account is a suspect; under chance a share of exp(-level) is.
LEVELS = (3.0, 5.0, 7.0)
#: The same for campaigns of so few accounts that chance might bring forth as many of the above.
FEW_LEVELS = (9.0, 11.0)
#: Accounts that were silent for so long no longer count.
SILENT_US = 3_600_000_000
#: Accounts named in a finding; a larger campaign is told in several at once.
MAX_NAMED = 1000
#: Active accounts from which on there is a population to speak of.
_POPULATION = 160
_SHARE = 0.5
_CONFIDENCE = 1000.0


class CampaignConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Least accounts of a campaign, and when it has grown enough to be told again.

    ``population`` is the share of all active accounts beyond which, once they are more than a
    little suspicious, it is no campaign: the traffic as a whole has changed.
    """

    min_accounts: Annotated[int, msgspec.Meta(ge=3)] = 8
    growth: Annotated[float, msgspec.Meta(gt=1)] = 1.25
    population: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    impurity: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2


class _Group(NamedTuple):
    """Suspects of a channel above a level, and how unlikely so many are by chance."""

    channel: int
    level: float
    slots: NDArray[np.intp]
    log_e: float


@register(
    "campaign.accounts",
    CampaignConfig,
    kinds={
        "collusion": Kind(
            severity="high",
            atlas=("AML.T0024.002", "AML.T0040"),
            owasp=("ML05:2023", "LLM10:2025"),
        )
    },
    cost="O(1), O(clients) every 256 events",
    state_bytes=192,
    needs_profile=True,
)
class Campaign:
    """Find groups of accounts that are suspicious together, long before any is by itself.

    Each account's evidence is a sum that under chance exceeds a level L in a share of at most
    exp(-L) of accounts (Ville). More suspects among the active accounts than this share explains,
    by a binomial tail, are a campaign; those above the level are its accounts. It is told again
    when it has grown by a quarter, and when the stream ends.

    References
    ----------
    Donoho, Jin. Higher criticism for detecting sparse heterogeneous mixtures. 2004.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: CampaignConfig, context: Context) -> None:
        self._config = config
        self._run_length = context.run_length_events
        self._threshold = math.log(context.run_length_events * _CONFIDENCE)
        self._sums = EvidenceSums(context.max_clients, len(CHANNELS), context.run_length_events)
        self._table = ClientTable(
            context.max_clients, {"last_us": ((), np.int64), "events": ((), np.int64)}
        )
        self._names: list[str] = []
        self._told = np.zeros(len(CHANNELS), np.int64)
        self._times = np.zeros((len(CHANNELS), 2), np.int64)
        self._last_id, self._last_us = "", 0

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return self._sums.table.bytes_per_client + self._table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Add the evidence of a piece, and look at all accounts now and then."""
        crossings: list[Crossing] = []
        first = piece.batch.first_row
        start = 0
        while start < len(piece.batch):
            stop = min(len(piece.batch), start + EVERY_ROWS - (first + start) % EVERY_ROWS)
            self._add(piece, np.arange(start, stop))
            if (first + stop) % EVERY_ROWS == 0:
                crossings += self._look(stop - 1)
            start = stop
        return crossings

    def finish(self) -> list[Crossing]:
        """Tell each campaign once more if it has grown at all."""
        return self._look(0, growth=1.0)

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._sums.reset(slots)
        self._table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("sums", self._sums.snapshot(slots_used)),
            **nest("table", self._table.snapshot(slots_used)),
            **nest("names", pack_texts(self._names)),
            **nest("last", pack_texts([self._last_id])),
            "last_us": np.array([self._last_us], np.int64),
            "told": self._told.copy(),
            "times": self._times.copy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._sums.restore(pick("sums", arrays))
        self._table.restore(pick("table", arrays))
        self._names = unpack_texts(pick("names", arrays))
        self._last_id = unpack_texts(pick("last", arrays))[0]
        self._last_us = int(arrays["last_us"][0])
        self._told, self._times = arrays["told"].copy(), arrays["times"].copy()

    def _add(self, piece: Piece, part: NDArray[np.intp]) -> None:
        rows = part[piece.batch.scanned[part]]
        if not len(rows):
            return
        batch = piece.batch
        segments = Segments.of(rows, piece.slot[rows])
        order = segments.order
        evidence = np.stack([piece.near_log_e[order], piece.far_log_e[order]], axis=1)
        stakes = hedged(evidence, _SHARE)
        stakes[piece.repeated[order]] = 0
        self._sums.update(segments, stakes, batch.time_us[order])
        self._table["last_us"][segments.slots] = batch.time_us[
            order[segments.starts + segments.counts - 1]
        ]
        self._table["events"][segments.slots] += segments.counts
        for slot, start in zip(segments.slots.tolist(), segments.starts.tolist(), strict=True):
            self._name(slot, piece.client(int(order[start])))
        self._last_id = batch.interaction_id(int(rows[-1]))
        self._last_us = int(batch.time_us[rows[-1]])

    def _name(self, slot: int, client: str) -> None:
        if slot >= len(self._names):
            self._names += [""] * (slot + 1 - len(self._names))
        self._names[slot] = client

    def _look(self, row: int, growth: float | None = None) -> list[Crossing]:
        used = len(self._names)
        last_us = self._table["last_us"][:used]
        active = np.flatnonzero((last_us > self._last_us - SILENT_US) & (last_us > 0))
        crossings: list[Crossing] = []
        for channel in range(len(CHANNELS)):
            group = self._group(channel, active)
            if group is None:
                continue
            wanted = (growth or self._config.growth) * self._told[channel]
            if len(group.slots) > wanted or (growth is None and len(group.slots) >= wanted > 0):
                crossings += self._crossings(row, group)
        return crossings

    def _group(self, channel: int, active: NDArray[np.intp]) -> _Group | None:
        """Return the purest group that chance does not explain; few suspects only if no other."""
        sums = self._sums.table["sum"][active, channel]
        found = None
        changed = (sums >= FIXED_POINT_ONE).sum() > self._config.population * len(active)
        if changed and len(active) >= _POPULATION:
            return None
        for level in (*LEVELS, *FEW_LEVELS):
            if level in FEW_LEVELS and found is not None:
                break
            slots = active[sums >= round(level * FIXED_POINT_ONE)]
            count, expected = len(slots), len(active) * math.exp(-level)
            if count < self._config.min_accounts or expected > self._config.impurity * count:
                continue
            log_e = _log_tail(len(active), count, math.exp(-level))
            if log_e >= self._threshold:
                found = _Group(channel, level, slots, log_e)
        return found

    def _crossings(self, row: int, group: _Group) -> Iterator[Crossing]:
        """Tell of a group, all of its accounts named, the strongest first."""
        channel = group.channel
        if self._told[channel] == 0:
            self._times[channel] = (self._last_us, 0)
        self._told[channel] = len(group.slots)
        self._times[channel, 1] += 1
        strength = self._sums.table["sum"][group.slots, channel]
        strongest = group.slots[np.argsort(-strength, kind="stable")]
        events = int(self._table["events"][group.slots].sum())
        for first in range(0, len(strongest), MAX_NAMED):
            named = strongest[first : first + MAX_NAMED].tolist()
            yield self._crossing(row, group, first, events, sorted(self._names[s] for s in named))

    def _crossing(
        self, row: int, group: _Group, first: int, events: int, names: list[str]
    ) -> Crossing:
        channel, since_us = group.channel, int(self._times[group.channel, 0])
        usual = self._sums.usual(group.slots)
        part = f"-{first}" if first else ""
        return Crossing(
            row=row,
            time_us=self._last_us,
            trigger=self._last_id,
            subject_type="campaign",
            subject=f"campaign-{CHANNELS[channel]}-{since_us}{part}",
            kind="collusion",
            level=min(3, int(self._times[channel, 1])),
            log_e=round(group.log_e * FIXED_POINT_ONE),
            since_us=since_us,
            events=events,
            evidence={
                "channel": CHANNELS[channel],
                "accounts": len(group.slots),
                "suspicion": group.level,
            },
            usual=Usual("suspicion", usual.own, usual.over, self._threshold),
            ids=tuple(names),
        )


def _log_tail(trials: int, count: int, chance: float) -> float:
    """Return minus the logarithm of a bound of P(Binomial(trials, chance) >= count).

    Chernoff's bound, with whole numbers and one logarithm at a time.
    """
    share = count / trials
    if share <= chance:
        return 0.0
    other = 0.0 if share >= 1.0 else (1 - share) * math.log((1 - share) / (1 - chance))
    return trials * (share * math.log(share / chance) + other)
