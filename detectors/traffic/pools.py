"""Distributed bursts: many clients that are quiet alone, and a flood together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Usual
from detectors.batch import FIXED_POINT_ONE, TRAITS
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pack_texts, pick, unpack_texts
from detectors.traffic.risers import MINUTE_US, Risers
from detectors.traffic.shares import LAG, TICK_US, Shares
from detectors.windows.clock import WindowClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Pools of a trait; values that share a pool are one to this detector.
POOLS = 512
#: Pools of all traits, and one that is everything.
ALL = len(TRAITS) * POOLS
#: Ticks that may be open at once; rows further ahead wait for no one and are left out.
_OPEN = 16
#: Pools that are looked at in a tick: the same flood is strong in several.
_STRONGEST = 8
#: Clients named in a finding; a larger flood is told in several at once.
MAX_NAMED = 1000
#: Blocks of ten minutes in a week.
_WEEK_BLOCKS = 1008
#: A campaign is told again within a minute only if it has grown by much.
_MINUTE_TICKS = 12
#: Clients told of are news again after an hour.
_TOLD_TICKS = 720


class PoolsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many clients a campaign has at least, and when it is told.

    ``factor`` is the ratio to what was expected below which it is no flood; ``growth`` is by what
    share of its clients it has grown if it is told again within a minute.
    """

    min_clients: Annotated[int, msgspec.Meta(ge=3)] = 8
    factor: Annotated[float, msgspec.Meta(gt=1)] = 2.0
    growth: Annotated[float, msgspec.Meta(gt=0)] = 0.5


class _Campaign(NamedTuple):
    """Clients that rise together in a pool."""

    pool: int
    slots: NDArray[np.intp]
    requests: int


@register(
    "traffic.pools",
    PoolsConfig,
    kinds={
        "burst": Kind(
            severity="high",
            atlas=("AML.T0029", "AML.T0034.000", "AML.T0046"),
            owasp=("LLM06:2026", "LLM10:2025"),
        )
    },
    cost="O(traits), O(pools) every 5 s",
    state_bytes=80,
)
class Pools:
    """Count the active clients of a network, agent, key, prompt template, tenant and of a model.

    A client counts once in five seconds, so that what one client does hardly moves its pools. Each
    pool is held against its own earlier traffic and the growth of all others, see
    `detectors.traffic.shares`. A pool above its level is a campaign if many of its clients rise
    above their own means, none of them most of it; these are named. The pool with the strongest
    evidence is told, once; its clients are no news in another one.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: PoolsConfig, context: Context) -> None:
        self._config = config
        self._run_length = context.run_length_events
        self._clock = WindowClock(TICK_US, context.lateness_us)
        kinds = (*[POOLS] * len(TRAITS), 1)
        self._shares = Shares(kinds, 1.0 / (_WEEK_BLOCKS * 64), math.log(config.factor))
        self._open = np.zeros((_OPEN, ALL + 1), np.int32)
        self._risers = Risers(context.max_clients)
        self._table = ClientTable(
            context.max_clients,
            {
                "pool": ((len(TRAITS),), np.int16),
                "tick": ((), np.int64),
                "told": ((), np.int64),
                "seen": ((), np.int64),
            },
        )
        self._names: list[str] = []
        self._named = np.zeros(context.max_clients, np.bool_)
        #: When the running campaign began, how many clients were named, how often it was told.
        self._told = np.zeros(4, np.int64)

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return self._table.bytes_per_client + self._risers.table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Count the rows of a piece, and look at the ticks that they close."""
        before = self._clock.closed_to
        windows = self._clock.advance(piece.batch)
        pools = _pools_of(piece)
        closed = np.r_[before, windows.closed_to]
        crossings: list[Crossing] = []
        start = 0
        for row in np.flatnonzero(closed[1:] > closed[:-1]).tolist():
            self._add(piece, windows.number, pools, slice(start, row), int(closed[row]))
            crossings += self._close(piece, row, int(closed[row]), int(closed[row + 1]))
            start = row
        rest = slice(start, len(piece.batch))
        self._add(piece, windows.number, pools, rest, self._clock.closed_to)
        return crossings

    def finish(self) -> list[Crossing]:
        """Nothing is told that no row closed."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._table.reset(slots)
        self._risers.table.reset(slots)
        self._named[slots] = False

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("shares", self._shares.snapshot()),
            **nest("risers", self._risers.snapshot(slots_used)),
            **nest("table", self._table.snapshot(slots_used)),
            **nest("names", pack_texts(self._names)),
            "clock": self._clock.snapshot(),
            "open": self._open.copy(),
            "told": self._told.copy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._shares.restore(pick("shares", arrays))
        self._risers.restore(pick("risers", arrays))
        self._table.restore(pick("table", arrays))
        self._names = unpack_texts(pick("names", arrays))
        self._named[: len(self._names)] = [name != "" for name in self._names]
        self._clock.restore(arrays["clock"])
        self._open, self._told = arrays["open"].copy(), arrays["told"].copy()

    def _add(
        self,
        piece: Piece,
        number: NDArray[np.int64],
        pools: NDArray[np.intp],
        part: slice,
        closed_to: int,
    ) -> None:
        """Count rows that close nothing."""
        slot, time_us = piece.slot[part], piece.batch.time_us[part]
        ahead = number[part] - closed_to
        counted = self._first_in_tick(slot, number[part]) & (ahead >= 0) & (ahead < _OPEN)
        place = number[part][counted] % _OPEN
        for column in pools[part][counted].T:
            some = column >= 0
            np.add.at(self._open, (place[some], column[some]), 1)
        self._risers.add(slot, time_us)
        self._table["pool"][slot] = pools[part][:, :-1] - np.arange(len(TRAITS)) * POOLS
        self._table["seen"][slot] = piece.events[part]
        for row in np.flatnonzero(~self._named[slot]).tolist():
            self._name(int(slot[row]), piece.client(row + part.start))

    def _first_in_tick(
        self, slot: NDArray[np.intp], number: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which rows are the first of their client in a tick, and move its tick on."""
        first = np.zeros(len(slot), np.bool_)
        if not len(slot):
            return first
        order = np.argsort(slot, kind="stable")
        slot, number = slot[order], number[order]
        change = np.r_[True, slot[1:] != slot[:-1]]
        gap = np.cumsum(change) << 40
        seen = np.maximum.accumulate(np.maximum(number, self._table["tick"][slot]) + gap) - gap
        before = np.where(change, self._table["tick"][slot], np.r_[0, seen[:-1]])
        first[order] = number > before
        self._table["tick"][slot] = seen
        return first

    def _name(self, slot: int, client: str) -> None:
        self._named[slot] = True
        if slot >= len(self._names):
            self._names += [""] * (slot + 1 - len(self._names))
        self._names[slot] = client

    def _close(self, piece: Piece, row: int, closed: int, to: int) -> list[Crossing]:
        """Look at ticks from ``closed`` up to ``to``, which a row has closed."""
        crossings: list[Crossing] = []
        if closed == 0:
            return crossings
        if to - closed > LAG + _OPEN:
            for tick in range(closed, closed + _OPEN):
                self._shares.close(tick, self._open[tick % _OPEN])
            self._open[:] = 0
            self._shares.skip(to)
            return crossings
        for tick in range(closed, to):
            above = self._shares.close(tick, self._open[tick % _OPEN])
            self._open[tick % _OPEN] = 0
            for pool in above[:_STRONGEST].tolist():
                crossings += self._judge(piece, row, tick, pool)
        return crossings

    def _judge(self, piece: Piece, row: int, tick: int, pool: int) -> list[Crossing]:
        """Tell of a pool above its level if many of its clients rise, and enough are news."""
        campaign = self._campaign(pool, tick)
        if campaign is None:
            return []
        self._shares.alarm(pool, tick)
        told = self._table["told"][campaign.slots]
        news = campaign.slots[(told == 0) | (tick - told > _TOLD_TICKS)]
        began, named, times, last = self._told.tolist()
        goes_on = times > 0 and tick - last <= _TOLD_TICKS
        soon = goes_on and tick - last < _MINUTE_TICKS
        wanted = self._config.growth * named if soon else 0
        if len(news) < max(self._config.min_clients, wanted):
            return []
        self._told[:] = (
            began if goes_on else tick,
            len(news) + (named if goes_on else 0),
            times + 1 if goes_on else 1,
            tick,
        )
        self._table["told"][campaign.slots] = tick
        parts = range(0, len(campaign.slots), MAX_NAMED)
        return [self._crossing(piece, row, campaign, first) for first in parts]

    def _campaign(self, pool: int, tick: int) -> _Campaign | None:
        """Return the clients that make a pool rise, unless they are few."""
        held = len(self._names)
        if pool == ALL:
            slots = np.arange(held)
        else:
            trait, place = divmod(pool, POOLS)
            slots = np.flatnonzero(self._table["pool"][:held, trait] == place)
        requests = self._risers.rising(slots, tick * TICK_US // MINUTE_US)
        rise = requests > 0
        slots, requests = slots[rise], requests[rise]
        total = int(requests.sum())
        # As many clients of equal weight would be as unequal as these (Simpson).
        if total**2 < self._config.min_clients * int((requests**2).sum()) or not total:
            return None
        return _Campaign(pool, slots[np.argsort(-requests, kind="stable")], total)

    def _crossing(self, piece: Piece, row: int, campaign: _Campaign, first: int) -> Crossing:
        began, _, times, _ = self._told.tolist()
        trait = (*TRAITS, "model")[campaign.pool // POOLS]
        named = campaign.slots[first : first + MAX_NAMED].tolist()
        figures = self._shares.figures(campaign.pool)
        return Crossing(
            row=row,
            time_us=int(piece.batch.time_us[row]),
            trigger=piece.batch.interaction_id(row),
            subject_type="campaign",
            subject=f"flood-{began}-{first}" if first else f"flood-{began}",
            kind="burst",
            level=min(3, times),
            log_e=round(math.log(self._run_length) * FIXED_POINT_ONE),
            since_us=began * TICK_US,
            events=int(self._table["seen"][campaign.slots].sum()),
            evidence={
                "pool": trait,
                "clients": len(campaign.slots),
                "requests": campaign.requests,
                **figures,
            },
            usual=Usual("active", figures["expected"], self._shares.blocks(campaign.pool)),
            ids=tuple(sorted(self._names[slot] for slot in named)),
        )


def _pools_of(piece: Piece) -> NDArray[np.intp]:
    """Return the pools (n, traits + 1) of each row, -1 where a trait is not known."""
    rows = len(piece.batch)
    pools = np.full((rows, len(TRAITS) + 1), -1, np.intp)
    pools[:, -1] = ALL
    traits = piece.batch.traits
    if traits is not None:
        place = (traits % POOLS).astype(np.intp) + np.arange(len(TRAITS)) * POOLS
        pools[:, :-1] = np.where(traits > 0, place, -1)
    return pools
