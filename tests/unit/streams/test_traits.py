"""What clients share is told by hashes, and unknown where it is not known."""

from __future__ import annotations

import pyarrow as pa

from detectors.batch import TRAITS
from streams.traits import trait_hashes

NETWORK, TEMPLATE = TRAITS.index("network"), TRAITS.index("template")


def frame(**columns: list[str | None]) -> pa.RecordBatch:
    rows = len(next(iter(columns.values())))
    wanted = ("tenant", "client_net", "user_agent", "key_id", "prompt")
    types = {name: pa.large_string() if name == "prompt" else pa.string() for name in wanted}
    arrays = [pa.array(columns.get(name, [None] * rows), types[name]) for name in wanted]
    return pa.RecordBatch.from_arrays(arrays, names=list(wanted))


def test_one_network_has_one_hash_and_another_another() -> None:
    hashes = trait_hashes(frame(client_net=["192.0.2.0/24", "198.51.100.0/24", "192.0.2.0/24"]))
    assert hashes is not None
    assert hashes[0, NETWORK] == hashes[2, NETWORK] != hashes[1, NETWORK]


def test_what_is_not_known_is_zero() -> None:
    hashes = trait_hashes(frame(client_net=["192.0.2.0/24", None], prompt=[None, "Hello"]))
    assert hashes is not None
    assert hashes[1, NETWORK] == hashes[0, TEMPLATE] == 0
    assert hashes[0, NETWORK] > 0
    assert hashes[1, TEMPLATE] > 0


def test_nothing_known_is_none() -> None:
    assert trait_hashes(frame(tenant=[None, None])) is None


def test_prompts_that_differ_in_numbers_case_and_spaces_are_one_template() -> None:
    prompts: list[str | None] = ["Pay 100 to  Ann", "pay 735 to ann", "Pay 1000 to Ann", "\ud7ff"]
    hashes = trait_hashes(frame(prompt=prompts))
    assert hashes is not None
    assert hashes[0, TEMPLATE] == hashes[1, TEMPLATE]
    assert len(set(hashes[:, TEMPLATE].tolist())) == 3


def test_a_sliced_frame_has_the_hashes_of_its_rows() -> None:
    whole = frame(client_net=["a", "b", "c", None], prompt=["x", None, "y", "z"])
    hashes, part = trait_hashes(whole), trait_hashes(whole.slice(1, 3))
    assert hashes is not None
    assert part is not None
    assert (hashes[1:] == part).all()
