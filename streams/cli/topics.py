"""``vedette topics``: what the broker has against what Vedette declares."""

from __future__ import annotations

import cyclopts

app = cyclopts.App(name="topics", help="Compare and create Vedette's topics.")


@app.command
def apply() -> None:
    """Create the missing topics and correct the settings of the others.

    **Examples:**

    - `vedette topics apply`: after an upgrade, too.
    """
    from rich.console import Console

    from config.settings import load_settings
    from streams.admin import apply_topics

    changes = apply_topics(load_settings())
    for change in changes:
        Console().print(str(change), highlight=False, soft_wrap=True)
    if not changes:
        Console().print("nothing to do", highlight=False)


@app.command
def check() -> None:
    """List what ``apply`` would do; the exit code is 1 if there is anything.

    **Examples:**

    - `vedette topics check`: what apply would do.
    """
    from rich.console import Console

    from config.settings import load_settings
    from streams.admin import check_topics

    changes = check_topics(load_settings())
    for change in changes:
        Console().print(f"{change.topic}: to be {change.what}", highlight=False, soft_wrap=True)
    if changes:
        raise SystemExit(1)
    Console().print("as declared", highlight=False)
