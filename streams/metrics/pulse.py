"""A sign of life of a role: a file that the event loop touches, for `vedette health`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

EVERY_S = 5.0


async def beat(home: Path, role: str, every_s: float = EVERY_S) -> None:
    """Touch ``run/ROLE.alive`` for ever; a stuck loop stops touching it."""
    path = home / "run" / f"{role}.alive"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        path.touch()
        await asyncio.sleep(every_s)
