"""Which row of the state belongs to which client: capped, least recently seen goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.tables import ClientTable, State, nest, pack_texts, pick, unpack_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from detectors.batch import Batch

#: Batches are split where the model's row count is a multiple of this. Clients are evicted there
#: and nowhere else, so that who is evicted does not depend on how a stream is cut.
BLOCK_ROWS = 1024


class ClientSlots:
    """Client id to row of the per-client arrays.

    Parameters
    ----------
    max_clients
        Rows; at least twice `BLOCK_ROWS`.

    Examples
    --------
    >>> slots = ClientSlots(2048)
    >>> slots.clients
    0
    """

    def __init__(self, max_clients: int) -> None:
        if max_clients < 2 * BLOCK_ROWS:
            raise ValueError(f"max_clients must be at least {2 * BLOCK_ROWS}")
        self._max_clients = max_clients
        self._slot: dict[str, int] = {}
        self._free: list[int] = []
        self._names: list[str] = []
        self._tenants: list[str] = []
        self._table = ClientTable(
            max_clients, {"events": ((), np.int64), "last_row": ((), np.int64)}
        )

    @property
    def clients(self) -> int:
        """Clients held now."""
        return len(self._slot)

    @property
    def used(self) -> int:
        """Rows ever given out."""
        return len(self._names)

    @property
    def events(self) -> NDArray[np.int64]:
        """Interactions seen of each slot's client."""
        return self._table["events"]

    def make_room(self) -> NDArray[np.intp]:
        """Evict until a whole block of new clients would fit; return the freed slots.

        To be called exactly where the row count is a multiple of `BLOCK_ROWS`.
        """
        wanted = self.clients + BLOCK_ROWS - self._max_clients
        if wanted <= 0:
            return np.zeros(0, np.intp)
        held = np.fromiter(self._slot.values(), np.intp, self.clients)
        # No two clients share their last row, so there is no tie to break.
        oldest = np.argsort(self._table["last_row"][held])[:wanted]
        evicted = held[oldest]
        for slot in evicted.tolist():
            del self._slot[self._names[slot]]
            self._free.append(slot)
        self._table.reset(evicted)
        return evicted

    def assign(self, batch: Batch) -> NDArray[np.intp]:
        """Return the slot of each row, giving new clients a free one.

        The rows must not span a multiple of `BLOCK_ROWS`.
        """
        codes, first, inverse = np.unique(batch.client, return_index=True, return_inverse=True)
        slot_of = np.empty(len(codes), np.intp)
        for index in np.argsort(first).tolist():
            code = codes[index]
            tenant = batch.tenants[code] if batch.tenants else None
            slot_of[index] = self._slot_of(batch.clients[code], tenant or "")
        slots: NDArray[np.intp] = slot_of[inverse]
        self._table["last_row"][slots] = batch.first_row + np.arange(len(slots))
        return slots

    def name(self, slot: int) -> str:
        """Return the client of a slot."""
        return self._names[slot]

    def tenant_of(self, client: str) -> str | None:
        """Return the tenant that a client came with, None if it is not known or held."""
        slot = self._slot.get(client)
        return None if slot is None else self._tenants[slot] or None

    def snapshot(self) -> State:
        """Return all state as arrays."""
        held = np.zeros(self.used, np.bool_)
        held[list(self._slot.values())] = True
        return {
            **nest("names", pack_texts(self._names)),
            **nest("tenants", pack_texts(self._tenants)),
            **nest("table", self._table.snapshot(self.used)),
            "held": held,
            "free": np.array(self._free, np.int64),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Bring back what `snapshot` returned."""
        self._names = unpack_texts(pick("names", arrays))
        self._tenants = unpack_texts(pick("tenants", arrays))
        self._table.restore(pick("table", arrays))
        self._free = arrays["free"].tolist()
        held = np.flatnonzero(arrays["held"]).tolist()
        self._slot = {self._names[slot]: slot for slot in held}

    def _slot_of(self, client: str, tenant: str) -> int:
        slot = self._slot.get(client)
        if slot is None:
            if self._free:
                slot = self._free.pop()
                self._names[slot], self._tenants[slot] = client, tenant
            else:
                slot = len(self._names)
                self._names.append(client)
                self._tenants.append(tenant)
            self._slot[client] = slot
        return slot
