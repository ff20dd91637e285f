"""``vedette kibana``: dashboards, saved searches and the detection rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

app = cyclopts.App(name="kibana", help="Bring dashboards and the detection rule into Kibana.")


@app.command
def install() -> None:
    """Import everything, replacing what an older version brought.

    **Examples:**

    - `VEDETTE_KIBANA__URL=https://kibana.example:5601 vedette kibana install`: with the API key
      in VEDETTE_KIBANA__API_KEY or a file.
    """
    import asyncio
    import sys

    from config.settings import load_settings
    from streams.kibana.install import install as bring

    done = asyncio.run(bring(load_settings().kibana))
    sys.stdout.write(
        f"Kibana {done.version}: {done.objects} objects and {done.rules} rule imported, "
        f"{done.by_api} dashboards by the Dashboards API; "
        "switch the rule on in Security\n"
    )


@app.command
def export(
    out: Annotated[Path, Parameter(help="directory")],
    *,
    pictures: Annotated[bool, Parameter(help="also the layout of each dashboard")] = False,
) -> None:
    """Write the files that `install` imports.

    **Examples:**

    - `vedette kibana export kibana-content --pictures`: NDJSON for Stack Management, Saved
      Objects, Import, and a PNG of each dashboard.
    """
    import sys

    from streams.kibana.export import export as write

    written = write(out)
    if pictures:
        from streams.kibana.picture import draw_all

        written += draw_all(out)
    for path in written:
        sys.stdout.write(f"{path}\n")
