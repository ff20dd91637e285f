"""Published tiles name each record of Kafka that was altered, removed, inserted or moved."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ledger.log import Log
from streams.ledger.merkle import BLOCK, leaf_hash
from streams.ledger.replica import Held, verify_held
from streams.ledger.tiles import Tile, read_tile
from tests.unit.ledger.trails import SIGNER, VERIFIER, writing
from tests.unit.store.samples import row

ORIGIN = "vedette/x/0/0123456789ab"
SIZE = 2000
NOW = "2026-11-22T10:00:00.000000Z"
OTHER = Held("odd", leaf_hash(b"odd"))


def published(tiles):
    """Return tiles as the topic holds them: of each number the widest."""
    read = [read_tile(tile.path, tile.hashes) for tile in tiles]
    return {tile.number: tile.hashes for tile in sorted(read, key=lambda tile: tile.width)}


def signed(sizes=(700, 1400, SIZE)):
    log, held, segments, tiles = Log.begin(ORIGIN), [], [], []
    for size in sizes:
        fresh = [Held(f"i-{n}", leaf_hash(b"%d" % n)) for n in range(len(held), size)]
        log.append([item.leaf for item in fresh])
        held += fresh
        tiles += log.tiles(size)
        segments.append(log.close_segment(SIGNER, NOW))
    return held, segments, published(tiles)


HELD, SEGMENTS, TILES = signed()


def report(held, *, whole=True, alone=True, tiles=TILES):
    return verify_held(ORIGIN, held, SEGMENTS, VERIFIER, whole=whole, alone=alone, tiles=tiles)


def faults(held, **options):
    found = report(held, **options).faults
    return [(fault.kind, fault.first, fault.end, fault.event_id) for fault in found]


def test_what_was_signed_has_no_faults():
    found = report(HELD)
    assert (found.faults, found.size, found.signed, found.expired) == ((), SIZE, SIZE, 0)


@pytest.mark.parametrize("place", [0, 1, 255, 256, 700, 1999])
def test_an_altered_record_is_named(place):
    altered = [*HELD[:place], Held(f"i-{place}", leaf_hash(b"forged")), *HELD[place + 1 :]]
    assert faults(altered) == [("altered", place, place + 1, f"i-{place}")]


@pytest.mark.parametrize("place", [0, 255, 256, 700, 1999])
def test_a_removed_record_is_named_by_its_place_and_the_one_before_it(place):
    (fault,) = report([*HELD[:place], *HELD[place + 1 :]]).faults
    assert (fault.kind, fault.first, fault.end) == ("removed", place, place + 1)
    assert (f"i-{place - 1} lies before" in fault.text) is (place > 0)


def test_records_removed_in_one_piece_are_one_fault():
    assert faults([*HELD[:300], *HELD[900:]]) == [("removed", 300, 900, None)]


@pytest.mark.parametrize("place", [0, 1, 256, 1999])
def test_an_inserted_record_is_named(place):
    held = [*HELD[:place], OTHER, *HELD[place:]]
    assert faults(held) == [("inserted", place, place + 1, "odd")]


def test_moved_records_are_named_however_far():
    held = list(HELD)
    held[10], held[1900] = held[1900], held[10]
    assert faults(held) == [("moved", 10, 11, "i-10"), ("moved", 1900, 1901, "i-1900")]


def test_many_changes_at_once_are_each_named():
    held = [*HELD[:100], *HELD[101:600], OTHER, *HELD[601:1300], HELD[7], *HELD[1300:]]
    assert faults(held) == [
        ("removed", 100, 101, None),
        ("altered", 600, 601, "odd"),
        ("inserted", 1300, 1301, "i-7"),
    ]


def test_records_after_the_last_checkpoint_are_no_fault():
    assert faults([*HELD, OTHER]) == []


@pytest.mark.parametrize("gone", [1, 255, 256, 900])
def test_a_beginning_that_expired_is_counted_and_the_rest_is_named(gone):
    held = HELD[gone:]
    found = report(held, whole=False)
    assert (found.faults, found.expired, found.size) == ((), gone, SIZE - gone)
    held[5] = OTHER
    assert faults(held, whole=False) == [("altered", gone + 5, gone + 6, "odd")]


def test_records_of_other_logs_of_the_partition_are_no_fault():
    foreign = [Held(f"o-{n}", leaf_hash(b"o%d" % n)) for n in range(40)]
    assert faults([*foreign, *HELD, *foreign[::-1]], alone=False) == []


def test_tiles_that_expired_before_the_records_leave_naming_by_block():
    late = {number: hashes for number, hashes in TILES.items() if number > 2}
    held = [*HELD[:600], OTHER, *HELD[601:]]
    assert faults(held, tiles=late) == [("altered", 512, 768, None)]
    assert faults(held[900:], tiles=late, whole=False) == []


@pytest.mark.parametrize("number", [0, 3, SIZE // BLOCK])
def test_tiles_that_were_forged_to_fit_prove_nothing(number):
    altered = list(HELD)
    altered[number * BLOCK] = OTHER
    forged = {**TILES, number: OTHER.leaf + TILES[number][32:]}
    assert faults(altered, tiles=forged) != []
    assert faults(HELD, tiles=forged) == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_one_change_is_named(data):
    place = data.draw(st.integers(0, SIZE - 1))
    kind = data.draw(st.sampled_from(["altered", "removed", "inserted"]))
    new = [] if kind == "removed" else [OTHER]
    held = [*HELD[:place], *new, *HELD[place + (kind != "inserted") :]]
    assert [item[:3] for item in faults(held)] == [(kind, place, place + 1)]


@given(st.integers(0, 10**9), st.integers(1, BLOCK))
def test_the_path_of_a_tile_reads_back(number, width):
    tile = Tile(ORIGIN, number, bytes(32 * width))
    assert read_tile(tile.path, tile.hashes) == tile


@pytest.mark.parametrize(
    ("path", "length"),
    [
        ("", 32),
        (ORIGIN, 32),
        (f"{ORIGIN}/tile/0/", 32),
        (f"{ORIGIN}/tile/0/0", 32 * 256),
        (f"{ORIGIN}/tile/0/000", 32 * 255),
        (f"{ORIGIN}/tile/0/000.p/1", 33),
        (f"{ORIGIN}/tile/1/000", 32 * 256),
        (f"{ORIGIN}/tile/0/x001/-67", 32 * 256),
    ],
)
def test_what_is_no_tile_is_left_out(path, length):
    assert read_tile(path, bytes(length)) is None


def test_a_restarted_log_publishes_the_tiles_of_what_was_open(tmp_path):
    path, closings = tmp_path / "audit.sqlite", []
    source = ("vedette.audit.v1", 0)
    for first, end in ((0, 300), (300, 560), (560, 600)):
        with writing(path, records=10_000, closed=closings) as writer:
            writer.submit([row(number) for number in range(first, end)], source).result(10)
    leaves = b"".join(leaf_hash(row(number).body) for number in range(600))
    tiles = published([tile for closing in closings for tile in closing.tiles])
    assert b"".join(hashes for _, hashes in sorted(tiles.items())) == leaves


def test_the_newest_tiles_are_handed_out_again_at_the_start(tmp_path):
    path, again = tmp_path / "audit.sqlite", []
    with writing(path, records=10_000) as writer:
        writer.submit([row(number) for number in range(300)], ("a", 0)).result(10)
    with writing(path, closed=again):
        pass
    assert [tile.width for closing in again for tile in closing.tiles] == [256, 44]
