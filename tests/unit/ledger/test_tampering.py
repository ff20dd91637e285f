"""Whatever is done to the database behind Vedette's back is found and named."""

from __future__ import annotations

import shutil

import pytest

from streams.ledger.log import genesis, link
from streams.ledger.merkle import leaf_hash
from tests.unit.ledger.trails import (
    SIGNER,
    VERIFIER,
    check,
    checkpoints,
    event,
    found,
    tampering,
    write,
)

SIZE = 600


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("trail") / "audit.sqlite"
    write(path, 0, SIZE)
    return path


@pytest.fixture
def path(original, tmp_path):
    copy = tmp_path / "audit.sqlite"
    shutil.copy(original, copy)
    return copy


def test_an_untouched_trail_has_no_faults(path):
    report = check(path)
    assert report.faults == ()
    assert (report.records, report.unsigned) == (SIZE, 0)


@pytest.mark.parametrize("place", [0, 1, 49, 50, 299, SIZE - 1])
def test_one_flipped_byte_is_found_and_its_record_named(path, place):
    with tampering(path) as database:
        (body,) = database.execute(
            "SELECT body FROM documents WHERE position = ?", (place,)
        ).fetchone()
        flipped = body[:-3] + bytes([body[-3] ^ 1]) + body[-2:]
        database.execute("UPDATE documents SET body = ? WHERE position = ?", (flipped, place))
    (fault,) = check(path).faults
    assert (fault.kind, fault.first, fault.event_id) == ("altered", place, event(place))


def test_a_changed_record_whose_hash_was_changed_with_it_is_named(path):
    body = b'{"forged":true}'
    with tampering(path) as database:
        database.execute(
            "UPDATE documents SET body = ?, leaf = ? WHERE position = 120", (body, leaf_hash(body))
        )
    assert found(path) == [("altered", 120, 121)]


def test_a_changed_record_whose_link_was_changed_with_it_is_named(path):
    body = b'{"forged":true}'
    with tampering(path) as database:
        (before,) = database.execute("SELECT link FROM documents WHERE position = 119").fetchone()
        values = (body, leaf_hash(body), link(before, leaf_hash(body)))
        database.execute(
            "UPDATE documents SET body = ?, leaf = ?, link = ? WHERE position = 120", values
        )
    assert [first in (120, 121) for _, first, _ in found(path)] == [True]


@pytest.mark.parametrize("change", ["leaf = zeroblob(32)", "link = zeroblob(32)"])
def test_a_changed_hash_is_found_at_its_record(path, change):
    with tampering(path) as database:
        database.execute(f"UPDATE documents SET {change} WHERE position = 77")  # noqa: S608
    faults = check(path).faults
    assert {fault.first for fault in faults} == {77}


@pytest.mark.parametrize(("first", "end"), [(0, 1), (30, 31), (49, 51), (100, 260), (599, 600)])
def test_deleted_records_are_named(path, first, end):
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position >= ? AND position < ?", (first, end))
    assert found(path) == [("removed", first, end)]


def test_a_deletion_that_was_closed_up_is_found_where_it_happened(path):
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position = 300")
        database.execute("UPDATE documents SET position = -position WHERE position > 300")
        database.execute("UPDATE documents SET position = -position - 1 WHERE position < 0")
    assert ("removed", 300, 301) in found(path)


def test_an_inserted_record_is_named(path):
    body = b'{"forged":true}'
    with tampering(path) as database:
        database.execute("UPDATE documents SET position = -position WHERE position >= 200")
        database.execute("UPDATE documents SET position = -position + 1 WHERE position < 0")
        (before,) = database.execute("SELECT link FROM documents WHERE position = 199").fetchone()
        database.execute(
            "INSERT INTO documents (event_id, ts, kind, body, log, position, leaf, link) "
            "SELECT 'forged', ts, 'event', ?, log, 200, ?, ? FROM documents WHERE position = 199",
            (body, leaf_hash(body), link(before, leaf_hash(body))),
        )
    assert ("inserted", 200, 201) in found(path)


def test_a_record_outside_every_log_is_named(path):
    with tampering(path) as database:
        database.execute(
            "INSERT INTO documents (event_id, ts, kind, body) VALUES ('forged', 1, 'event', x'7b')"
        )
    (fault,) = check(path).faults
    assert (fault.kind, fault.event_id) == ("inserted", "forged")


def swap(database, one, other):
    """Exchange the places of two records."""
    database.execute("UPDATE documents SET position = -1 WHERE position = ?", (one,))
    database.execute("UPDATE documents SET position = ? WHERE position = ?", (one, other))
    database.execute("UPDATE documents SET position = ? WHERE position = -1", (other,))


@pytest.mark.parametrize(("one", "other"), [(10, 11), (10, 300)])
def test_reordered_records_are_named(path, one, other):
    with tampering(path) as database:
        swap(database, one, other)
    faults = check(path).faults
    assert {fault.kind for fault in faults} == {"moved"}
    assert {one, other} <= {fault.first for fault in faults}


def test_two_swapped_segments_are_named(path):
    with tampering(path) as database:
        for place in range(50):
            swap(database, 100 + place, 350 + place)
    faults = check(path).faults
    assert {100, 350} <= {fault.first for fault in faults}


@pytest.mark.parametrize("end", [599, 560, 500, 120])
def test_a_truncated_log_is_found(path, end):
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position >= ?", (end,))
        database.execute("UPDATE logs SET size = ?", (end,))
    assert found(path) == [("removed", end, SIZE)]


def rechain(database, place, body):
    """Change a record and compute every later link anew, as somebody without the key can."""
    database.execute(
        "UPDATE documents SET body = ?, leaf = ? WHERE position = ?", (body, leaf_hash(body), place)
    )
    (origin,) = database.execute("SELECT origin FROM logs").fetchone()
    chain = genesis(origin)
    rows = database.execute("SELECT position, leaf FROM documents ORDER BY position").fetchall()
    for position, leaf in rows:
        chain = link(chain, leaf)
        database.execute("UPDATE documents SET link = ? WHERE position = ?", (chain, position))
    database.execute("UPDATE logs SET chain = ?", (chain,))


def test_a_chain_that_was_rewritten_without_the_key_is_found_and_narrowed_down(path):
    with tampering(path) as database:
        rechain(database, 333, b'{"forged":true}')
    faults = check(path).faults
    assert {fault.kind for fault in faults} == {"rewritten"}
    assert (faults[0].first, faults[0].end) == (300, 350)


def test_a_checkpoint_signed_by_another_key_is_found(path):
    with tampering(path) as database:
        (body,) = database.execute("SELECT body FROM segments WHERE size = 300").fetchone()
        database.execute(
            "UPDATE segments SET body = ? WHERE size = 300", (body.replace(b"chain ", b"chain A"),)
        )
    assert ("checkpoint", 250, 300) in found(path)


def test_a_deleted_checkpoint_is_found(path):
    with tampering(path) as database:
        database.execute("DELETE FROM segments WHERE size = 300")
    assert found(path) == [("checkpoint", 250, 300)]


def test_a_checkpoint_moved_to_another_place_is_found(path):
    with tampering(path) as database:
        (body,) = database.execute("SELECT body FROM segments WHERE size = 300").fetchone()
        database.execute(
            "UPDATE segments SET body = ? WHERE size = 350", (body.replace(b":300", b":350"),)
        )
    assert ("checkpoint", 250, 350) in found(path)


def test_an_old_copy_put_back_is_found_against_a_checkpoint_kept_elsewhere(tmp_path):
    path, old = tmp_path / "audit.sqlite", tmp_path / "old.sqlite"
    write(path, 0, 200)
    shutil.copy(path, old)
    newest = VERIFIER.open(write(path, 200, 400)[-1].note)
    shutil.copy(old, path)
    assert found(path) == []
    assert found(path, [newest]) == [("rolled back", 200, 400)]


def test_a_log_begun_anew_is_found_against_a_checkpoint_kept_elsewhere(tmp_path):
    path, other = tmp_path / "audit.sqlite", tmp_path / "other.sqlite"
    newest = VERIFIER.open(write(path, 0, 200)[-1].note)
    write(other, 0, 200)
    assert ("removed", 0, 200) in found(other, [newest])


def test_two_checkpoints_of_one_size_that_differ_are_found(path):
    (one,) = [item for item in checkpoints(path) if item.size == 300]
    other = VERIFIER.open(SIGNER.sign(one._replace(root=bytes(32))))
    assert ("checkpoint", 300, 300) in found(path, [one, other])


def test_an_honest_trail_fits_its_checkpoints_kept_elsewhere(path):
    assert found(path, checkpoints(path)) == []


@pytest.mark.parametrize("expired", [1, 30, 50, 120, 599])
def test_a_beginning_that_expired_is_counted_and_the_rest_is_still_checked(path, expired):
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position < ?", (expired,))
        database.execute("DELETE FROM segments WHERE size <= ?", (expired,))
    report = check(path, may_expire=True)
    assert (report.faults, report.expired) == ((), expired)
    assert ("removed", 0, expired) in found(path)


def test_a_change_after_an_expired_beginning_is_named(path):
    body = b'{"forged":true}'
    with tampering(path) as database:
        database.execute("DELETE FROM documents WHERE position < 100")
        database.execute("UPDATE documents SET body = ? WHERE position = 222", (body,))
    (fault,) = check(path, may_expire=True).faults
    assert (fault.kind, fault.first) == ("altered", 222)
    with tampering(path) as database:
        rechain_from(database, 222, body)
    faults = check(path, may_expire=True).faults
    assert {fault.kind for fault in faults} == {"rewritten"}
    assert (faults[0].first, faults[0].end) == (200, 250)


def rechain_from(database, place, body):
    """Change a record and compute every later link anew."""
    database.execute(
        "UPDATE documents SET body = ?, leaf = ? WHERE position = ?", (body, leaf_hash(body), place)
    )
    (chain,) = database.execute(
        "SELECT link FROM documents WHERE position = ?", (place - 1,)
    ).fetchone()
    rows = database.execute(
        "SELECT position, leaf FROM documents WHERE position >= ? ORDER BY position", (place,)
    ).fetchall()
    for position, leaf in rows:
        chain = link(chain, leaf)
        database.execute("UPDATE documents SET link = ? WHERE position = ?", (chain, position))
