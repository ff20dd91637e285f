"""``vedette run`` and ``vedette up``: one role in the foreground, or all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import cyclopts

if TYPE_CHECKING:
    from config.settings import KafkaSettings, Settings

app = cyclopts.App(name="run", help="Run the roles.")

PROBE_TIMEOUT_S = 1.0


def run(role: str, /) -> None:
    """Run one role in the foreground until SIGTERM or Ctrl-C.

    Logs are JSON lines on stderr. The exit code is 0 after a clean stop; otherwise nothing that
    failed was acknowledged, and the next worker reads it again. Start it several times to share
    the partitions.

    **Examples:**

    - `vedette run detect`: detect on the broker of the settings.

    - `VEDETTE_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 vedette run ingest`: somewhere else.

    Parameters
    ----------
    role
        ingest, serve, detect, respond or index.
    """
    from config.settings import load_settings
    from streams.roles import load_role

    settings = load_settings()
    loaded = load_role(role, settings)
    from streams.runtime import run_role

    sys.exit(run_role(loaded, settings))


def up(
    *roles: str,
    broker: Annotated[
        bool | None,
        cyclopts.Parameter(help="Start the embedded broker (default: if none answers here)."),
    ] = None,
) -> None:
    """Start the broker if there is none, create the topics, and keep the roles running.

    Each role runs in a child process that is started again when it fails; its log lies in
    ``logs/<role>.log`` below the home directory. Ctrl-C stops all of them cleanly.

    **Examples:**

    - `vedette up`: everything that the settings have work for, on a laptop.

    - `vedette up ingest detect --no-broker`: some roles, on a broker that runs already.

    Parameters
    ----------
    roles
        ingest, serve, detect, respond, index; by default all (serve only if a model is set).
    """
    from config.settings import load_settings
    from streams.logs import configure_logs
    from streams.supervisor import supervise

    settings = load_settings()
    names = _chosen(roles, settings)
    configure_logs(settings.log_level)
    _prepare(settings, broker=broker)
    sys.exit(supervise(names, settings))


def _chosen(roles: tuple[str, ...], settings: Settings) -> list[str]:
    from config.errors import ConfigError
    from streams.roles import ROLES

    for role in roles:
        if role not in ROLES:
            raise ConfigError(f"there is no role {role!r}; there are {', '.join(ROLES)}")
    if roles:
        return list(dict.fromkeys(roles))
    return [role for role in ROLES if role != "serve" or settings.serve.model is not None]


def _prepare(settings: Settings, *, broker: bool | None) -> None:
    from streams.admin import apply_topics

    if broker is None:
        broker = _is_loopback(settings.kafka) and not _answers(settings.kafka)
    if broker:
        from streams.broker import ensure_running

        ensure_running(settings)
    apply_topics(settings)


def _is_loopback(kafka: KafkaSettings) -> bool:
    return all(host in {"127.0.0.1", "localhost", "::1"} for host, _ in _servers(kafka))


def _answers(kafka: KafkaSettings) -> bool:
    import socket

    for server in _servers(kafka):
        try:
            socket.create_connection(server, PROBE_TIMEOUT_S).close()
        except OSError:
            continue
        return True
    return False


def _servers(kafka: KafkaSettings) -> list[tuple[str, int]]:
    pairs = [server.strip().rpartition(":") for server in kafka.bootstrap_servers.split(",")]
    return [(host.strip("[]"), int(port)) for host, _, port in pairs if port.isdigit()]


app.command(run)
app.command(up)
