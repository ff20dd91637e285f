"""Micro-batches: many small requests become few large ones, answers in order.

One worker thread owns the device. A batch goes when it is full, when its oldest row has waited
long enough, or when it fills the memory given to it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from config.errors import Transient
from models.device import resolve_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Batches that must succeed before a halved size is doubled again.
GROW_AFTER = 32


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch goes."""

    max_rows: int = 256
    max_bytes: int = 64 << 20
    max_delay_s: float = 0.005
    max_waiting_rows: int = 65_536


@dataclass(slots=True)
class _Request:
    rows: NDArray[Any]
    arrived_s: float
    result: Future[NDArray[np.float32]]


class MicroBatcher:
    """Runs a module on micro-batches.

    Parameters
    ----------
    module
        Takes a float tensor (n, ...) and gives one (n, classes).
    limits
        When a batch goes.
    device
        ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        module: Callable[[torch.Tensor], torch.Tensor],
        limits: BatchLimits,
        *,
        device: str = "auto",
    ) -> None:
        self._device = resolve_device(device)
        self._module = module.to(self._device) if isinstance(module, torch.nn.Module) else module
        self._limits = limits
        self.rows_at_once = limits.max_rows
        self._successes = 0
        self._waiting: deque[_Request] = deque()
        self._waiting_rows = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="infer", daemon=True)
        self._thread.start()

    def submit(self, rows: NDArray[Any]) -> Future[NDArray[np.float32]]:
        """Queue rows (n, ...); the future gives their outputs (n, classes).

        Raises
        ------
        Transient
            If too many rows wait already.
        """
        request = _Request(rows, time.monotonic(), Future())
        with self._changed:
            if self._closing:
                raise RuntimeError("the batcher is closed")
            if self._waiting_rows + len(rows) > self._limits.max_waiting_rows and self._waiting:
                raise Transient("too many rows wait for the model", retry_after_s=0.05)
            self._waiting.append(request)
            self._waiting_rows += len(rows)
            self._changed.notify()
        return request.result

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                outputs = self._run(np.concatenate([request.rows for request in batch]))
            except (RuntimeError, ValueError) as error:
                for request in batch:
                    request.result.set_exception(error)
                continue
            start = 0
            for request in batch:
                request.result.set_result(outputs[start : start + len(request.rows)])
                start += len(request.rows)

    def _next_batch(self) -> list[_Request]:
        """Wait for a full or an old batch; an empty one says that all is done."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            while not self._closing and not self._is_full():
                left_s = self._waiting[0].arrived_s + self._limits.max_delay_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            return self._take()

    def _row_limit(self) -> int:
        row_bytes = max(1, self._waiting[0].rows[:1].nbytes)
        return max(1, min(self._limits.max_rows, self._limits.max_bytes // row_bytes))

    def _is_full(self) -> bool:
        return self._waiting_rows >= self._row_limit()

    def _take(self) -> list[_Request]:
        batch: list[_Request] = []
        if not self._waiting:
            return batch
        limit, rows = self._row_limit(), 0
        shape = self._waiting[0].rows.shape[1:]
        while self._waiting and self._waiting[0].rows.shape[1:] == shape:
            size = len(self._waiting[0].rows)
            if batch and rows + size > limit:
                break
            batch.append(self._waiting.popleft())
            rows += size
        self._waiting_rows -= rows
        return batch

    def _run(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Infer in pieces of ``rows_at_once``, halving it while memory is short."""
        outputs: list[NDArray[np.float32]] = []
        most = max(1, self._limits.max_bytes // max(1, rows[:1].nbytes))
        start = 0
        while start < len(rows):
            piece = rows[start : start + min(self.rows_at_once, most)]
            try:
                outputs.append(self._infer(piece))
            except torch.OutOfMemoryError:
                if len(piece) <= 1:
                    raise
                self.rows_at_once = max(1, len(piece) // 2)
                self._successes = 0
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            start += len(piece)
            self._grow()
        return np.concatenate(outputs)

    def _grow(self) -> None:
        self._successes += 1
        if self._successes >= GROW_AFTER and self.rows_at_once < self._limits.max_rows:
            self.rows_at_once = min(self._limits.max_rows, self.rows_at_once * 2)
            self._successes = 0

    def _infer(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(self._device)
            return np.asarray(self._module(given).float().cpu().numpy(), np.float32)
