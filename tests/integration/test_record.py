"""``vedette record`` writes what the topic of interactions holds, and stops where it is told."""

from __future__ import annotations

import asyncio

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from config.errors import ConfigError
from config.settings import KafkaSettings, Settings
from streams.cli.main import main
from streams.frames import INTERACTION_SCHEMA, encode_frame
from streams.recorder import record_interactions
from streams.recording import read_recording
from streams.topics import INTERACTIONS
from tests.integration.killing import produce
from tests.scenarios.world import recording

pytestmark = pytest.mark.kafka

ROWS, FRAME_ROWS = 300, 64


def marked(batch: pa.RecordBatch, source: str) -> pa.RecordBatch:
    """Return the rows with a source of their own: other tests write to the topic as well."""
    index = batch.schema.get_field_index("source")
    return batch.set_column(index, "source", pa.array([source] * batch.num_rows))


def of(path, source: str) -> pa.Table:
    table = pa.Table.from_batches(read_recording(path), INTERACTION_SCHEMA)
    return table.filter(pc.equal(table.column("source"), source)).sort_by("source_offset")


async def post(broker: str, batch: pa.RecordBatch) -> None:
    starts = range(0, batch.num_rows, FRAME_ROWS)
    frames = [encode_frame(batch.slice(start, FRAME_ROWS)) for start in starts]
    await produce(broker, INTERACTIONS, [*frames, b"no frame at all"])


def test_everything_on_the_topic_is_recorded_and_reads_back(
    broker, tmp_path, monkeypatch, capsys
) -> None:
    batch = marked(recording(ROWS), str(tmp_path))
    asyncio.run(post(broker, batch))
    monkeypatch.setenv("VEDETTE_KAFKA__BOOTSTRAP_SERVERS", broker)
    out = tmp_path / "all.parquet"
    with pytest.raises(SystemExit) as stopped:
        main(["record", "--out", str(out)])
    assert not stopped.value.code
    assert "interactions in" in capsys.readouterr().out
    assert of(out, str(tmp_path)).equals(pa.Table.from_batches([batch], INTERACTION_SCHEMA))
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


async def test_the_recording_ends_after_the_events_asked_for(broker, tmp_path) -> None:
    await post(broker, recording(ROWS))
    settings = Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers=broker))
    written = await record_interactions(settings, tmp_path / "some.arrow", events=100)
    assert written == 100
    assert sum(batch.num_rows for batch in read_recording(tmp_path / "some.arrow")) == 100


async def test_following_records_what_comes_from_now_on(broker, tmp_path) -> None:
    settings = Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers=broker))
    source = str(tmp_path)
    await post(broker, marked(recording(20), "before " + source))
    out = tmp_path / "next.parquet"
    async with asyncio.TaskGroup() as group:
        group.create_task(record_interactions(settings, out, seconds=8, follow=True))
        await asyncio.sleep(3)
        await post(broker, marked(recording(70), source))
    assert of(out, source).num_rows == 70
    assert of(out, "before " + source).num_rows == 0


async def test_another_ending_is_refused_before_anything_is_read(broker, tmp_path) -> None:
    settings = Settings(home=tmp_path, kafka=KafkaSettings(bootstrap_servers=broker))
    with pytest.raises(ConfigError, match=r"\*\.parquet or \*\.arrow"):
        await record_interactions(settings, tmp_path / "all.csv")
