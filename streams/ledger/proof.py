"""Proofs about a signed log, checked without the log: of one record, of an older checkpoint."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from config.errors import VedetteError
from streams.ledger.merkle import (
    BLOCK,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    root_from_inclusion,
    root_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.ledger.log import Segment
    from streams.ledger.merkle import RangeRoot
    from streams.ledger.note import Checkpoint, NoteVerifier


class ProofFailed(VedetteError):
    """A proof does not hold; the text says why."""


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """What an auditor needs besides the record: its place, the path, the signed checkpoint."""

    origin: str
    position: int
    size: int
    path: tuple[str, ...]
    note: str


def block_roots(segments: Sequence[Segment]) -> dict[int, bytes]:
    """Return the roots of blocks that segments brought along, by number; not trusted.

    Two segments may overlap: one that was signed before a crash, and its successor.
    """
    return {
        segment.first // BLOCK + number: _root(block)
        for segment in segments
        for number, block in enumerate(segment.blocks)
    }


def _root(text: str) -> bytes:
    """Return a root; what is none fits nothing."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def kept_roots(
    segments: Sequence[Segment], leaves: Callable[[int, int], Sequence[bytes]]
) -> RangeRoot:
    """Return range roots from the kept block roots, and from leaves only where no block ended.

    Parameters
    ----------
    segments
        All segments of the log, in order.
    leaves
        Gives the leaf hashes of the records ``[first, end)``.
    """
    numbered = block_roots(segments)

    def root(first: int, end: int) -> bytes:
        if first % BLOCK or end - first < BLOCK:
            return root_of(leaves(first, end))
        try:
            whole = [numbered[number] for number in range(first // BLOCK, end // BLOCK)]
        except KeyError:
            raise ProofFailed("the checkpoints that a proof needs are gone") from None
        tail = root_of(leaves(end // BLOCK * BLOCK, end)) if end % BLOCK else None
        return _joined(whole, tail)

    return root


def _joined(blocks: Sequence[bytes], tail: bytes | None) -> bytes:
    """Return the root over whole blocks and a last one that is not."""
    return root_of([*blocks, tail] if tail is not None else blocks)


def prove(position: int, segments: Sequence[Segment], root: RangeRoot) -> InclusionProof:
    """Return the proof of a record against the newest checkpoint.

    Raises
    ------
    ProofFailed
        If no checkpoint covers the record yet.
    """
    if not segments or position >= segments[-1].size:
        raise ProofFailed(
            f"no checkpoint covers record {position} yet; one is signed every minute or so"
        )
    newest = segments[-1]
    path = inclusion_path(position, newest.size, root)
    return InclusionProof(
        origin=newest.origin,
        position=position,
        size=newest.size,
        path=tuple(base64.b64encode(step).decode() for step in path),
        note=newest.note,
    )


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """What shows that one checkpoint's log is the beginning of a later one's."""

    path: tuple[str, ...]
    old: str
    new: str


def prove_consistency(
    old: str, old_size: int, newest: Segment, root: RangeRoot
) -> ConsistencyProof:
    """Return the proof that the newest checkpoint of a log continues an older one.

    Parameters
    ----------
    old, old_size
        Note of the older checkpoint, and the size it was signed for.
    newest
        The newest segment of the same log.
    root
        As `kept_roots` gives it.
    """
    if not 0 < old_size <= newest.size:
        raise ProofFailed(
            f"the log ends at {newest.size}, the older checkpoint was signed for {old_size}"
        )
    path = consistency_path(old_size, newest.size, root)
    return ConsistencyProof(
        path=tuple(base64.b64encode(step).decode() for step in path), old=old, new=newest.note
    )


def check_consistency(
    proof: ConsistencyProof, verifier: NoteVerifier
) -> tuple[Checkpoint, Checkpoint]:
    """Return the two checkpoints of a proof that holds.

    Raises
    ------
    ProofFailed
        If the later log does not continue the older one.
    BadNote
        If one of the checkpoints is not signed by the key.
    """
    old, new = verifier.open(proof.old), verifier.open(proof.new)
    path = _decoded(proof.path)
    if old.origin != new.origin or not is_consistent(old.size, old.root, new.size, new.root, path):
        raise ProofFailed(
            f"{new.origin} of {new.time} does not continue what was signed at {old.time}"
        )
    return old, new


def _decoded(path: Sequence[str]) -> list[bytes]:
    try:
        return [base64.b64decode(step, validate=True) for step in path]
    except ValueError:
        raise ProofFailed("the proof is damaged") from None


def check_proof(proof: InclusionProof, record: bytes, verifier: NoteVerifier) -> Checkpoint:
    """Return the signed checkpoint that covers a record.

    Parameters
    ----------
    proof
        As `prove` made it; it may come from anybody.
    record
        The bytes whose hash was logged.
    verifier
        The key that the auditor trusts.

    Raises
    ------
    ProofFailed
        If the record is not the one that was logged.
    BadNote
        If the checkpoint is not signed by the key.
    """
    checkpoint = verifier.open(proof.note)
    if (checkpoint.origin, checkpoint.size) != (proof.origin, proof.size):
        raise ProofFailed("the proof and its checkpoint speak of different logs")
    path = _decoded(proof.path)
    if root_from_inclusion(proof.position, proof.size, leaf_hash(record), path) != checkpoint.root:
        raise ProofFailed(
            f"the record is not number {proof.position} of {proof.origin} as it was signed at "
            f"{checkpoint.time}"
        )
    return checkpoint
