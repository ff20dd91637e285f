"""Connections that bring nothing are dropped, and nobody takes all the room."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from aiohttp import web
from pydantic import SecretStr

from config.settings import IntakeSettings, Settings
from streams.intake.access import server_tls
from streams.intake.door import Door
from streams.intake.server import Intake
from tests.unit.decode.records import REQUEST
from tests.unit.intake.test_server import TOKEN, Broker, kserve_headers, self_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Dial = Callable[..., Awaitable["Peer"]]
    Open = Callable[..., Awaitable[tuple[int, Door]]]

BODY = json.dumps(REQUEST).encode()
SOON_S = 0.15


def request(**changes: str) -> bytes:
    headers = {"Host": "x", "Content-Length": str(len(BODY)), **kserve_headers(), **changes}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + BODY


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    closing: list[Any] = []

    async def run(**bounds: Any) -> tuple[int, Door]:
        bounds = {"port": 0, "token": SecretStr(TOKEN), "head_timeout_s": SOON_S, **bounds}
        settings = IntakeSettings(**bounds)
        intake = Intake(Settings(intake=settings), Broker())
        await intake.open()
        runner = web.AppRunner(
            intake.application(), access_log=None, keepalive_timeout=settings.idle_timeout_s
        )
        await runner.setup()
        assert runner.server is not None
        door = Door(settings, runner.server, server_tls(settings))
        closing.extend((door.close, runner.cleanup))
        return door.open(), door

    yield run
    for close in closing:
        await close()


class Peer:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def says(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hears(self) -> bytes:
        """The status of the next answer; nothing if the connection is closed instead."""
        try:
            async with asyncio.timeout(10):
                head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return head[9:12]

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    peers: list[Peer] = []

    async def run(port: int, **options: Any) -> Peer:
        peers.append(Peer(*await asyncio.open_connection("127.0.0.1", port, **options)))
        return peers[-1]

    yield run
    for peer in peers:
        peer.close()


async def test_a_connection_that_says_nothing_is_dropped(opened: Open, dial: Dial) -> None:
    port, _ = await opened()
    began_s = time.monotonic()
    assert await (await dial(port)).hears() == b""
    assert time.monotonic() - began_s < 20 * SOON_S


def test_a_connection_that_says_nothing_is_dropped_by_the_fast_loop_too() -> None:
    async def hears() -> bytes:
        settings = IntakeSettings(port=0, token=SecretStr(TOKEN), head_timeout_s=SOON_S)
        door = Door(settings, asyncio.Protocol)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.open())
        async with asyncio.timeout(10):
            heard = await reader.read()
        writer.close()
        await door.close()
        return heard

    assert uvloop.run(hears()) == b""


async def test_a_head_that_comes_byte_by_byte_is_dropped(opened: Open, dial: Dial) -> None:
    port, _ = await opened()
    peer = await dial(port)
    closed = asyncio.ensure_future(peer.hears())
    for byte in request()[:200]:
        if closed.done():
            break
        await peer.says(bytes([byte]))
        await asyncio.sleep(SOON_S / 10)
    assert await closed == b""


async def test_the_second_head_of_a_connection_has_to_be_whole_in_time_too(
    opened: Open, dial: Dial
) -> None:
    port, _ = await opened()
    peer = await dial(port)
    await peer.says(request())
    assert await peer.hears() == b"202"
    await peer.says(request()[:20])
    assert await peer.hears() == b""


async def test_a_slow_body_has_the_time_that_bodies_have(opened: Open, dial: Dial) -> None:
    port, _ = await opened(read_timeout_s=60.0)
    peer = await dial(port)
    data = request()
    await peer.says(data[:-5])
    await asyncio.sleep(3 * SOON_S)
    await peer.says(data[-5:])
    assert await peer.hears() == b"202"


async def test_a_connection_may_be_idle_between_two_requests(opened: Open, dial: Dial) -> None:
    port, _ = await opened(idle_timeout_s=60.0)
    peer = await dial(port)
    for _ in range(2):
        await peer.says(request())
        assert await peer.hears() == b"202"
        await asyncio.sleep(3 * SOON_S)


async def test_a_connection_may_not_be_idle_for_ever(opened: Open, dial: Dial) -> None:
    port, _ = await opened(idle_timeout_s=SOON_S)
    peer = await dial(port)
    await peer.says(request())
    assert await peer.hears() == b"202"
    assert await peer.hears() == b""


async def test_an_address_has_its_share_of_connections(opened: Open, dial: Dial) -> None:
    port, _ = await opened(max_connections_per_address=2, head_timeout_s=60.0)
    first, second = await dial(port), await dial(port)
    for peer in (first, second):
        await peer.says(request())
        assert await peer.hears() == b"202"
    assert await (await dial(port)).hears() == b""
    await first.says(request())
    assert await first.hears() == b"202"


async def test_where_all_room_is_taken_the_next_ones_wait(opened: Open, dial: Dial) -> None:
    port, _ = await opened(max_connections=2, max_connections_per_address=9)
    silent = [await dial(port) for _ in range(2)]
    waiting = await dial(port)
    await waiting.says(request())
    assert await waiting.hears() == b"202"  # once the silent ones were dropped
    assert [await peer.hears() for peer in silent] == [b"", b""]


async def test_many_silent_connections_are_gone_after_the_timeout(opened: Open, dial: Dial) -> None:
    port, door = await opened(max_connections=50, max_connections_per_address=50)
    peers = [await dial(port) for _ in range(50)]
    assert all(heard == b"" for heard in await asyncio.gather(*(peer.hears() for peer in peers)))
    await asyncio.sleep(SOON_S)
    assert not door._guests
    assert not door._addresses


async def test_a_handshake_that_never_comes_is_dropped(
    opened: Open, dial: Dial, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    port, door = await opened(certificate=certificate, certificate_key=key)
    silent = await dial(port)
    plain = await dial(port)
    await plain.says(request())
    assert [await silent.hears(), await plain.hears()] == [b"", b""]
    trusted = ssl.create_default_context(cafile=str(certificate))
    peer = await dial(port, ssl=trusted, server_hostname="localhost")
    await peer.says(request())
    assert await peer.hears() == b"202"
    assert len(door._guests) == 1


@pytest.mark.parametrize("line", [b"X: " + b"y" * 9000 + b"\r\n", b"X: y\r\n" * 1000])
async def test_a_head_without_end_is_refused(opened: Open, dial: Dial, line: bytes) -> None:
    port, _ = await opened(head_timeout_s=60.0)
    peer = await dial(port)
    await peer.says(b"POST / HTTP/1.1\r\n" + line * 20)
    assert await peer.hears() == b"400"
