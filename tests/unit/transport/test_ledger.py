"""Only the acknowledged prefix of the chunks of a partition is committed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from streams.transport.ledger import OffsetLedger


@dataclass
class FakeChunk:
    offset: int
    acked: bool = False


def tracked(*last_offsets: int) -> tuple[OffsetLedger, list[FakeChunk]]:
    ledger, chunks = OffsetLedger(), [FakeChunk(offset) for offset in last_offsets]
    for chunk in chunks:
        ledger.track(chunk)
    return ledger, chunks


def test_nothing_is_committed_before_the_first_chunk_is_acknowledged() -> None:
    ledger, chunks = tracked(9, 19, 29)
    chunks[1].acked = chunks[2].acked = True
    assert ledger.committable() is None
    assert not ledger.pending


def test_the_prefix_jumps_when_its_missing_head_arrives() -> None:
    ledger, chunks = tracked(9, 19, 29)
    chunks[1].acked = chunks[0].acked = True
    assert ledger.pending
    assert ledger.committable() == 20


def test_gaps_between_offsets_do_not_matter() -> None:
    ledger, chunks = tracked(3, 1_000_000)
    chunks[0].acked = chunks[1].acked = True
    assert ledger.committable() == 1_000_001


def test_an_offset_is_owed_until_the_broker_has_it() -> None:
    ledger, chunks = tracked(9)
    chunks[0].acked = True
    assert ledger.committable() == 10
    assert ledger.committable() == 10
    ledger.committed(10)
    assert ledger.committable() is None


def test_a_commit_does_not_forget_a_later_offset() -> None:
    ledger, chunks = tracked(9, 19)
    chunks[0].acked = True
    ledger.committable()
    chunks[1].acked = True
    ledger.committable()
    ledger.committed(10)
    assert ledger.committable() == 20


@given(st.permutations(range(12)), st.data())
def test_any_order_of_acknowledgements_commits_exactly_the_prefix(
    order: list[int], data: st.DataObject
) -> None:
    ledger, chunks = tracked(*(10 * number + 9 for number in range(12)))
    acked: set[int] = set()
    for number in order:
        chunks[number].acked = True
        acked.add(number)
        if data.draw(st.booleans()):
            prefix = next(n for n in range(13) if n not in acked)
            offset = ledger.committable()
            assert (offset or 0) <= 10 * prefix
            if offset is not None:
                assert offset == 10 * prefix
                ledger.committed(offset)
    final = ledger.committable()
    assert final in (None, 120)
    assert len(ledger) == 0
