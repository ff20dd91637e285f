"""How many threads a command computes with."""

from __future__ import annotations

import os


def compute_in_one_thread() -> None:
    """Keep NumPy and torch from sharing small products among threads, before either is loaded.

    The threads wait for each other in busy loops: with every core in use detection took four
    times the CPU (measured). More cores are for more workers.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
