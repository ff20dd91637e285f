"""``vedette audit verify --source kafka``: the topics against published checkpoints, no store."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from config.settings import load_settings
from streams.cli.audit_check import tell
from streams.ledger.kafka import INDEXED, indexed_records, published_segments, published_tiles
from streams.ledger.merkle import leaf_hash
from streams.ledger.replica import Held, verify_held
from streams.ledger.trail import TrailReport
from streams.roles.index import DEAD_LETTER_TOPICS, build_rows

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.ledger.note import NoteVerifier


class _Partition:
    """What Kafka holds of a partition: its records by id, and whether the first is among them."""

    def __init__(self, first_offset: int) -> None:
        self.whole = first_offset == 0
        self.leaves: dict[str, bytes] = {}

    @property
    def held(self) -> list[Held]:
        """Its records in their order, each once."""
        return [Held(*item) for item in self.leaves.items()]


def check_topics(verifier: NoteVerifier, *, as_json: bool) -> None:
    """Check all published logs against the topics, and say what was found.

    Raises
    ------
    TamperedError
        If anything was changed.
    """
    report = asyncio.run(verify_topics(load_settings(), verifier))
    tell(report, as_json=as_json)


async def verify_topics(settings: Settings, verifier: NoteVerifier) -> TrailReport:
    """Return what is wrong with the records that Kafka still holds."""
    published = await published_segments(settings.kafka)
    tiles = await published_tiles(settings.kafka)
    partitions = await _held(settings)
    # Also those that no key of ours signed: they are faults themselves.
    logs = Counter(map(_source, published))
    reports = tuple(
        verify_held(
            origin,
            partitions[source].held,
            segments,
            verifier,
            whole=partitions[source].whole,
            alone=logs[source] == 1,
            tiles=tiles.get(origin, {}),
        )
        for origin, segments in sorted(published.items())
        if (source := _source(origin)) in partitions
    )
    faults = tuple(fault for report in reports for fault in report.faults)
    return TrailReport(reports, faults)


async def _held(settings: Settings) -> dict[str, _Partition]:
    """Return the records by topic and partition, each id once, as the index role takes them."""
    found: dict[str, _Partition] = {}
    topics = (*INDEXED, *DEAD_LETTER_TOPICS)
    async for records in indexed_records(settings.kafka, topics):
        if not records:
            continue
        name = f"{records[0].topic}/{records[0].partition}"
        partition = found.setdefault(name, _Partition(records[0].offset))
        for row in build_rows(records, settings.elastic.namespace)[0]:
            partition.leaves.setdefault(row.event_id, leaf_hash(row.body))
    return found


def _source(origin: str) -> str:
    """Return topic and partition of a log's name: ``name/topic/partition/...``."""
    return "/".join(origin.split("/")[1:3])
