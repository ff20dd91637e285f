"""Clients that read a language model's numbers off it, one parameter at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Context, Crossing, Piece, Segments
from detectors.batch import FIXED_POINT_ONE
from detectors.evidence import EvidenceSums, Rise
from detectors.registry import Kind, register
from detectors.tables import ClientTable, State, nest, pick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

CHANNELS = ("bias", "scores")
_KINDS = ("extraction", "membership")


class ProbesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of such requests that benign and hostile clients are taken to repeat.

    ``cycled``: of the requests with a bias, those that ask the prompt of the one before with
    another bias. ``rescored``: of the requests for log-probabilities or many samples, those that
    ask the prompt of the one before.
    """

    cycled: tuple[
        Annotated[float, msgspec.Meta(gt=0, lt=1)], Annotated[float, msgspec.Meta(gt=0, lt=1)]
    ] = (0.02, 0.5)
    rescored: tuple[
        Annotated[float, msgspec.Meta(gt=0, lt=1)], Annotated[float, msgspec.Meta(gt=0, lt=1)]
    ] = (0.2, 0.8)


@register(
    "requests.probes",
    ProbesConfig,
    kinds={
        "extraction": Kind(
            severity="high",
            atlas=("AML.T0024.002", "AML.T0040"),
            owasp=("LLM06:2026", "LLM10:2025", "ML05:2023"),
        ),
        "membership": Kind(severity="medium", atlas=("AML.T0024.000",), owasp=("ML04:2023",)),
    },
    cost="O(1)",
    state_bytes=96,
)
class Probes:
    """Find clients that send one prompt again and again with other biases, or for its scores.

    A bias on the logits of one prompt, changed from request to request, gives the model's output
    layer away; the log-probabilities of a fixed text tell whether it was trained on. The bets are
    likelihood ratios: a request repeats with the hostile share or with the benign one. Other
    requests in between are no evidence, for or against.

    References
    ----------
    Carlini et al. Stealing part of a production language model. ICML 2024.
    """

    version: ClassVar[int] = 1

    def __init__(self, config: ProbesConfig, context: Context) -> None:
        self._bets = np.stack([_bets(*config.cycled), _bets(*config.rescored)])
        self._sums = EvidenceSums(context.max_clients, len(CHANNELS), context.run_length_events)
        self._table = ClientTable(
            context.max_clients,
            {"prompt": ((len(CHANNELS),), np.uint64), "bias": ((), np.uint64)},
        )

    @property
    def bytes_per_client(self) -> int:
        """Bytes of one client's rows."""
        return self._sums.table.bytes_per_client + self._table.bytes_per_client

    def observe(self, piece: Piece) -> list[Crossing]:
        """Bet on the rows of a piece that ask for something special."""
        batch = piece.batch
        if batch.bias is None or batch.scored is None:
            return []
        special = (batch.bias > 0) | batch.scored
        rows = np.flatnonzero(special & (batch.payload_hash > 0))
        if not len(rows):
            return []
        segments = Segments.of(rows, piece.slot[rows])
        order = segments.order
        evidence = np.zeros((len(order), len(CHANNELS)), np.int64)
        bias, prompt = batch.bias[order], batch.payload_hash[order]
        for channel, asked in enumerate((bias > 0, batch.scored[order])):
            at = np.flatnonzero(asked)
            if len(at):
                repeats = self._repeats(channel, segments.slot[at], prompt[at], bias[at])
                evidence[at, channel] = self._bets[channel, repeats.astype(np.intp)]
        rises = self._sums.update(segments, evidence, batch.time_us[order])
        return [self._crossing(piece, segments, rise) for rise in rises]

    def finish(self) -> list[Crossing]:
        """Nothing is open."""
        return []

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Forget clients."""
        self._sums.reset(slots)
        self._table.reset(slots)

    def snapshot(self, slots_used: int) -> State:
        """Return all state as arrays."""
        return {
            **nest("sums", self._sums.snapshot(slots_used)),
            **nest("last", self._table.snapshot(slots_used)),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._sums.restore(pick("sums", arrays))
        self._table.restore(pick("last", arrays))

    def _repeats(
        self,
        channel: int,
        slot: NDArray[np.intp],
        prompt: NDArray[np.uint64],
        bias: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:
        """Tell which requests, sorted by client, repeat the prompt of the one before."""
        first = np.r_[True, slot[1:] != slot[:-1]]
        last = np.r_[slot[1:] != slot[:-1], True]
        before, held = np.r_[prompt[:1], prompt[:-1]], self._table["prompt"]
        before[first] = held[slot[first], channel]
        held[slot[last], channel] = prompt[last]
        repeats: NDArray[np.bool_] = prompt == before
        if CHANNELS[channel] == "bias":
            other = np.r_[bias[:1], bias[:-1]]
            other[first] = self._table["bias"][slot[first]]
            self._table["bias"][slot[last]] = bias[last]
            repeats &= bias != other
        return repeats

    def _crossing(self, piece: Piece, segments: Segments, rise: Rise) -> Crossing:
        row = int(segments.order[rise.position])
        channel = int(np.argmax(rise.sums))
        return piece.crossing(
            row,
            kind=_KINDS[channel],
            level=rise.level,
            log_e=rise.sums[channel],
            since_us=rise.since_us,
            usual=rise.usual,
            evidence={"channel": CHANNELS[channel], "queries": rise.length},
        )


def _bets(benign: float, hostile: float) -> NDArray[np.int64]:
    """Return the log likelihood ratios of a request that does not repeat, and of one that does."""
    ratios = (1 - hostile) / (1 - benign), hostile / benign
    return np.array([round(math.log(ratio) * FIXED_POINT_ONE) for ratio in ratios], np.int64)
