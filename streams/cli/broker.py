"""``vedette broker``: the embedded Kafka."""

from __future__ import annotations

import cyclopts

app = cyclopts.App(name="broker", help="Start, stop and look at the embedded Kafka.")


@app.command
def start() -> None:
    """Start the broker, or find the one that runs, and create the topics.

    **Examples:**

    - `vedette broker start`: for `vedette run` in several terminals.
    """
    from rich.console import Console

    from config.settings import load_settings
    from streams import broker
    from streams.admin import apply_topics

    settings = load_settings()
    servers = broker.start(settings)
    apply_topics(settings)
    Console().print(f"Kafka is ready at {servers}", highlight=False)


@app.command
def stop() -> None:
    """Stop the broker of this home; what it acknowledged stays on disk.

    **Examples:**

    - `vedette broker stop`: in the home that started it.
    """
    from rich.console import Console

    from config.settings import load_settings
    from streams import broker

    stopped = broker.stop(load_settings())
    Console().print("Kafka stopped" if stopped else "Kafka was not running", highlight=False)


@app.command
def status() -> None:
    """Tell whether a broker answers; the exit code is 1 if none does.

    **Examples:**

    - `vedette broker status`: where it is, and where its log lies.
    """
    from dataclasses import asdict

    from rich.console import Console

    from config.settings import load_settings
    from streams import broker

    found = broker.status(load_settings())
    console = Console()
    for name, value in asdict(found).items():
        console.print(f"{name.replace('_', ' '):<18} {value}", highlight=False, soft_wrap=True)
    if not found.ready:
        raise SystemExit(1)
