"""One recording, one answer: cuts, kills and repeats change no byte of the findings."""

from __future__ import annotations

import msgspec
import pytest

from streams.engine import Engine, EngineOptions
from streams.recording import RecordingWriter
from streams.replay import replay, write_findings
from tests.scenarios.world import MODEL, profile, recording

ROWS = 4000


def engine() -> Engine:
    return Engine(
        {MODEL: profile()},
        EngineOptions(run_length_events=60_000, max_clients=4096, lateness_s=5.0),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("world") / "world.parquet"
    with RecordingWriter(path) as writer:
        writer.write(recording(ROWS))
    return path


@pytest.fixture(scope="module")
def findings(path, tmp_path_factory):
    out = tmp_path_factory.mktemp("findings") / "whole.jsonl"
    write_findings(out, replay(path, engine(), batch_rows=ROWS)[0])
    return out.read_bytes()


def test_the_attackers_and_nobody_else_are_found(findings):
    found = [msgspec.json.decode(line) for line in findings.splitlines()]
    clients = {i for f in found if f["subject"]["type"] == "client" for i in f["subject"]["ids"]}
    assert {"noise-0", "noise-1", "search-0", "search-1"} <= clients
    assert not {client for client in clients if client.startswith("benign")}


def test_findings_say_of_whom_and_in_which_tenant(findings):
    for line in findings.splitlines():
        finding = msgspec.json.decode(line)
        if finding["subject"]["type"] == "client":
            assert finding["tenant"] == "acme"
            assert finding["trigger"].startswith("events-")


@pytest.mark.parametrize("batch_rows", [1, 7, 512])
def test_the_cut_of_the_stream_changes_no_byte(path, findings, tmp_path, batch_rows):
    write_findings(tmp_path / "cut.jsonl", replay(path, engine(), batch_rows=batch_rows)[0])
    assert (tmp_path / "cut.jsonl").read_bytes() == findings


def test_an_engine_restored_halfway_goes_on_as_if_never_stopped(path, findings, tmp_path):
    whole = recording(ROWS)
    first = engine()
    found = first.process(whole.slice(0, 1900)).findings
    second = engine()
    second.restore(*first.snapshot())
    # The rows before the snapshot come again, as after a crash, and are dropped.
    detected = second.process(whole)
    assert detected.replayed == 1900
    found += detected.findings + second.finish()
    found.sort(key=lambda finding: (finding.time, finding.id))
    write_findings(tmp_path / "restored.jsonl", found)
    assert (tmp_path / "restored.jsonl").read_bytes() == findings


def test_every_interaction_is_audited_once_and_says_whether_it_was_scanned():
    batch = recording(200)
    audit = engine().process(batch).audit
    assert audit.column("id").to_pylist() == batch.column("id").to_pylist()
    assert audit.column("scanned").to_pylist() == [True] * 200
