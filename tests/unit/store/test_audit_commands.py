"""The commands show what is stored, plainly, and explain what is missing."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from config.errors import ConfigError, VedetteError
from config.settings import Settings
from streams.cli import alerts, audit
from streams.cli.view import parse_time, show_time
from streams.ledger.note import ensure_signer
from streams.ledger.proof import ProofFailed
from streams.store.documents import alert_row, audit_rows
from streams.store.logs import Logs, SegmentRules
from streams.store.search import AuditUnavailable
from streams.store.sqlite import AuditWriter
from tests.unit.respond.samples import alert
from tests.unit.store.samples import BARE, BASE_US, FULL, frame

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MARKUP = "[red]evil[/red]\x1b[2J"


@pytest.fixture
def database(tmp_path, monkeypatch):
    path = tmp_path / "audit.sqlite"
    monkeypatch.setenv("VEDETTE_AUDIT_DB", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    writer = AuditWriter(path)
    writer.open()
    hostile = {**BARE, "id": "hostile", "client": MARKUP}
    rows = [*audit_rows(frame(FULL, BARE, hostile)), alert_row(alert())]
    writer.submit(rows).result(10)
    writer.close()
    return path


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """Return a database whose records are covered by a checkpoint."""
    path = tmp_path / "sealed.sqlite"
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    signer = ensure_signer(Settings().checkpoint_key, "vedette")
    writer = AuditWriter(path, logs=Logs("vedette", signer, SegmentRules()))
    writer.open()
    rows = [*audit_rows(frame(FULL, BARE, {**BARE, "id": "third"})), alert_row(alert())]
    writer.submit(rows).result(10)
    writer.close()
    monkeypatch.setenv("VEDETTE_AUDIT_DB", str(path))
    return path


@pytest.fixture
def say(database, capsys):
    def run(app, *tokens):
        app(tokens, result_action="return_value", exit_on_error=False, print_error=False)
        return capsys.readouterr().out

    return run


def test_search_prints_a_table(say):
    out = say(audit.app, "search", "--client", "u1_alice")
    assert "u1_alice" in out
    assert FULL["id"] in out
    assert "u1_bob" not in out


def test_search_prints_documents_as_stored(say):
    lines = say(audit.app, "search", "--kind", "event", "--json").splitlines()
    assert {json.loads(line)["event"]["id"] for line in lines} == {
        FULL["id"],
        BARE["id"],
        "hostile",
    }


def test_times_restrict_the_search(say):
    out = say(audit.app, "search", "--until", show_time(BASE_US + 1000), "--json")
    assert len(out.splitlines()) == 3
    assert say(audit.app, "search", "--since", "2099-01-01", "--json") == ""


def test_hostile_names_reach_the_terminal_as_plain_text(say):
    out = say(audit.app, "search")
    assert "[red]evil[/red]" in out
    assert "\x1b" not in out


def test_one_document_is_shown(say):
    assert json.loads(say(audit.app, "show", FULL["id"]))["user"]["id"] == "u1_alice"


def test_an_unknown_id_is_explained(say):
    with pytest.raises(ConfigError, match="no document has the id nope"):
        say(audit.app, "show", "nope")


def test_stats_count(say):
    assert json.loads(say(audit.app, "stats", "--json"))["by_kind"] == {"alert": 1, "event": 3}
    assert "SQLite" in say(audit.app, "stats")


def test_alerts_are_listed_and_shown(say):
    out = say(alerts.app, "list")
    assert "high" in out
    assert alert().id[:12] in out
    for identity in (alert().id, alert().id[:8]):
        shown = json.loads(say(alerts.app, "show", identity))
        assert shown["rule"]["id"] == "extraction.coverage"
    assert len(say(alerts.app, "list", "--json").splitlines()) == 1


def test_an_interaction_is_no_alert(say):
    with pytest.raises(ConfigError):
        say(alerts.app, "show", FULL["id"])


def test_a_missing_database_is_explained(tmp_path, monkeypatch, say):
    monkeypatch.setenv("VEDETTE_AUDIT_DB", str(tmp_path / "none.sqlite"))
    with pytest.raises(AuditUnavailable, match="VEDETTE_AUDIT_DB"):
        say(alerts.app, "list")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T12:00:00+02:00", NOW),
        ("2h", datetime(2026, 11, 22, 8, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 15, 10, tzinfo=UTC)),
    ],
)
def test_times_are_understood(text, moment):
    assert parse_time(text, NOW) == int(moment.timestamp() * 1_000_000)


@pytest.mark.parametrize("text", ["", "h", "soon", "-5m", "9" * 30 + "d", "2026-13-01"])
def test_nonsense_times_are_explained(text):
    with pytest.raises(ConfigError, match="ISO 8601"):
        parse_time(text, NOW)


def test_a_trail_is_verified_and_a_record_proven_without_it(say, sealed, tmp_path):
    assert "4 records as they were written" in say(audit.app, "verify")
    assert json.loads(say(audit.app, "verify", "--json"))["faults"] == []
    assert "as it was logged" in say(audit.app, "verify", "--record", FULL["id"])
    say(audit.app, "prove", FULL["id"], "--out", str(tmp_path / "evidence"))
    sealed.unlink()
    assert "as it was logged" in say(audit.app, "check", str(tmp_path / "evidence"))
    record = tmp_path / "evidence" / "record.json"
    record.write_bytes(record.read_bytes().replace(b"u1_alice", b"u1_wendy"))
    with pytest.raises(ProofFailed, match="not number"):
        say(audit.app, "check", str(tmp_path / "evidence"))


def test_a_changed_trail_is_named_and_fails_the_command(say, sealed):
    connection = sqlite3.connect(sealed)
    connection.execute("UPDATE documents SET body = x'7b7d' WHERE event_id = ?", (FULL["id"],))
    connection.commit()
    connection.close()
    with pytest.raises(VedetteError, match="1 faults"):
        say(audit.app, "verify")


def test_checkpoints_that_were_kept_are_compared(say, sealed, tmp_path):
    kept = tmp_path / "kept.note"
    kept.write_text(say(audit.app, "checkpoint"))
    say(audit.app, "verify", "--checkpoints", str(kept))
    connection = sqlite3.connect(sealed)
    connection.executescript("DELETE FROM documents; DELETE FROM logs; DELETE FROM segments;")
    connection.close()
    with pytest.raises(VedetteError, match="1 faults"):
        say(audit.app, "verify", "--checkpoints", str(kept))


def test_a_missing_key_is_explained(database, say, tmp_path, monkeypatch):
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ConfigError, match="--key"):
        say(audit.app, "verify")


def test_messages_tenants_and_rules_are_searched(say):
    def found(*tokens):
        lines = say(audit.app, "search", *tokens, "--json").splitlines()
        return {json.loads(line)["event"]["id"] for line in lines}

    assert found("--text", "ANSWERED 200") == {FULL["id"]}
    assert found("--text", "%") == set()
    assert found("--tenant", "t1") == {FULL["id"], alert().id}
    assert found("--rule", "extraction.coverage") == {alert().id}


def test_the_interactions_of_an_alert_are_found(say, database):
    raised = alert(id="another", evidence={"interactions": [FULL["id"]]})
    writer = AuditWriter(database)
    writer.open()
    writer.submit([alert_row(raised)]).result(10)
    writer.close()
    (line,) = say(audit.app, "search", "--alert", raised.id, "--json").splitlines()
    assert json.loads(line)["event"]["id"] == FULL["id"]
    for unknown in ("nope", FULL["id"]):
        with pytest.raises(ConfigError, match="no alert has the id"):
            say(audit.app, "search", "--alert", unknown)


def test_lines_and_parquet_hold_the_same_documents(say, tmp_path):
    lines, table = tmp_path / "all.jsonl", tmp_path / "all.parquet"
    assert "4 documents" in say(audit.app, "export", str(lines))
    say(audit.app, "export", str(table))
    read = pq.read_table(table)
    assert read.column("document").to_pylist() == lines.read_text().splitlines()
    assert read.column("client").to_pylist()[0] == "u1_alice"
    assert read.column("time").to_pylist() == sorted(read.column("time").to_pylist())


def test_an_export_restricts_and_leaves_nothing_half_written(say, tmp_path):
    assert "1 documents" in say(
        audit.app, "export", str(tmp_path / "a.jsonl"), "--client", "u1_bob"
    )
    with pytest.raises(ConfigError, match="parquet"):
        say(audit.app, "export", str(tmp_path / "a.csv"))
    assert [path.name for path in tmp_path.glob("*a.*")] == ["a.jsonl"]


def test_content_is_erased_on_request_only(say, sealed):
    for tokens, text in (([], "--client"), (["--client", "u1_alice"], "--yes")):
        with pytest.raises(ConfigError, match=text):
            say(audit.app, "erase", *tokens)
    assert "1 documents was" in say(audit.app, "erase", "--client", "u1_alice", "--yes")
    with pytest.raises(ConfigError, match="erased"):
        say(audit.app, "show", FULL["id"])
    assert FULL["id"] not in say(audit.app, "search", "--json")
    assert json.loads(say(audit.app, "verify", "--json"))["faults"] == []


def test_checkpoints_that_were_kept_are_proven_to_be_the_beginning(say, sealed, tmp_path):
    kept = tmp_path / "kept.jsonl"
    kept.write_text(say(audit.app, "checkpoint"))
    signer = ensure_signer(Settings().checkpoint_key, "vedette")
    writer = AuditWriter(sealed, logs=Logs("vedette", signer, SegmentRules()))
    writer.open()
    writer.submit(audit_rows(frame({**BARE, "id": "later"}))).result(10)
    writer.close()
    assert "continued to 5 records" in say(audit.app, "consistency", str(kept))
    connection = sqlite3.connect(sealed)
    connection.execute("DELETE FROM segments")
    connection.commit()
    connection.close()
    with pytest.raises(VedetteError, match="not the beginning"):
        say(audit.app, "consistency", str(kept))
