"""The detect role acknowledges what a snapshot covers, and nothing that half happened."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from prometheus_client import REGISTRY

from config.content import ContentSettings
from config.errors import Fatal
from config.settings import DetectSettings, Settings
from streams.content.keeper import open_content
from streams.content.keys import ContentKeys
from streams.engine import Engine
from streams.frames import AUDIT_SCHEMA, decode_frame, encode_frame
from streams.roles import background, detect
from streams.roles.base import Partition
from streams.store.documents import audit_rows
from streams.topics import AUDIT, INTERACTIONS, dlq
from tests.unit.detect.chunks import chunk_of
from tests.unit.streams.interactions import interactions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SOURCE = Partition(INTERACTIONS, 0)


class Outbox:
    """A broker that acknowledges at once."""

    def __init__(self, _settings: object) -> None:
        self.sent: list[tuple[str, bytes]] = []

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def send(self, topic: str, value: bytes, **_options: object) -> asyncio.Future[None]:
        self.sent.append((topic, value))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def audited(self) -> list[list[str]]:
        """Return the ids of the interactions of each audit frame."""
        frames = [decode_frame(value, AUDIT_SCHEMA) for topic, value in self.sent if topic == AUDIT]
        return [frame.column("id").to_pylist() for frame in frames]


@pytest.fixture
async def role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[detect.DetectRole]:
    monkeypatch.setattr(detect, "Producer", Outbox)
    made = detect.make(Settings(home=tmp_path, detect=DetectSettings(snapshot_interval_s=0.2)))
    made._background = background.Background(on_fatal=lambda _failure: None)
    await made.start()
    yield made
    await made._background.cancel()
    made._thread.shutdown()


def frame(first: int, rows: int) -> bytes:
    return encode_frame(
        interactions(
            [{"id": f"i-{first + n}", "source_offset": first + n} for n in range(rows)],
        )
    )


async def eventually(condition: object, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - a test waits
            await asyncio.sleep(0.01)


async def test_small_frames_of_several_chunks_are_detected_on_as_one(
    role: detect.DetectRole,
) -> None:
    acked: list[int] = []
    await role.assigned({SOURCE})
    for number in range(3):
        await role.process(
            chunk_of([frame(2 * number, 2)], number, SOURCE, lambda n=number: acked.append(n))
        )
    await eventually(lambda: acked == [0, 1, 2])
    assert role._producer.audited() == [[f"i-{n}" for n in range(6)]]


async def test_release_works_off_what_waits_and_acknowledges_it(role: detect.DetectRole) -> None:
    acked: list[int] = []
    await role.assigned({SOURCE})
    await role.process(chunk_of([frame(0, 2)], 0, SOURCE, lambda: acked.append(0)))
    await role.release({SOURCE})
    assert acked == [0]
    assert role._producer.audited() == [["i-0", "i-1"]]
    await role.process(chunk_of([frame(2, 2)], 1, SOURCE, lambda: acked.append(1)))
    assert acked == [0], "a partition that was let go is another worker's"


async def test_the_next_owner_goes_on_where_the_snapshot_ends(
    role: detect.DetectRole,
) -> None:
    await role.assigned({SOURCE})
    await role.process(chunk_of([frame(0, 2)], 0, SOURCE, lambda: None))
    await role.release({SOURCE})
    await role.assigned({SOURCE})
    # The first record again, as after a kill before its offset was committed, and a new one.
    await role.process(chunk_of([frame(0, 2), frame(2, 1)], 0, SOURCE, lambda: None))
    await role.release({SOURCE})
    assert role._producer.audited() == [["i-0", "i-1"], ["i-2"]]


async def test_a_frame_that_cannot_be_read_is_dead_lettered_and_the_rest_goes_on(
    role: detect.DetectRole,
) -> None:
    acked: list[int] = []
    await role.assigned({SOURCE})
    await role.process(chunk_of([b"no arrow", frame(0, 1)], 0, SOURCE, lambda: acked.append(0)))
    await eventually(lambda: acked == [0])
    assert [value for topic, value in role._producer.sent if topic == dlq(INTERACTIONS)] == [
        b"no arrow"
    ]
    assert role._producer.audited() == [["i-0"]]


async def test_state_that_took_half_a_chunk_is_never_saved_or_acknowledged(
    role: detect.DetectRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    acked: list[int] = []
    await role.assigned({SOURCE})

    def fail(_engine: Engine, _batch: object) -> None:
        raise Fatal("the detectors failed")

    monkeypatch.setattr(Engine, "process", fail)
    await role.process(chunk_of([frame(0, 2)], 0, SOURCE, lambda: acked.append(0)))
    await eventually(lambda: not role._owned)
    await asyncio.sleep(0.3)  # longer than the pause between snapshots
    assert not acked
    assert role._store.read("detect-vedette.interactions.v1-0") is None
    with pytest.raises(Fatal, match="the detectors failed"):
        await role.process(chunk_of([frame(2, 2)], 1, SOURCE, lambda: None))


async def test_what_detectors_cost_is_measured_once_a_batch(role: detect.DetectRole) -> None:
    def measured(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"detector": "traffic.burst"}) or 0.0

    batches = measured("vedette_detector_seconds_count")
    seconds = measured("vedette_detector_seconds_sum")
    await role.assigned({SOURCE})
    acked: list[int] = []
    await role.process(chunk_of([frame(0, 200)], 0, SOURCE, lambda: acked.append(0)))
    await eventually(lambda: acked)
    assert measured("vedette_detector_seconds_count") == batches + 1
    assert measured("vedette_detector_seconds_sum") > seconds
    assert measured("vedette_detector_state_keys") == 1
    await role.release({SOURCE})
    assert measured("vedette_detector_state_keys") == 0
    assert REGISTRY.get_sample_value("vedette_signature_checks_total", {"result": "ok"}) is not None


def test_an_audit_frame_with_much_content_is_cut_into_records_of_bearable_size(monkeypatch):
    monkeypatch.setattr(detect, "MAX_AUDIT_BYTES", 2000)
    columns = {"id": [f"i-{n}" for n in range(9)], "content": [b"x" * 500] * 9}
    audit = pa.table(columns).to_batches()[0]
    parts = detect.bounded(audit)
    assert pa.Table.from_batches(parts).equals(pa.table(columns))
    assert all(part.num_rows <= 4 for part in parts)
    assert detect.bounded(audit.slice(0, 0)) == []


async def test_what_a_tenant_allows_leaves_the_role_encrypted_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "Producer", Outbox)
    settings = Settings(home=tmp_path, content=ContentSettings(tenants=("acme",)))
    role = detect.make(settings)
    role._background = background.Background(on_fatal=lambda _failure: None)
    await role.start()
    await role.assigned({SOURCE})
    said = [{"prompt": "my card is 4111 1111 1111 1111", "tenant": name} for name in ("acme", "b")]
    await role.process(chunk_of([encode_frame(interactions(said))], 0, SOURCE, lambda: None))
    await role.release({SOURCE})
    await role._background.cancel()
    role._thread.shutdown()
    (value,) = [value for topic, value in role._producer.sent if topic == AUDIT]
    assert b"4111" not in value
    assert b"my card" not in value
    kept, other = audit_rows(decode_frame(value, AUDIT_SCHEMA))
    keys = ContentKeys(settings.content_keys)
    assert open_content(kept.body, keys).prompt == "my card is [card]"
    assert open_content(other.body, keys) is None
