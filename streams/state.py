"""Snapshots of state: atomic, versioned, on a directory or on object storage.

A snapshot is one safetensors file: arrays plus a JSON text, no code in it. It is written whole
under a temporary name, synced and renamed, so a reader sees the old one or the new one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import fsspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from config.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

_META = "__vedette_meta__"


class SnapshotStore:
    """Named snapshots under one fsspec URL.

    Parameters
    ----------
    url
        ``file:///var/lib/vedette/state``, ``s3://bucket/prefix`` and the like.
    """

    def __init__(self, url: str) -> None:
        self._local = _local_directory(url)
        self._url = url.rstrip("/")

    def write(self, name: str, arrays: Arrays, meta: bytes) -> None:
        """Replace snapshot ``name`` atomically; durable when this returns."""
        text = np.frombuffer(meta or b"{}", np.uint8)
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        data = save_arrays({**contiguous, _META: text})
        if self._local is None:
            with fsspec.open(f"{self._url}/{name}", "wb") as target:
                target.write(data)
        else:
            _write_durably(self._local / name, data)

    def read(self, name: str) -> tuple[dict[str, NDArray[Any]], bytes] | None:
        """Return arrays and meta text of snapshot ``name``, None if there is none.

        Raises
        ------
        Fatal
            If the file is damaged: starting without its state could lose or repeat events.
        """
        data = self._read_bytes(name)
        if data is None:
            return None
        try:
            arrays = load_arrays(data)
        except SafetensorError:
            raise Fatal(
                f"state snapshot {name} is damaged; restore it from a backup, or delete it "
                "to start that partition afresh"
            ) from None
        meta: NDArray[np.uint8] = arrays.pop(_META)
        return arrays, meta.tobytes()

    def _read_bytes(self, name: str) -> bytes | None:
        try:
            if self._local is not None:
                return (self._local / name).read_bytes()
            with fsspec.open(f"{self._url}/{name}", "rb") as source:
                data: bytes = source.read()
                return data
        except FileNotFoundError:
            return None


def _local_directory(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme not in ("", "file"):
        return None
    directory = Path(unquote(parts.path))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
