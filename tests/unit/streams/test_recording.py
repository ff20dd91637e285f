from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.errors import ConfigError
from streams.frames import INTERACTION_SCHEMA
from streams.recording import RecordingWriter, read_recording
from tests.unit.streams.interactions import interactions


@pytest.mark.parametrize("name", ["day.parquet", "day.arrow"])
def test_what_is_written_is_read_back(tmp_path, name):
    batch = interactions([{"client": "a", "scores": [0.5, 0.5], "params": {"n": "1"}}, {}])
    with RecordingWriter(tmp_path / name) as writer:
        writer.write(batch)
    assert list(read_recording(tmp_path / name)) == [batch]


def test_an_arrow_stream_is_read_too(tmp_path):
    batch = interactions([{}, {}])
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), batch.schema) as writer:
        writer.write_batch(batch)
    assert list(read_recording(tmp_path / "s.arrow", batch_rows=1)) == [
        batch.slice(0, 1),
        batch.slice(1, 1),
    ]


def test_missing_nullable_columns_become_null_and_unknown_ones_are_ignored(tmp_path):
    batch = interactions([{}])
    slim = pa.table(
        {
            **{
                field.name: batch.column(field.name)
                for field in INTERACTION_SCHEMA
                if not field.nullable
            },
            "mood": ["sunny"],
            "operation": pa.array(["predict"]).dictionary_encode(),
        }
    )
    pq.write_table(slim, tmp_path / "slim.parquet")
    (read,) = read_recording(tmp_path / "slim.parquet")
    assert read.schema == INTERACTION_SCHEMA
    assert read.column("operation").to_pylist() == ["predict"]
    assert read.column("prompt").null_count == 1


def test_a_missing_required_column_is_named(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "bad.parquet")
    with pytest.raises(ConfigError, match="missing_column: time"):
        list(read_recording(tmp_path / "bad.parquet"))


def test_a_file_that_is_no_recording_is_refused_with_its_name(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(ConfigError, match=r"x\.parquet"):
        list(read_recording(tmp_path / "x.parquet"))
    with pytest.raises(ConfigError, match="there is no recording"):
        list(read_recording(tmp_path / "missing.parquet"))
    with pytest.raises(ConfigError, match="should end in"):
        list(read_recording(tmp_path / "x.csv"))


def test_a_failed_recording_leaves_no_file(tmp_path):
    def interrupted() -> None:
        with RecordingWriter(tmp_path / "day.arrow") as writer:
            writer.write(interactions([{}]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
