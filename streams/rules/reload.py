"""Hot reload: a directory that changes becomes a new rule set, or the old one stays.

Contents are compared, not times: a symlink that Kubernetes swaps, an editor that renames, and a
file that is touched all come out right.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import structlog

from streams.metrics.catalogue import RULES_ACTIVE, RULES_RELOADED
from streams.rules.errors import RuleError
from streams.rules.load import BUILT_IN, load_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path


log = structlog.get_logger(__name__)

POLL_S = 2.0


class Rules:
    """The rule set in force.

    Parameters
    ----------
    directories
        Where rules lie; later ones win.
    sinks
        Names that rules may be routed to; None permits all.

    Raises
    ------
    RuleError
        If the rules are wrong at the start: there is no old set to keep.
    """

    def __init__(self, directories: Sequence[Path], sinks: Collection[str] | None = None) -> None:
        self._directories = tuple(directories)
        self._sinks = sinks
        self._seen = _content(self._directories)
        self.current = load_rules(self._directories, sinks)
        self._show()

    def refresh(self) -> bool:
        """Take over what changed since the last look; true if there is a new set."""
        content = _content(self._directories)
        if content == self._seen:
            return False
        self._seen = content
        try:
            loaded = load_rules(self._directories, self._sinks)
        except RuleError as error:
            RULES_RELOADED.labels("error").inc()
            log.warning("rules are wrong, the old ones stay in force", error=str(error))
            return False
        self.current = loaded  # one reference: a finding sees the old set or the new one
        RULES_RELOADED.labels("ok").inc()
        self._show()
        return True

    async def watch(self, poll_s: float = POLL_S) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(poll_s)
            await asyncio.to_thread(self.refresh)

    def _show(self) -> None:
        RULES_ACTIVE.clear()
        RULES_ACTIVE.labels(self.current.digest).set(len(self.current.rules))
        log.info("rules in force", rules=len(self.current.rules), version=self.current.digest)


def directories_of(extra: Path | None) -> tuple[Path, ...]:
    """Return where rules are looked for: the built-in ones, then the user's."""
    return (BUILT_IN,) if extra is None else (BUILT_IN, extra)


def _content(directories: Sequence[Path]) -> bytes:
    """Return a digest of all files; what cannot be read counts as empty."""
    digest = hashlib.sha256()
    for directory in directories:
        for path in sorted(directory.glob("*.yaml")):
            digest.update(path.name.encode() + b"\0")
            try:
                digest.update(path.read_bytes())
            except OSError:
                continue
    return digest.digest()
