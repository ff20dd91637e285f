"""What the checking commands of ``vedette audit`` do and say."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from config.errors import ConfigError, VedetteError
from config.settings import load_settings
from streams.cli.view import add_row, audit_trail, table
from streams.ledger.kafka import indexed_records, published_notes
from streams.ledger.note import Checkpoint, NoteVerifier, load_verifier
from streams.ledger.proof import (
    InclusionProof,
    ProofFailed,
    check_consistency,
    check_proof,
    kept_roots,
    prove,
    prove_consistency,
)
from streams.ledger.publish import read_notes
from streams.ledger.trail import ProvenTrail, TrailReport, compare_rows, verify_trail
from streams.respond.text import shown
from streams.roles.index import build_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config.settings import KafkaSettings
    from streams.ledger.report import Fault

RECORD_FILE, PROOF_FILE = "record.json", "proof.json"
MAX_EVIDENCE_BYTES = 16 << 20
#: More faults are counted, not listed, for people.
SHOWN_FAULTS = 50


class TamperedError(VedetteError):
    """The trail is not what was signed."""


def verifier_at(key: Path | None) -> NoteVerifier:
    """Return the verifier of a public key file, by default of this installation's own."""
    return load_verifier(key or load_settings().checkpoint_key.with_suffix(".pub"))


def check_trail(
    verifier: NoteVerifier, kept: Sequence[Path], *, kafka: bool, as_json: bool
) -> None:
    """Check the whole trail and say what was found.

    Raises
    ------
    TamperedError
        If anything was changed.
    """
    from rich.progress import Progress

    settings = load_settings().kafka
    notes = [note for path in kept for note in read_notes(path)]
    if kafka:
        notes += asyncio.run(published_notes(settings))
    witnessed = [verifier.open(note) for note in notes]
    with (
        audit_trail() as trail,
        Progress(console=Console(stderr=True), transient=True) as bars,
    ):
        tasks = {
            origin: bars.add_task(origin, total=size) for origin, size in trail.origins().items()
        }
        report = verify_trail(
            trail,
            verifier,
            witnessed=witnessed,
            progress=lambda origin, done: bars.update(tasks[origin], completed=done),
        )
        if kafka:
            report = report._replace(
                faults=(*report.faults, *asyncio.run(_compared(trail, settings)))
            )
    tell(report, as_json=as_json)


def tell(report: TrailReport, *, as_json: bool) -> None:
    """Say what was found.

    Raises
    ------
    TamperedError
        If anything was changed.
    """
    if as_json:
        sys.stdout.write(msgspec.json.encode(report._asdict()).decode() + "\n")
    else:
        _print_report(report)
    if report.faults:
        count = len(report.faults) + report.unnamed
        raise TamperedError(f"the trail is not what was signed: {count} faults")


def _print_report(report: TrailReport) -> None:
    console = Console()
    logs = table("Logs", "log", "records", "signed", "checkpoints", "erased", "faults")
    for item in report.logs:
        add_row(
            logs,
            item.origin,
            f"{item.size:,}",
            f"{min(item.signed, item.size):,}",
            item.checkpoints,
            len(item.erased),
            len(item.faults) + item.unnamed,
        )
    console.print(logs)
    if report.expired:
        console.print(
            f"{report.expired:,} records at the beginning of the logs are gone: Elasticsearch and "
            "Kafka drop what is older than their retention."
        )
    if not report.faults:
        console.print(
            f"{report.records:,} records as they were written; "
            f"{report.unsigned:,} of them are not covered by a checkpoint yet."
        )
        return
    faults = table("Faults", "what", "log", "id", "why")
    for fault in report.faults[:SHOWN_FAULTS]:
        add_row(faults, fault.kind, fault.origin, fault.event_id, fault.text)
    console.print(faults)


async def _compared(trail: ProvenTrail, settings: KafkaSettings) -> list[Fault]:
    """Compare the trail with the records that Kafka still holds."""
    faults = []
    namespace = load_settings().elastic.namespace
    async for records in indexed_records(settings):
        rows, _ = build_rows(records, namespace)
        faults += compare_rows(trail, rows)
    return faults


def check_kept(path: Path, verifier: NoteVerifier) -> None:
    """Prove each checkpoint of a file to be the beginning of its log.

    Raises
    ------
    TamperedError
        If one is not.
    """
    failed = 0
    with audit_trail() as trail:
        for note in read_notes(path):
            old = verifier.open(note)
            try:
                new = _continued(trail, note, old, verifier)
                verdict = f"continued to {new.size} records at {new.time}"
            except ProofFailed as error:
                failed += 1
                verdict = f"NOT CONTINUED: {error}"
            sys.stdout.write(shown(f"{old.origin} {old.size}: {verdict}", 300) + "\n")
    if failed:
        raise TamperedError(f"{failed} checkpoints are not the beginning of their logs")


def _continued(
    trail: ProvenTrail, note: str, old: Checkpoint, verifier: NoteVerifier
) -> Checkpoint:
    """Return the newest checkpoint of a log, proven to continue an older one."""
    segments = trail.segments(old.origin)
    if not segments:
        raise ProofFailed(f"the log {old.origin} is missing")
    roots = kept_roots(segments, partial(trail.leaves, old.origin))
    proof = prove_consistency(note, old.size, segments[-1], roots)
    return check_consistency(proof, verifier)[1]


def check_record(event_id: str, verifier: NoteVerifier) -> None:
    """Check one record by its inclusion proof."""
    record, proof = _proof_of(event_id)
    _tell_proven(record, proof, verifier)


def write_proof(event_id: str, directory: Path) -> None:
    """Write a record and its proof."""
    record, proof = _proof_of(event_id)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RECORD_FILE).write_bytes(record)
    (directory / PROOF_FILE).write_bytes(msgspec.json.encode(proof) + b"\n")
    sys.stdout.write(f"wrote {directory / RECORD_FILE} and {directory / PROOF_FILE}\n")


def check_evidence(directory: Path, verifier: NoteVerifier) -> None:
    """Check what `write_proof` wrote."""
    record, proof = (_read(directory / name) for name in (RECORD_FILE, PROOF_FILE))
    try:
        decoded = msgspec.json.decode(proof, type=InclusionProof)
    except msgspec.DecodeError:
        raise ConfigError(f"{directory / PROOF_FILE} is no proof") from None
    _tell_proven(record, decoded, verifier)


def _tell_proven(record: bytes, proof: InclusionProof, verifier: NoteVerifier) -> None:
    checkpoint = check_proof(proof, record, verifier)
    sys.stdout.write(
        f"record {proof.position} of {shown(proof.origin, 200)} is as it was logged; "
        f"signed at {shown(checkpoint.time)} by {shown(verifier.name)}\n"
    )


def _proof_of(event_id: str) -> tuple[bytes, InclusionProof]:
    with audit_trail() as trail:
        found = trail.find(event_id)
        if found is None:
            raise ConfigError(f"no document has the id {shown(event_id, 128)}")
        origin, position, record = found
        segments = trail.segments(origin)
        roots = kept_roots(segments, lambda first, end: trail.leaves(origin, first, end))
        return record, prove(position, segments, roots)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_EVIDENCE_BYTES:
            raise ConfigError(f"{path} is too large to be evidence")
        return path.read_bytes()
    except OSError:
        raise ConfigError(f"{path} cannot be read; `vedette audit prove` writes it") from None
