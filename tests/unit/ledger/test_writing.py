"""What the writer stores is chained in the same transaction, and signed in time."""

from __future__ import annotations

import itertools
import sqlite3
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import Fatal, Transient
from streams.ledger.log import Log, genesis, link
from streams.ledger.merkle import leaf_hash, range_roots, root_of
from streams.ledger.proof import (
    ProofFailed,
    check_consistency,
    check_proof,
    kept_roots,
    prove,
    prove_consistency,
)
from streams.ledger.trail import compare_rows
from streams.store.logs import Logs, SegmentRules
from streams.store.schema import MIGRATIONS, migrate
from streams.store.search import open_reader
from streams.store.sqlite import AuditWriter
from streams.store.trail import SqliteTrail
from tests.unit.ledger.trails import (
    SIGNER,
    VERIFIER,
    check,
    checkpoints,
    event,
    tampering,
    write,
    writing,
)
from tests.unit.store.samples import row

AUDIT_0, AUDIT_1 = ("vedette.audit.v1", 0), ("vedette.audit.v1", 1)
_names = itertools.count()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.sqlite"


def test_each_partition_has_a_log_of_its_own(path):
    write(path, 0, 30, source=AUDIT_0)
    write(path, 30, 50, source=AUDIT_1)
    report = check(path)
    assert [item.size for item in report.logs] == [30, 20]
    assert len({item.origin for item in report.logs}) == 2
    assert report.faults == ()


def test_replays_leave_the_log_as_it_was(path):
    write(path, 0, 40)
    write(path, 10, 60)
    write(path, 0, 60)
    report = check(path)
    assert (report.records, report.faults) == (60, ())


def test_a_document_twice_in_a_submission_is_logged_once_as_it_came_first(path):
    with writing(path) as writer:
        rows = [row(1, body=b"first"), row(2), row(1, body=b"second")]
        assert writer.submit(rows).result(10) == 2
    with open_reader(path) as reader:
        assert SqliteTrail(reader).find(event(1))[1:] == (0, b"first")
    assert check(path).faults == ()


def test_a_failed_transaction_leaves_no_trace_in_the_log(path):
    with writing(path) as writer:
        writer.submit([row(1)]).result(10)
        with pytest.raises(Fatal):
            writer.submit([row(2), row(3, kind="nonsense")]).result(10)
        writer.submit([row(2)]).result(10)
    report = check(path)
    assert (report.records, report.faults) == (2, ())


def test_an_abandoned_submission_does_not_stop_the_writer(path):
    with writing(path) as writer:
        for number in range(50):
            writer.submit([row(number)]).cancel()
        assert writer.submit([row(99)]).result(10) == 1
    assert check(path).faults == ()


def test_segments_are_closed_by_count_and_at_the_end(path):
    closed = write(path, 0, 125, records=50)
    assert [segment.size for segment in closed] == [50, 100, 125]
    assert [segment.first for segment in closed] == [0, 50, 100]


def test_a_segment_is_closed_by_time_when_traffic_is_quiet(path):
    closed = []
    logs = Logs("vedette", SIGNER, SegmentRules(1000, 0.05))
    writer = AuditWriter(path, logs=logs, on_closed=closed.extend)
    writer.open()
    writer.submit([row(1)]).result(10)
    deadline_s = time.monotonic() + 10
    while not closed and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert [item.segment.size for item in closed] == [1]
    writer.close()
    assert len(closed) == 1


def test_the_newest_segments_are_handed_out_again_at_the_start(path):
    write(path, 0, 100)
    (again,) = write(path, 0, 0)
    assert (again.size, VERIFIER.open(again.note).size) == (100, 100)


def test_a_checkpoint_that_cannot_be_stored_is_tried_again(path, monkeypatch):
    monkeypatch.setattr("streams.store.logs.RETRY_AFTER_S", 0.02)
    closed = []
    logs = Logs("vedette", SIGNER, SegmentRules(1000, 0.02))
    real, failures = logs.close_due, [sqlite3.OperationalError("disk full")] * 2

    def close_due(connection):
        if failures:
            raise failures.pop()
        return real(connection)

    logs.close_due = close_due
    writer = AuditWriter(path, logs=logs, on_closed=closed.extend)
    writer.open()
    writer.submit([row(1)]).result(10)
    deadline_s = time.monotonic() + 10
    while not closed and time.monotonic() < deadline_s:
        time.sleep(0.01)
    writer.close()
    assert [item.segment.size for item in closed] == [1]
    assert check(path).faults == ()


def test_documents_older_than_the_logs_are_chained_at_the_start(path):
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, MIGRATIONS[:1])
    connection.executemany(
        "INSERT INTO documents (event_id, ts, kind, client, model, rule_id, tenant, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [row(number)[:8] for number in range(70)],
    )
    connection.execute("PRAGMA application_id = 1986294885")
    connection.close()
    write(path, 60, 90)
    report = check(path)
    assert (report.records, report.faults) == (90, ())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 30), st.sampled_from([AUDIT_0, AUDIT_1])),
        max_size=12,
    ),
    st.integers(1, 40),
)
def test_any_order_of_replays_gives_a_log_without_faults(tmp_path, submissions, records):
    path = tmp_path / f"{next(_names)}.sqlite"
    with writing(path, records=records) as writer:
        for first, count, source in submissions:
            rows = [
                row(n, event_id=f"{source[1]}-{n}", body=b"%d %d" % (source[1], n))
                for n in range(first, first + count)
            ]
            writer.submit(rows, source)
    report = check(path)
    wanted = {
        (source, n) for first, count, source in submissions for n in range(first, first + count)
    }
    assert (report.records, report.unsigned, report.faults) == (len(wanted), 0, ())


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_record_is_proven_against_the_newest_checkpoint(long_trail, data):
    number = data.draw(st.integers(0, 899))
    with open_reader(long_trail) as reader:
        trail = SqliteTrail(reader)
        origin, position, record = trail.find(event(number))
        segments = trail.segments(origin)
        roots = kept_roots(segments, lambda first, end: trail.leaves(origin, first, end))
        proof = prove(position, segments, roots)
    assert check_proof(proof, record, VERIFIER).size == 900
    with pytest.raises(ProofFailed, match="not number"):
        check_proof(proof, record + b" ", VERIFIER)


@pytest.fixture(scope="module")
def long_trail(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "audit.sqlite"
    write(path, 0, 900, records=137)
    return path


def test_a_proof_reads_few_leaves(long_trail):
    asked = []
    with open_reader(long_trail) as reader:
        trail = SqliteTrail(reader)
        (origin,) = trail.origins()
        segments = trail.segments(origin)

        def leaves(first, end):
            asked.append(end - first)
            return trail.leaves(origin, first, end)

        prove(300, segments, kept_roots(segments, leaves))
    assert sum(asked) < 256 + 900 % 256


def test_checkpoints_hold_the_root_and_the_chain(path):
    write(path, 0, 20, records=20)
    (signed,) = checkpoints(path)
    leaves = [leaf_hash(row(number).body) for number in range(20)]
    chain = genesis(signed.origin)
    for leaf in leaves:
        chain = link(chain, leaf)
    assert (signed.root, signed.chain) == (root_of(leaves), chain)


def test_a_log_goes_on_from_its_state():
    leaves = [leaf_hash(b"%d" % number) for number in range(600)]
    whole, parts = Log.begin("a"), Log.begin("a")
    whole.append(leaves)
    for first in range(0, 600, 70):
        parts = Log(parts.state)
        parts.append(leaves[first : first + 70])
    assert parts.state == whole.state


def test_an_unproven_record_is_told_to_wait(path):
    with writing(path, signer=None) as writer:
        writer.submit([row(1)]).result(10)
    with open_reader(path) as reader:
        trail = SqliteTrail(reader)
        (origin,) = trail.origins()
        with pytest.raises(ProofFailed, match="yet"):
            prove(0, trail.segments(origin), range_roots([]))


def test_a_full_disk_leaves_chain_and_documents_together(path):
    with writing(path) as writer:
        writer.submit([row(0)]).result(10)
        original = writer._commit

        def once(connection, group):
            connection.execute("PRAGMA max_page_count = 60")
            writer._commit = original
            original(connection, group)

        writer._commit = once
        big = [row(n, body=b"x" * 9000) for n in range(1, 200)]
        with pytest.raises(Transient):
            writer.submit(big).result(10)
        with pytest.raises(Transient):
            writer.submit(big).result(10)
    assert (check(path).records, check(path).faults) == (1, ())


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_earlier_checkpoint_is_proven_to_be_the_beginning(long_trail, data):
    with open_reader(long_trail) as reader:
        trail = SqliteTrail(reader)
        (origin,) = trail.origins()
        segments = trail.segments(origin)
        old = segments[data.draw(st.integers(0, len(segments) - 1))]
        roots = kept_roots(segments, lambda first, end: trail.leaves(origin, first, end))
        proof = prove_consistency(old.note, old.size, segments[-1], roots)
    first, last = check_consistency(proof, VERIFIER)
    assert (first.size, last.size) == (old.size, 900)
    forged = SIGNER.sign(first._replace(root=bytes(32)))
    with pytest.raises(ProofFailed, match="does not continue"):
        check_consistency(msgspec.structs.replace(proof, old=forged), VERIFIER)


def test_rows_of_another_source_name_what_the_trail_has_lost_or_changed(path):
    write(path, 0, 60)
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position = 7")
        database.execute("UPDATE documents SET leaf = zeroblob(32) WHERE position = 8")
    with open_reader(path) as reader:
        faults = compare_rows(SqliteTrail(reader), [row(number) for number in range(60)])
    assert [(fault.kind, fault.event_id) for fault in faults] == [
        ("removed", event(7)),
        ("altered", event(8)),
    ]


def test_a_file_of_schema_3_is_brought_up_to_date_and_verifies_and_goes_on(path):
    write(path, 0, 120)
    with tampering(path) as database:  # what version 4 differs in is its CHECK alone
        database.execute("PRAGMA user_version = 3")
    write(path, 100, 200)
    report = check(path)
    assert (report.records, report.faults) == (200, ())
