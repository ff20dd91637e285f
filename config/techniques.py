"""Entries of public taxonomies, from pinned files: an id is never written without its edition."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from config.errors import ConfigError

TaxonomyName = Literal["atlas", "owasp"]

_DIRECTORY = Path(__file__).with_name("taxonomy")


class Entry(NamedTuple):
    """One technique or risk."""

    id: str
    name: str
    edition: str


@cache
def taxonomy(name: TaxonomyName) -> dict[str, Entry]:
    """Return all pinned entries of one taxonomy by id."""
    pinned = json.loads((_DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    return {
        key: Entry(key, title, _edition(key, pinned["edition"]))
        for key, title in pinned["entries"].items()
    }


def entries(name: TaxonomyName, ids: tuple[str, ...]) -> tuple[Entry, ...]:
    """Look ids up.

    Raises
    ------
    ConfigError
        If an id is not in the pinned file: many published mappings use invented ones.
    """
    known = taxonomy(name)
    unknown = [key for key in ids if key not in known]
    if unknown:
        raise ConfigError(f"config/taxonomy/{name}.json does not list {', '.join(unknown)}")
    return tuple(known[key] for key in ids)


def _edition(key: str, edition: str) -> str:
    """OWASP ids carry their own year."""
    return key.partition(":")[2] or edition
