"""``vedette health``: a cheap liveness check for containers."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

RoleName = Literal["ingest", "serve", "detect", "respond", "index", "intake"]


def health(
    role: Annotated[RoleName, Parameter(help="which role")],
    *,
    max_age_s: Annotated[float, Parameter(help="older signs of life do not count")] = 30.0,
) -> None:
    """Exit 0 if the role on this host gave a sign of life lately, else 1.

    A running role touches ``run/ROLE.alive`` in its home every few seconds, from the same
    event loop that processes records: a stuck loop is not alive.

    **Examples:**

    - `vedette health detect --max-age-s 60`: what a container's health check runs.
    """
    import time

    from config.errors import VedetteError
    from config.settings import load_settings

    path = load_settings().home / "run" / f"{role}.alive"
    try:
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        raise VedetteError(f"{role} has given no sign of life: there is no {path}") from None
    if age_s > max_age_s:
        raise VedetteError(f"{role} gave its last sign of life {age_s:.0f} s ago")
