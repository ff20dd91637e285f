"""Connections of the intake: how many there may be, and how long one may say nothing of use.

aiohttp bounds a head in size and, by our reading, a body in time. A connection that sends its head
byte by byte, or nothing at all, it would keep for an hour; so connections are counted from the
moment they are accepted, before any TLS handshake, and a head has to be whole in time.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import structlog

from streams.intake.metrics import CONNECTIONS, CONNECTIONS_REFUSED

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from config.settings import IntakeSettings

log = structlog.get_logger(__name__)

_BACKLOG = 128
_RETRY_S = 1.0


class Door:
    """Listens, and lets in as many connections as may be.

    One of an address that has its share already is closed at once. Where all room is taken, the
    next ones wait with the kernel until there is some.

    Parameters
    ----------
    settings
        Bounds, and where to listen.
    make_protocol
        Makes the protocol of a connection.
    tls
        Context of the server; None for plain HTTP.
    """

    def __init__(
        self,
        settings: IntakeSettings,
        make_protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._make_protocol = make_protocol
        self._tls = tls
        self._room = asyncio.Semaphore(settings.max_connections)
        self._addresses: Counter[str] = Counter()
        self._guests: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    def open(self) -> int:
        """Listen, and return the port.

        Raises
        ------
        OSError
            If the address is taken or none of ours.
        """
        host = self._settings.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server(
            (host, self._settings.port), family=family, backlog=_BACKLOG
        )
        listening.settimeout(0)
        self._socket = listening
        self._accepting = asyncio.create_task(self._accept(listening), name="intake-door")
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        """Let nobody in any more; those who are in stay."""
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                guest, (address, *_) = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is left: those who are in go first
                self._room.release()
                log.warning("intake.not_accepted", reason=type(error).__name__)
                await asyncio.sleep(_RETRY_S)
                continue
            if self._addresses[address] >= self._settings.max_connections_per_address:
                self._room.release()
                guest.close()
                CONNECTIONS_REFUSED.inc()
                continue
            self._addresses[address] += 1
            task = asyncio.create_task(self._serve(guest, address))
            self._guests.add(task)
            task.add_done_callback(self._guests.discard)

    async def _serve(self, guest: socket.socket, address: str) -> None:
        """Serve a connection until it is closed."""
        timeout_s = self._settings.head_timeout_s
        protocol = TimedProtocol(self._make_protocol(), timeout_s)
        CONNECTIONS.inc()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                guest,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else timeout_s,
            )
            await protocol.closed.wait()
        except OSError:
            guest.close()  # its handshake failed
        finally:
            CONNECTIONS.dec()
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
            self._room.release()


class TimedProtocol(asyncio.Protocol):
    """Passes everything on, and drops the connection if the head of a request takes too long.

    Parameters
    ----------
    inner
        The protocol that does the work; it tells by `busy` when a head is whole.
    head_timeout_s
        From the first byte of a request, and of the connection, to the end of the head.
    """

    def __init__(self, inner: asyncio.Protocol, head_timeout_s: float) -> None:
        self._inner = inner
        self._head_timeout_s = head_timeout_s
        self._transport: asyncio.WriteTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self.closed = asyncio.Event()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let a request, whose head is whole, take its time."""
        self._is_busy = True
        self._disarm()
        try:
            yield
        finally:
            self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        # Not tested by its class: uvloop's transports are none of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._arm()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; those between requests begin the next head."""
        if not self._is_busy and self._timer is None:
            self._arm()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that no more will come."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._disarm()
        self._inner.connection_lost(exc)
        self.closed.set()

    def pause_writing(self) -> None:
        """Pass on that the peer does not read."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer reads again."""
        self._inner.resume_writing()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._head_timeout_s, self._drop)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._transport.abort()
