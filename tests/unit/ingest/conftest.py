"""A broker and workers for the tests of the role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from config.settings import IngestSettings, Settings
from streams.ingest import delivery
from streams.roles import ingest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
from tests.unit.ingest.roles import SOURCE, Broker, Worker


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    instance = Broker()
    monkeypatch.setattr(ingest, "Producer", lambda _settings: instance)
    monkeypatch.setattr(delivery, "_FIRST_BACKOFF_S", 0.001)
    return instance


@pytest.fixture
async def worker(broker: Broker, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    roles: list[ingest.IngestRole] = []

    async def start(**bounds: Any) -> Worker:
        bounds = {"snapshot_interval_s": 60.0, **bounds}
        role = ingest.make(Settings(home=tmp_path, ingest=IngestSettings(**bounds)))
        roles.append(role)
        await role.start()
        await role.assigned({SOURCE})
        return Worker(role)

    yield start
    for role in roles:
        await role.stop()
