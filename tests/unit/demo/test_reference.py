"""The reference is a recording that calibration reads, each picture's payload in it once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from streams.demo.clients import make_population, simulate
from streams.demo.reference import ReferencePictures, pseudonyms_of, write_reference
from streams.identity import Pseudonyms
from streams.reference import read_reference

if TYPE_CHECKING:
    from pathlib import Path


def test_calibration_reads_all_traffic_and_each_picture_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    scores = rng.dirichlet(np.ones(10), 30).astype(np.float32)
    population = make_population(10, 20.0, rng)
    traffic = simulate(population, scores.argmax(axis=1), 60.0, rng)
    names = Pseudonyms(bytes(32))
    path = tmp_path / "reference.parquet"
    write_reference(
        path,
        "digits",
        traffic,
        pseudonyms_of(population, lambda name: names.of("client", name)),
        ReferencePictures(pictures, scores, names),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    reference = read_reference(path, "digits")
    assert reference.rows == len(traffic)
    assert reference.x is not None
    assert reference.x.shape[1:] == (8, 8)
    assert len(reference.x) == len(np.unique(traffic.picture))
    assert len(np.unique(reference.x, axis=0)) == len(reference.x)
    assert reference.traffic is not None
    assert len(np.unique(reference.traffic.client)) == len(np.unique(traffic.client))
