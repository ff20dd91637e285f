"""The consumer around the ledger: acknowledgements, failed commits, partitions that go."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP

from config.settings import KafkaSettings, Settings
from streams.runtime import RoleRunner, make_app
from streams.transport import BatchMessage

if TYPE_CHECKING:
    from pathlib import Path

    from streams.roles.base import Chunk, Partition
    from streams.transport.consumer import BatchConsumer

SOURCE = TP("batches", 0)


class Recorder:
    """A role that notes its calls."""

    name = "recorder"
    topics = ("batches",)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.chunks: list[Chunk] = []

    async def start(self) -> None: ...

    async def assigned(self, partitions: set[Partition]) -> None:
        self.calls.append("assigned")

    async def process(self, chunk: Chunk) -> None:
        self.calls.append("process")
        self.chunks.append(chunk)

    async def release(self, partitions: set[Partition]) -> None:
        self.calls.append("release")
        for chunk in self.chunks:
            chunk.ack()

    async def stop(self) -> None: ...


class Bench:
    """A consumer whose broker is a list of commits, some of which fail."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
        self.role = Recorder()
        self.runner = RoleRunner(self.role)
        self.app = make_app(self.role, settings, self.runner)
        self.consumer: BatchConsumer = self.app.consumer
        self.commits: list[dict[Any, int]] = []
        self.refuse = False
        self.consumer._commit = self._commit
        self.consumer.assignment = lambda: {SOURCE}

        async def flush() -> None: ...

        self.app.producer.flush = flush

    async def _commit(self, offsets: dict[Any, int]) -> bool:
        if self.refuse:
            return False
        self.commits.append(dict(offsets))
        return True

    def fetch(self, first: int, last: int) -> BatchMessage:
        records = [
            SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0)
            for offset in (first, last)
        ]
        message = BatchMessage(SOURCE, records, 0)
        message.incref()
        self.consumer._ledgers[SOURCE].track(message)
        self.consumer._unacked_messages.add(message)
        return message


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_chunks_acknowledged_out_of_order_commit_their_prefix(bench: Bench) -> None:
    chunks = [bench.fetch(0, 9), bench.fetch(15, 19), bench.fetch(20, 29)]
    chunks[1].ack(bench.consumer)
    await bench.consumer.commit()
    assert bench.commits == []
    chunks[0].ack(bench.consumer)
    await bench.consumer.commit()
    assert bench.commits == [{SOURCE: 20}]


async def test_a_failed_commit_is_tried_again(bench: Bench) -> None:
    bench.fetch(0, 9).ack(bench.consumer)
    bench.refuse = True
    await bench.consumer.commit()
    bench.refuse = False
    await bench.consumer.commit()
    await bench.consumer.commit()
    assert bench.commits == [{SOURCE: 10}]


async def test_a_late_acknowledgement_of_a_revoked_chunk_changes_nothing(bench: Bench) -> None:
    chunk = bench.fetch(0, 9)
    bench.consumer._ledgers.clear()
    chunk.ack(bench.consumer)
    await bench.consumer.commit()
    assert bench.commits == []


async def test_held_acknowledgements_are_released_before_the_last_commit(bench: Bench) -> None:
    await bench.runner.assigned({("batches", 0)})
    await bench.runner.handle(event_of(bench, bench.fetch(0, 9)))
    await bench.consumer.wait_empty()
    await bench.consumer.wait_empty()
    assert bench.role.calls == ["assigned", "process", "release"]
    assert bench.commits == [{SOURCE: 10}]


async def test_no_chunk_enters_a_role_before_its_partition_or_after_release(bench: Bench) -> None:
    await bench.runner.handle(event_of(bench, bench.fetch(0, 9)))
    await bench.runner.assigned({("batches", 0)})
    await bench.runner.release()
    await bench.runner.handle(event_of(bench, bench.fetch(10, 19)))
    assert bench.role.calls == ["assigned", "release"]


async def test_release_waits_for_the_chunk_in_work(bench: Bench) -> None:
    done = asyncio.Event()

    async def slow(chunk: Chunk) -> None:
        await done.wait()
        bench.role.calls.append("processed")

    bench.role.process = slow  # type: ignore[method-assign]
    await bench.runner.assigned({("batches", 0)})
    work = asyncio.create_task(bench.runner.handle(event_of(bench, bench.fetch(0, 9))))
    await asyncio.sleep(0)
    release = asyncio.create_task(bench.runner.release())
    await asyncio.sleep(0)
    done.set()
    await asyncio.gather(work, release)
    assert bench.role.calls == ["assigned", "processed", "release"]


async def test_after_a_failure_nothing_more_is_processed_or_released(bench: Bench) -> None:
    crashes: list[BaseException] = []

    async def crash(reason: BaseException) -> None:
        crashes.append(reason)

    async def fail(chunk: Chunk) -> None:
        raise ValueError("somebody's prompt")

    bench.runner.crash = crash
    bench.role.process = fail  # type: ignore[method-assign]
    await bench.runner.assigned({("batches", 0)})
    await bench.runner.handle(event_of(bench, bench.fetch(0, 9)))
    await bench.runner.handle(event_of(bench, bench.fetch(10, 19)))
    await bench.consumer.wait_empty()
    assert len(crashes) == 1
    assert "ValueError" in str(crashes[0])
    assert "prompt" not in str(crashes[0])
    assert bench.role.calls == ["assigned"]
    assert bench.commits == []


async def test_the_app_has_no_web_server_and_an_idempotent_producer(bench: Bench) -> None:
    assert bench.app.conf.web_enabled is False
    assert bench.app.producer._settings_extra() == {"acks": "all", "enable_idempotence": True}


def event_of(bench: Bench, message: BatchMessage) -> Any:
    return SimpleNamespace(
        message=message, value=message.value, ack=lambda: message.ack(bench.consumer)
    )
