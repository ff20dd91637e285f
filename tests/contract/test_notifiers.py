"""What every notifier owes: an outcome for every answer and for none, in bounded time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from config.errors import ConfigError
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.http import outcome_of
from streams.notify.sinks import NOTIFIERS as REGISTRY
from tests.contract.leaks import assert_no_leak
from tests.contract.notifiers import (
    NOTIFIERS,
    SECRETS,
    Receiver,
    self_signed,
    send,
    serving,
)
from tests.unit.respond.samples import alert


def test_every_notifier_of_the_registry_has_a_contract():
    #: Those that do not speak HTTP have theirs in files of their own.
    elsewhere = {"smtp": "test_smtp.py", "kafka": "test_kafka_sink.py"}
    assert all((Path(__file__).parent / name).exists() for name in elsewhere.values())
    assert {name.partition("-")[0] for name in NOTIFIERS} | elsewhere.keys() == REGISTRY.keys()


REFUSED_PAYLOAD = {400, 406, 411, 413, 414, 415, 422, 431}
SLOW_DOWN = {408, 425, 429, 502, 503, 504}


def expected(status):
    if 200 <= status < 300:
        return Delivered()
    if status == HTTPStatus.GONE:
        return Gone()
    if status in REFUSED_PAYLOAD:
        return Permanent("refused_payload")
    if status in SLOW_DOWN:
        return RetryLater("slow_down")
    if status >= 500:
        return RetryLater("server_error")
    return RetryLater("redirect" if status < 400 else "client_error")


async def test_every_status_has_its_outcome(make):
    async with serving(Receiver()) as receiver:
        notifier = make(receiver.port)
        await notifier.start()
        for status in [item.value for item in HTTPStatus if item >= 200] + [299, 420, 499, 599]:
            receiver.status = status
            assert await notifier.notify(alert()) == expected(status), status
        await notifier.close()


def test_every_number_that_a_server_can_answer_has_its_outcome():
    now = datetime.now(UTC)
    for status in range(200, 600):
        assert outcome_of(status, None, now) == expected(status), status


async def test_redirects_are_not_followed(make):
    async with serving(Receiver()) as target, serving(Receiver(status=307)) as receiver:
        receiver.headers = {"Location": f"http://127.0.0.1:{target.port}/"}
        assert await send(make, receiver.port) == RetryLater("redirect")
        assert target.got == []


@pytest.mark.parametrize("status", [429, 503, 500, 404])
async def test_retry_after_is_passed_on(make, status):
    async with serving(Receiver(status=status, headers={"Retry-After": "17"})) as receiver:
        outcome = await send(make, receiver.port)
    assert outcome.after_s == 17


async def test_retry_after_may_be_a_date(make):
    then = datetime.now(UTC) + timedelta(seconds=100)
    headers = {"Retry-After": then.strftime("%a, %d %b %Y %H:%M:%S GMT")}
    async with serving(Receiver(status=429, headers=headers)) as receiver:
        outcome = await send(make, receiver.port)
    assert 95 < outcome.after_s <= 100


async def test_a_refused_connection_is_tried_again(make, unused_tcp_port):
    assert await send(make, unused_tcp_port) == RetryLater("connection")


async def test_a_slow_answer_is_cut_off(make):
    async with serving(Receiver(stall=asyncio.Event())) as receiver:
        started = time.monotonic()
        assert await send(make, receiver.port, timeout_s=0.2) == RetryLater("timeout")
        assert time.monotonic() - started < 2


async def raw(answer, *, stay_open):
    """Serve raw bytes, then close or hold the connection."""
    done = asyncio.Event()

    async def connected(reader, writer):
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        if stay_open:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    return server, done


@pytest.mark.parametrize(
    ("answer", "stay_open", "reason"),
    [
        (b"", True, "timeout"),
        (b"HTTP/1.1 200", True, "timeout"),
        (b"", False, "connection"),
        (b"HTTP/1.1 200", False, "connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False, "connection"),
    ],
    ids=["silent", "half an answer", "closed", "torn", "not http"],
)
async def test_half_open_and_torn_connections_are_tried_again(make, answer, stay_open, reason):
    server, done = await raw(answer, stay_open=stay_open)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await send(make, port, timeout_s=0.2) == RetryLater(reason)
    finally:
        done.set()
        server.close()
        await server.wait_closed()


async def test_an_unknown_certificate_is_refused_before_anything_is_sent(make, tmp_path):
    async with serving(Receiver(), tls=self_signed(tmp_path)) as receiver:
        assert await send(make, receiver.port, scheme="https") == RetryLater("tls")
        assert receiver.got == []


async def test_a_name_that_resolves_to_loopback_is_refused(make):
    async with serving(Receiver()) as receiver:
        outcome = await send(
            make, receiver.port, scheme="https", host="localhost", allow_private=False
        )
        assert outcome == RetryLater("address_refused")
        assert receiver.got == []


@pytest.mark.parametrize(
    ("scheme", "host"),
    [
        ("http", "example.org"),
        ("https", "127.0.0.1"),
        ("https", "[::1]"),
        ("https", "169.254.169.254"),
        ("https", "2130706433"),
        ("https", "127.1"),
        ("ftp", "example.org"),
    ],
)
def test_a_forbidden_address_is_refused_at_the_start(make, scheme, host):
    with pytest.raises(ConfigError, match="contract: the URL") as caught:
        make(443, scheme=scheme, host=host, allow_private=False)
    assert_no_leak(SECRETS, [caught.value, *caught.value.args])
