"""Chunks of audit frames, and a check of what lies in the stub."""

from __future__ import annotations

from streams.elastic.document import record_of
from streams.frames import encode_frame
from streams.ledger.log import Segment
from streams.ledger.note import load_verifier
from streams.ledger.verify import verify_log
from streams.roles.base import Chunk, Partition
from streams.roles.index import build_rows
from streams.topics import AUDIT
from tests.unit.respond.fakes import FakeRecord
from tests.unit.store.samples import FULL, frame

SOURCE = Partition(AUDIT, 0)


def interactions(first, end):
    return [
        {**FULL, "id": f"vedette.events.v1-2-{n}-0", "source_offset": n} for n in range(first, end)
    ]


class Feed:
    """Frames of ten interactions as records of one partition."""

    def __init__(self, namespace="default", size=10):
        self.acked = []
        self._namespace = namespace
        self._size = size

    def chunk(self, first, end):
        """Return the records ``[first, end)`` as a chunk."""
        records = [self._record(offset) for offset in range(first, end)]
        return Chunk(SOURCE, records, lambda: self.acked.append((first, end)))

    def rows(self, chunk):
        rows, bad = build_rows(chunk.records, self._namespace)
        assert not bad
        return rows

    def _record(self, offset):
        first = offset * self._size
        value = encode_frame(frame(*interactions(first, first + self._size)))
        return FakeRecord(AUDIT, offset, value)


def logged(stub):
    """Return the documents of logs in the stub, by origin, in their order."""
    found = {}
    for document in stub.documents.values():
        if "chain" in document["vedette"]:
            found.setdefault(document["vedette"]["chain"]["log"], []).append(document)
    return {
        origin: sorted(documents, key=lambda item: item["event"]["sequence"])
        for origin, documents in found.items()
    }


def check(stub, settings):
    """Verify every log in the stub; return the reports."""
    verifier = load_verifier(settings.checkpoint_key.with_suffix(".pub"))
    kept = [
        item["vedette"]["checkpoint"]
        for item in stub.documents.values()
        if "checkpoint" in item["vedette"]
    ]
    reports = []
    for origin, documents in logged(stub).items():
        segments = [
            Segment(
                origin=origin,
                first=item["first"],
                size=item["size"],
                blocks=tuple(item["blocks"]),
                note=item["note"],
            )
            for item in sorted(kept, key=lambda item: item["size"])
            if item["log"] == origin
        ]
        entries = [
            (
                item["event"]["sequence"],
                item["event"]["id"],
                bytes.fromhex(item["event"]["hash"]),
                bytes.fromhex(item["vedette"]["chain"]["link"]),
                record_of(item),
            )
            for item in documents
        ]
        reports.append(verify_log(origin, entries, segments, verifier))
    return reports
