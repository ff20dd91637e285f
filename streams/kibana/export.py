"""The content as files, for those who import it by hand or keep it in their own repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kibana.api import bodies_file
from streams.kibana.objects import ndjson, saved_objects
from streams.kibana.rule import detection_rule

if TYPE_CHECKING:
    from pathlib import Path


def files() -> dict[str, bytes]:
    """Return every file by its name; the same bytes each time."""
    return {
        "vedette.ndjson": ndjson(saved_objects()),
        "rules.ndjson": ndjson([detection_rule()]),
        "dashboards.json": bodies_file(),
    }


def export(directory: Path) -> list[Path]:
    """Write the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in files().items():
        (directory / name).write_bytes(content)
        written.append(directory / name)
    return written
