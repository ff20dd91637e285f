"""The measurement of the audit trail runs, and measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import audit


def test_every_figure_is_measured(monkeypatch):
    monkeypatch.setattr(audit, "ROUNDS", 1)
    found = audit.measure(None, 3000)
    assert set(found) == {
        "chain_and_tree_us_per_record",
        "verify_records_per_s",
        "sqlite_cpu_over_bare_inserts",
    }
    assert all(value > 0 for value in found.values())


def test_a_database_that_does_not_verify_is_no_figure(tmp_path):
    import sqlite3

    made = audit.rows(100)
    audit.our_sqlite_s(tmp_path / "a.sqlite", made)
    with sqlite3.connect(tmp_path / "a.sqlite") as database:
        database.execute("UPDATE documents SET body = x'7b7d' WHERE position = 3")
    with pytest.raises(SystemExit, match="does not verify"):
        audit.verify_per_s(tmp_path / "a.sqlite")
