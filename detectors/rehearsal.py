"""How often benign clients made of the calibration's own samples would raise a false alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.batch import Batch
from detectors.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.calibration import Calibration
    from detectors.profile import Profile

CLIENTS = 40
QUERIES = 200
RUN_LENGTH_EVENTS = 60_000
_RETRY_SHARE = 0.2
_CONCENTRATION = 0.3


def rehearse(
    profile: Profile, calibration: Calibration, held_out: NDArray[np.intp], seed: int
) -> dict[str, dict[str, int]]:
    """Count pseudo-clients that the query detector flags, by kind of benign behaviour.

    Parameters
    ----------
    held_out
        Rows that are no anchors. Their distances to each other are part of the profile, so
        what comes out is a check that nothing is broken, not a promise.
    """
    rng = np.random.default_rng(seed)
    kinds: dict[str, Callable[[], NDArray[np.intp]]] = {
        "independent": lambda: rng.choice(held_out, QUERIES),
        "skewed": lambda: _skewed(rng, calibration.label, held_out),
        "retrying": lambda: _retrying(rng, held_out),
    }
    return {
        kind: {
            "clients": CLIENTS,
            "queries": CLIENTS * QUERIES,
            "flagged": _flagged(profile, calibration, [draw() for _ in range(CLIENTS)]),
        }
        for kind, draw in kinds.items()
    }


def _skewed(
    rng: np.random.Generator, label: NDArray[np.int32], rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Draw with a taste for some classes (Dirichlet)."""
    classes, code = np.unique(label[rows], return_inverse=True)
    taste = rng.dirichlet([_CONCENTRATION] * len(classes))
    weight = (taste / np.bincount(code))[code]
    return rng.choice(rows, QUERIES, p=weight / weight.sum())


def _retrying(rng: np.random.Generator, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Send some queries once more."""
    drawn = rng.choice(rows, QUERIES)
    for at in np.flatnonzero(rng.random(QUERIES) < _RETRY_SHARE).tolist():
        drawn[at] = drawn[max(0, at - 1)]
    return drawn


def _flagged(profile: Profile, calibration: Calibration, clients: list[NDArray[np.intp]]) -> int:
    rows = np.stack(clients, axis=1).ravel()
    suite = Suite(
        "rehearsal",
        profile,
        run_length_events=RUN_LENGTH_EVENTS,
        max_clients=2048,
        lateness_us=0,
        detectors=("query.pincer",),
    )
    findings = suite.observe(_batch(calibration, rows, len(clients))).findings
    return len({finding.subject.ids for finding in findings})


def _batch(calibration: Calibration, rows: NDArray[np.intp], clients: int) -> Batch:
    count = len(rows)
    unknown = np.full(count, -1, np.int32)
    time_us = np.arange(count, dtype=np.int64)
    return Batch(
        model="rehearsal",
        first_row=0,
        clients=tuple(str(index) for index in range(clients)),
        time_us=time_us,
        watermark_us=time_us,
        client=(np.arange(count) % clients).astype(np.int32),
        label=calibration.label[rows],
        confidence=calibration.confidence[rows],
        margin=calibration.margin[rows],
        entropy=unknown,
        log_odds=unknown,
        status=np.zeros(count, np.int16),
        input_tokens=unknown,
        output_tokens=unknown,
        # A sample drawn again is a payload sent again.
        payload_hash=rows.astype(np.uint64) + np.uint64(1),
        scanned=np.ones(count, np.bool_),
        sketch=calibration.sketch[rows],
        embedding=calibration.embedding[rows],
        grain=calibration.grain[rows],
        view=calibration.view[rows],
        interaction_id=str,
    )
