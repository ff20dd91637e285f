"""Arrays with one row a client, and texts as arrays, for snapshots without objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import DTypeLike, NDArray

State = dict[str, "NDArray[Any]"]


class ClientTable:
    """Named arrays with one row a client slot.

    They are allocated whole, but the operating system only backs rows that are touched.

    Examples
    --------
    >>> table = ClientTable(4, {"seen": ((), np.int64), "ring": ((2,), np.uint8)})
    >>> table["seen"][1] = 7
    >>> table.reset(np.array([1]))
    >>> int(table["seen"][1]), table.bytes_per_client
    (0, 10)
    """

    def __init__(
        self, max_clients: int, columns: Mapping[str, tuple[tuple[int, ...], DTypeLike]]
    ) -> None:
        self._columns: State = {
            name: np.zeros((max_clients, *shape), dtype) for name, (shape, dtype) in columns.items()
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    @property
    def bytes_per_client(self) -> int:
        """Size of one row over all arrays."""
        return sum(column.nbytes // len(column) for column in self._columns.values())

    def reset(self, slots: NDArray[np.intp]) -> None:
        """Clear the rows of clients that were evicted."""
        for column in self._columns.values():
            column[slots] = 0

    def take(self, rows: NDArray[np.intp]) -> State:
        """Copy some rows."""
        return {name: column[rows] for name, column in self._columns.items()}

    def snapshot(self, slots_used: int) -> State:
        """Copy the rows that were ever given out."""
        return {name: column[:slots_used].copy() for name, column in self._columns.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned; columns that it did not know yet begin empty."""
        for name, column in self._columns.items():
            saved = arrays.get(name, column[:0])
            column[: len(saved)] = saved
            column[len(saved) :] = 0


def pack_texts(texts: Iterable[str]) -> State:
    """Store texts as UTF-8 bytes and offsets."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {
        "utf8": np.frombuffer(b"".join(encoded), np.uint8).copy(),
        "ends": np.cumsum([len(text) for text in encoded], dtype=np.int64),
    }


def unpack_texts(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Read what `pack_texts` stored."""
    data = arrays["utf8"].tobytes()
    ends = arrays["ends"].tolist()
    starts = [0, *ends]
    return [
        data[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts[: len(ends)], ends, strict=True)
    ]


def nest(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> State:
    """Put a state under a name."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def pick(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> State:
    """Undo `nest`."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
