"""What a net of integers says does not depend on the rows beside it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.query.exposure import exposure_scores, no_exposure, round_exposure


@given(st.integers(0, 1000), st.integers(1, 64), st.integers(1, 40))
def test_rows_are_scored_alike_alone_and_together(seed: int, size: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    fit = round_exposure(*(rng.normal(0, 0.1, shape) for shape in ((size, 8), 8, 8)))
    sketch = rng.integers(0, 256, (rows, size)).astype(np.uint8)
    together = exposure_scores(fit, sketch)
    assert together.tolist() == [int(exposure_scores(fit, row[None])[0]) for row in sketch]


def test_no_net_says_nothing() -> None:
    sketch = np.full((3, 5), 200, np.uint8)
    assert exposure_scores(no_exposure(5), sketch).tolist() == [0, 0, 0]
