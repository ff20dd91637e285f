"""Micro-batches keep the order, fit the memory and shrink when it is short."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.batching import GROW_AFTER, BatchLimits, MicroBatcher


class Recorder:
    """A module that doubles its input, notes batch sizes, and runs short of memory at times."""

    def __init__(self, room: int = 10**9) -> None:
        self.sizes: list[int] = []
        self.room = room

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        if len(rows) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(rows))
        return rows * 2


def rows(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


def test_answers_come_in_order_and_to_the_right_request() -> None:
    batcher = MicroBatcher(Recorder(), BatchLimits(max_rows=8), device="cpu")
    pending = [(n, batcher.submit(rows(n, 1 + n % 3))) for n in range(50)]
    for n, future in pending:
        np.testing.assert_array_equal(future.result(5), rows(n, 1 + n % 3) * 2)
    batcher.close()


def test_small_requests_are_joined() -> None:
    module = Recorder()
    batcher = MicroBatcher(module, BatchLimits(max_rows=64, max_delay_s=5.0), device="cpu")
    pending = [batcher.submit(rows(n, 1)) for n in range(64)]
    for future in pending:
        future.result(5)
    batcher.close()
    assert module.sizes == [64]


def test_an_old_row_does_not_wait_for_a_full_batch() -> None:
    batcher = MicroBatcher(Recorder(), BatchLimits(max_rows=64, max_delay_s=0.01), device="cpu")
    assert len(batcher.submit(rows(0, 1)).result(5)) == 1
    batcher.close()


def test_a_batch_stays_within_its_bytes() -> None:
    module = Recorder()
    batcher = MicroBatcher(module, BatchLimits(max_rows=64, max_bytes=16), device="cpu")
    batcher.submit(rows(0, 10)).result(5)
    batcher.close()
    assert max(module.sizes) <= 4


def test_the_batch_is_halved_when_memory_is_short_and_grows_back() -> None:
    module = Recorder(room=5)
    batcher = MicroBatcher(module, BatchLimits(max_rows=32, max_delay_s=0), device="cpu")
    np.testing.assert_array_equal(batcher.submit(rows(0, 32)).result(5), rows(0, 32) * 2)
    assert batcher.rows_at_once <= 5
    module.room = 10**9
    for n in range(4 * GROW_AFTER):
        batcher.submit(rows(n, 1)).result(5)
    batcher.close()
    assert batcher.rows_at_once == 32


def test_a_single_row_that_does_not_fit_fails_alone() -> None:
    module = Recorder(room=0)
    batcher = MicroBatcher(module, BatchLimits(max_delay_s=0), device="cpu")
    with pytest.raises(torch.OutOfMemoryError):
        batcher.submit(rows(0, 1)).result(5)
    module.room = 10
    assert len(batcher.submit(rows(0, 1)).result(5)) == 1
    batcher.close()


def test_closing_finishes_what_is_queued() -> None:
    batcher = MicroBatcher(Recorder(), BatchLimits(max_delay_s=60), device="cpu")
    future = batcher.submit(rows(0, 3))
    batcher.close()
    assert len(future.result(0)) == 3
