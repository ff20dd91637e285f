from __future__ import annotations

import numpy as np
import pytest

from config.errors import Fatal
from streams.state import SnapshotStore


def test_a_snapshot_is_read_back_as_it_was_written(tmp_path):
    store = SnapshotStore(tmp_path.as_uri())
    store.write("a", {"x": np.arange(6, dtype=np.int32).reshape(2, 3)}, b'{"n":1}')
    arrays, meta = store.read("a")
    assert meta == b'{"n":1}'
    assert arrays["x"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_there_is_no_snapshot_before_the_first(tmp_path):
    assert SnapshotStore(str(tmp_path)).read("a") is None


def test_a_new_snapshot_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    store = SnapshotStore(tmp_path.as_uri())
    for number in range(3):
        store.write("a", {}, str(number).encode())
    assert store.read("a") == ({}, b"2")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_damaged_snapshot_stops_the_worker_and_says_what_to_do(tmp_path):
    store = SnapshotStore(tmp_path.as_uri())
    store.write("a", {"x": np.zeros(9)}, b"{}")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:40])
    with pytest.raises(Fatal, match="restore it from a backup"):
        store.read("a")


def test_a_store_may_be_any_file_system(tmp_path):
    store = SnapshotStore("memory://states")
    store.write("a", {}, b"{}")
    assert store.read("a") == ({}, b"{}")
