"""What Kafka holds is checked against signed checkpoints alone, also when its beginning expired."""

from __future__ import annotations

import pytest

from streams.ledger.log import Log
from streams.ledger.merkle import leaf_hash
from streams.ledger.note import NoteSigner
from streams.ledger.replica import Held, verify_held
from tests.unit.ledger.trails import SIGNER, VERIFIER

ORIGIN = "vedette/x/0/0123456789ab"


def signed(sizes=(700, 1400, 2000), signer=SIGNER):
    """Return the records of a log and its checkpoints."""
    log, held, segments = Log.begin(ORIGIN), [], []
    for size in sizes:
        fresh = [Held(f"i-{n}", leaf_hash(b"%d" % n)) for n in range(len(held), size)]
        log.append([item.leaf for item in fresh])
        held += fresh
        segments.append(log.close_segment(signer, "2026-11-22T10:00:00.000000Z"))
    return held, segments


def faults(held, segments, *, whole=True):
    report = verify_held(ORIGIN, held, segments, VERIFIER, whole=whole)
    return [(fault.kind, fault.first, fault.end, fault.event_id) for fault in report.faults]


OTHER = Held("odd", leaf_hash(b"odd"))


@pytest.mark.parametrize("sizes", [(1,), (80,), (256,), (700, 1400, 2000), (100, 200, 300)])
def test_what_was_signed_has_no_faults(sizes):
    held, segments = signed(sizes)
    report = verify_held(ORIGIN, held, segments, VERIFIER, whole=True)
    assert (report.faults, report.size, report.signed) == ((), sizes[-1], sizes[-1])


def test_records_after_the_last_checkpoint_are_no_fault():
    held, segments = signed()
    assert faults([*held, OTHER], segments) == []


@pytest.mark.parametrize("gone", [1, 255, 256, 900])
def test_a_beginning_that_expired_is_counted(gone):
    held, segments = signed()
    report = verify_held(ORIGIN, held[gone:], segments, VERIFIER, whole=False)
    assert (report.faults, report.expired, report.size) == ((), gone, 2000 - gone)


def test_records_of_an_earlier_log_lie_before_it():
    held, segments = signed()
    assert faults([OTHER] * 37 + held, segments) == []
    few, short = signed((50,))
    assert faults([OTHER] * 37 + few, short) == []


def test_a_log_that_expired_altogether_is_a_fault_only_where_nothing_has():
    _, segments = signed()
    assert faults([OTHER] * 500, segments, whole=False) == []
    assert faults([OTHER] * 500, segments) == [("rewritten", 0, 2000, None)]


def test_an_altered_record_is_told_by_its_block():
    held, segments = signed()
    assert faults([*held[:600], OTHER, *held[601:]], segments) == [("altered", 512, 768, None)]


def test_an_inserted_record_is_named():
    held, segments = signed()
    assert faults([*held[:600], OTHER, *held[600:]], segments) == [("inserted", 600, 601, "odd")]
    many = [*held[:600], OTHER, OTHER, *held[600:]]
    assert faults(many, segments) == [("inserted", 512, 768, None)]


def test_removed_records_are_told_by_their_block_and_the_rest_is_checked():
    held, segments = signed()
    cut = [*held[:600], *held[602:1300], OTHER, *held[1301:]]
    assert faults(cut, segments) == [("removed", 512, 768, None), ("altered", 1280, 1536, None)]


def test_a_cut_end_is_told():
    held, segments = signed()
    assert faults(held[:1990], segments) == [("removed", 1990, 2000, None)]


def test_a_tail_that_was_altered_is_told():
    held, segments = signed()
    assert faults([*held[:1999], OTHER], segments) == [("rewritten", 1792, 2000, None)]


def test_checkpoints_of_another_key_prove_nothing():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    held, segments = signed(signer=NoteSigner("vedette", Ed25519PrivateKey.generate()))
    assert {kind for kind, *_ in faults(held, segments)} == {"checkpoint"}


def test_roots_that_were_forged_to_fit_altered_records_do_not_add_up():
    held, segments = signed()
    altered = [*held[:600], OTHER, *held[601:]]
    log, forged = Log.begin(ORIGIN), []
    for segment in segments:
        log.append([item.leaf for item in altered[segment.first : segment.size]])
        made = log.close_segment(SIGNER, "2026-11-22T10:00:00.000000Z")
        forged.append(type(segment)(**{**_fields(made), "note": segment.note}))
    assert [kind for kind, *_ in faults(altered, forged)] == ["rewritten"]


def _fields(segment):
    return {name: getattr(segment, name) for name in segment.__struct_fields__}
