"""Which device tensors live on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


def resolve_device(name: str) -> torch.device:
    """Return the device of a setting: ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If CUDA is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("device is cuda but this machine has no usable CUDA; set auto or cpu")
    return torch.device(name)


def limit_threads(threads: int) -> None:
    """Use so many threads for CPU tensors: a worker process a core is faster than sharing."""
    torch.set_num_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: the order of float additions is then always the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
