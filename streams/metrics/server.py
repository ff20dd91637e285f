"""The metrics endpoint of a role: HTTP on loopback, in a thread, without any other page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from prometheus_client import start_http_server

from streams.metrics.catalogue import BUILD
from streams.roles import ROLES

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from config.settings import MetricsSettings

log = structlog.get_logger(__name__)

#: Ports of the roles, counted from `MetricsSettings.port`.
OFFSETS = {role: number for number, role in enumerate(ROLES)}


class MetricsServer:
    """Serves ``/metrics`` while it is open; a port that is taken is replaced by a free one.

    Metrics must never keep a role from starting: several workers of one role on a host share
    the settings, and the first has the known port.
    """

    def __init__(self, settings: MetricsSettings, role: str, version: str) -> None:
        self._settings = settings
        self._role = role
        self._version = version
        self._running: tuple[WSGIServer, Thread] | None = None
        self.port = 0

    def open(self) -> None:
        """Listen."""
        if not self._settings.enabled:
            return
        BUILD.labels(self._version, self._role).set(1)
        wanted = self._settings.port + OFFSETS.get(self._role, len(OFFSETS))
        try:
            server, thread = start_http_server(wanted, addr=self._settings.host)
        except OSError:
            server, thread = start_http_server(0, addr=self._settings.host)
        self.port = server.server_port
        self._running = server, thread
        log.info("metrics are served", host=self._settings.host, port=self.port)

    def close(self) -> None:
        """Stop listening; harmless when not open."""
        if self._running is not None:
            server, thread = self._running
            self._running = None
            server.shutdown()
            server.server_close()
            thread.join()
