"""Clients of a language model: what they ask for beyond an answer, benign and hostile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.figures import Asking, Share
from benchmarks.quality.traffic import traffic_batch
from detectors.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    #: Prompts, biases (0 for none), and whether scores were asked for.
    Requests = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.bool_]]

_QUERIES = 200


def _prompts(rng: Generator, repeated: float) -> NDArray[np.uint64]:
    """Draw prompts of which a share is that of the request before."""
    prompts = rng.integers(1, 1 << 62, _QUERIES).astype(np.uint64)
    for at in np.flatnonzero(rng.random(_QUERIES) < repeated).tolist():
        prompts[at] = prompts[max(0, at - 1)]
    return prompts


def _none() -> NDArray[np.uint64]:
    return np.zeros(_QUERIES, np.uint64)


def plain(rng: Generator) -> Requests:
    """Ask for answers alone, with a tenth of retries."""
    return _prompts(rng, 0.1), _none(), np.zeros(_QUERIES, np.bool_)


def fixed_bias(rng: Generator) -> Requests:
    """Forbid the same words in every request, with a tenth of retries."""
    bias = np.full(_QUERIES, rng.integers(1, 1 << 62), np.uint64)
    return _prompts(rng, 0.1), bias, np.zeros(_QUERIES, np.bool_)


def grader(rng: Generator) -> Requests:
    """Grade many texts by their log-probabilities, with a tenth of retries."""
    return _prompts(rng, 0.1), _none(), np.ones(_QUERIES, np.bool_)


def chooser(rng: Generator) -> Requests:
    """Bias the answers of each multiple-choice question towards its own letters, asked once."""
    bias = rng.integers(1, 20, _QUERIES).astype(np.uint64)
    return _prompts(rng, 0.0), bias, np.ones(_QUERIES, np.bool_)


def cycling(rng: Generator) -> Requests:
    """Change the bias on one prompt, in half of the requests."""
    prompts, bias, scored = plain(rng)
    some = rng.random(_QUERIES) < 0.5
    prompts[some] = 1
    bias[some] = rng.permutation(_QUERIES)[some] + 1
    return prompts, bias, scored


def mining(rng: Generator) -> Requests:
    """Score a few fixed texts many times each, in half of the requests."""
    prompts, bias, scored = plain(rng)
    some = np.flatnonzero(rng.random(_QUERIES) < 0.5)
    prompts[some] = np.repeat(np.arange(1, 40), 12)[: len(some)]
    scored[some] = True
    return prompts, bias, scored


BENIGN: dict[str, Callable[[Generator], Requests]] = {
    "answers alone": plain,
    "one bias": fixed_bias,
    "grading": grader,
    "multiple choice": chooser,
}
HOSTILE: dict[str, Callable[[Generator], Requests]] = {
    "bias cycling": cycling,
    "repeated scoring": mining,
}


def asking(seed: int, clients: int, run_length_events: int) -> tuple[Asking, ...]:
    """Return how many clients of each kind are found, and with which special request."""
    return tuple(
        _asking(kind, make, clients, run_length_events, [seed, number])
        for number, (kind, make) in enumerate((BENIGN | HOSTILE).items())
    )


def _asking(
    kind: str,
    make: Callable[[Generator], Requests],
    clients: int,
    run_length_events: int,
    seed: list[int],
) -> Asking:
    rng = np.random.default_rng(seed)
    drawn = [make(rng) for _ in range(clients)]
    prompt, bias, scored = (np.stack(column).ravel() for column in zip(*drawn, strict=True))
    owner = np.repeat(np.arange(clients), _QUERIES)
    batch = traffic_batch(
        tuple(f"{kind}-{index}" for index in range(clients)), owner, np.arange(len(owner)) / 10, 0
    )
    suite = Suite(
        "language", None, run_length_events=run_length_events, max_clients=clients + 2048,
        lateness_us=0, detectors=("requests.probes",),
    )  # fmt: skip
    found = suite.observe(replace(batch, payload_hash=prompt, bias=bias, scored=scored)).findings
    firsts: dict[str, int] = {}
    for finding in found:
        firsts.setdefault(finding.subject.ids[0], int(finding.trigger) % _QUERIES)
    special = ((bias > 0) | scored).reshape(clients, _QUERIES)
    delays = [
        int(special[int(name.rpartition("-")[2]), : at + 1].sum()) for name, at in firsts.items()
    ]
    return Asking(kind, kind in HOSTILE, Share(len(firsts), clients), tuple(delays))
