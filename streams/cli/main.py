"""The ``vedette`` command.

Sub-commands are named by import path and loaded when they are used, so that ``--help`` is
instant and a command whose dependencies are missing does not break the others.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import cyclopts

from config.errors import ConfigError, VedetteError
from streams.cli.threads import compute_in_one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = """\
Watch the traffic of served models, and tell who abuses, probes or copies them.

**Examples:**

- `vedette demo`: everything on this machine, attacks included.

- `vedette up`: the broker and every role; `vedette run detect` runs one of them.

- `vedette calibrate digits benign.parquet --out profiles`: learn what benign traffic looks like.

- `vedette audit search --since 1h`: what was recorded in the last hour.
"""

_START = cyclopts.Group("Start here", sort_key=0)
_MODELS = cyclopts.Group("Models and profiles", sort_key=1)
_LOOK = cyclopts.Group("Look", sort_key=2)
_OPERATE = cyclopts.Group("Operate", sort_key=3)

#: Command, where it lies, its group, its line in ``--help``.
COMMANDS: tuple[tuple[str, str, cyclopts.Group, str], ...] = (
    ("demo", "streams.cli.demo:demo", _START, "Show it all on this machine, attacks included."),
    ("up", "streams.cli.run:up", _START, "Start the broker and every role."),
    ("run", "streams.cli.run:run", _START, "Run one role."),
    ("calibrate", "streams.cli.calibrate:calibrate", _MODELS, "Build the profile of a model."),
    ("models", "streams.cli.models:app", _MODELS, "Register, sign and verify models."),
    ("alerts", "streams.cli.alerts:app", _LOOK, "Look at alerts."),
    ("audit", "streams.cli.audit:app", _LOOK, "Search the audit trail."),
    ("rules", "streams.cli.rules:app", _OPERATE, "Check, list, test and explain the rules."),
    ("notify", "streams.cli.notify:app", _OPERATE, "Look at the sinks and try them."),
    ("silence", "streams.cli.silence:app", _LOOK, "Mute alerts for a time."),
    ("verdicts", "streams.cli.verdicts:app", _LOOK, "Look at verdicts, lift and serve them."),
    ("record", "streams.cli.recordings:record", _LOOK, "Write traffic to a recording."),
    ("replay", "streams.cli.recordings:replay", _LOOK, "Run detection over a recording."),
    ("broker", "streams.cli.broker:app", _OPERATE, "Start, stop and look at the embedded Kafka."),
    ("topics", "streams.cli.topics:app", _OPERATE, "Compare and create Vedette's topics."),
    ("intake", "streams.cli.intake:intake", _OPERATE, "Take events over HTTP."),
    ("dlq", "streams.cli.dlq:app", _OPERATE, "Look at dead letters and replay them."),
    ("producers", "streams.cli.producers:producers", _OPERATE, "Show how to connect a producer."),
    ("pseudonym", "streams.cli.pseudonym:pseudonym", _OPERATE, "Find a known identity."),
    ("elastic", "streams.cli.elastic:app", _OPERATE, "Set Elasticsearch up for the audit trail."),
    ("kibana", "streams.cli.kibana:app", _OPERATE, "Bring dashboards into Kibana."),
    ("config", "streams.cli.config:app", _OPERATE, "Show the effective configuration."),
    ("health", "streams.cli.health:health", _OPERATE, "Tell whether a role is alive."),
    ("bench", "streams.cli.bench:app", _OPERATE, "Measure speed and detection quality."),
)


def _version() -> str:
    try:
        return version("vedette")
    except PackageNotFoundError:
        return "not installed"


def build_app(chosen: str | None = None) -> cyclopts.App:
    """Return the command with every sub-command registered and none imported.

    The chosen one explains itself at length; the line here would hide that.
    """
    app = cyclopts.App(name="vedette", help=HELP, help_format="markdown", version=_version)
    for name, path, group, text in COMMANDS:
        line = {} if name == chosen else {"help": text}
        app.command(path, name=name, group=group, **line)
    return app


app = build_app()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; failures become one line on stderr.

    The exit code is 0, 1 if something failed, 2 if the command or the configuration is wrong,
    130 after Ctrl-C.
    """
    compute_in_one_thread()
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build_app(tokens[0] if tokens else None)(tokens)
    except ConfigError as error:
        _fail(str(error), 2)
    except VedetteError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Closing keeps Python from complaining at exit.
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, code: int) -> None:
    print(f"vedette: {message}", file=sys.stderr)  # noqa: T201 - this is what the user reads
    sys.exit(code)


if __name__ == "__main__":
    main()
