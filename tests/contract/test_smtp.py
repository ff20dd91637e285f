"""What e-mail owes: outcomes by reply code, bounded time, no forged headers, no leaks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from email import message_from_string, policy

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.errors import ConfigError
from config.respond import SmtpSettings
from streams.notify.base import Delivered, Permanent, RetryLater
from streams.notify.retry import RetryStage
from streams.notify.smtp import SmtpNotifier, outcome_of_code
from tests.contract.leaks import assert_no_leak
from tests.contract.notifiers import self_signed
from tests.unit.respond.samples import alert

PASSWORD = "correct-horse-battery-staple"


@dataclass
class Relay:
    """A loopback relay that answers each command as told and keeps what it was sent."""

    replies: dict[str, str] = field(default_factory=dict)
    greeting: str = "220 relay ready"
    silent_after: str = ""
    got: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def handle(self, reader, writer):
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader, writer):
        async def say(text):
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        if self.silent_after == "greeting":
            await self.over.wait()
        await say(self.greeting)
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == self.silent_after:
                await self.over.wait()
            if verb == "DATA" and "DATA" not in self.replies:
                await say("354 go on")
                body = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.got.append(body.removesuffix(".\r\n"))
                await say(self.replies.get("BODY", "250 taken"))
            else:
                await say(self.replies.get(verb, "250 fine"))


@contextlib.asynccontextmanager
async def serving(relay, tls=None):
    server = await asyncio.start_server(relay.handle, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.over.set()
        server.close()


def smtp(port, **changes):
    fields = {
        "type": "smtp",
        "name": "contract",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "vedette@example.org",
        "recipients": ("oncall@example.org",),
        "allow_private": True,
        "timeout_s": 2.0,
        **changes,
    }
    return SmtpNotifier(SmtpSettings(**fields))


async def test_an_alert_arrives_as_a_message_with_its_id():
    async with serving(Relay()) as relay:
        assert await smtp(relay.port).notify(alert()) == Delivered()
    (text,) = relay.got
    message = message_from_string(text, policy=policy.default)
    assert message["Message-ID"] == f"<{alert().id}@vedette>"
    assert message["Subject"] == "[high] Model extraction on digits"
    body = message.get_content()
    assert alert().summary in body
    assert alert().recommended_action in body
    assert f"vedette alerts show {alert().id}" in body


def test_every_reply_code_has_its_outcome():
    for code in range(200, 600):
        outcome = outcome_of_code(code)
        if code < 400:
            assert outcome == Delivered()
        elif code < 500:
            assert outcome == RetryLater("slow_down" if code in {421, 450} else "server_error")
        elif code in {530, 534, 535, 538}:
            assert outcome == RetryLater("client_error")
        else:
            assert outcome == Permanent("refused_payload")


@pytest.mark.parametrize(
    ("verb", "reply", "outcome"),
    [
        ("MAIL", "451 try later", RetryLater("server_error")),
        ("RCPT", "450 busy", RetryLater("slow_down")),
        ("RCPT", "550 nobody", Permanent("refused_payload")),
        ("DATA", "554 no", Permanent("refused_payload")),
        ("BODY", "452 full", RetryLater("server_error")),
        ("BODY", "552 too large", Permanent("refused_payload")),
    ],
)
async def test_what_the_relay_answers_decides(verb, reply, outcome):
    async with serving(Relay(replies={verb: reply})) as relay:
        assert await smtp(relay.port).notify(alert()) == outcome


async def test_a_refused_connection_is_tried_again(unused_tcp_port):
    assert await smtp(unused_tcp_port).notify(alert()) == RetryLater("connection")


@pytest.mark.parametrize("silent_after", ["greeting", "MAIL"])
async def test_a_silent_relay_is_cut_off(silent_after):
    async with serving(Relay(silent_after=silent_after)) as relay:
        started_s = time.monotonic()
        outcome = await smtp(relay.port, timeout_s=0.2).notify(alert())
        assert outcome == RetryLater("timeout")
        assert time.monotonic() - started_s < 2


async def test_what_is_no_relay_is_tried_again():
    async with serving(Relay(greeting="SSH-2.0-OpenSSH")) as relay:
        outcome = await smtp(relay.port).notify(alert())
        assert outcome == RetryLater("connection")


async def test_an_unknown_certificate_is_refused_before_anything_is_sent(tmp_path):
    async with serving(Relay(), tls=self_signed(tmp_path)) as relay:
        assert await smtp(relay.port, security="tls").notify(alert()) == RetryLater("tls")
        assert relay.got == []


async def test_a_relay_without_starttls_gets_no_password():
    async with serving(Relay()) as relay:
        notifier = smtp(
            relay.port, security="starttls", username="me", password=SecretStr(PASSWORD)
        )
        assert isinstance(await notifier.notify(alert()), RetryLater)
        assert relay.got == []


async def test_a_private_relay_is_refused_unless_permitted():
    async with serving(Relay()) as relay:
        notifier = smtp(relay.port, security="starttls", allow_private=False)
        assert await notifier.notify(alert()) == RetryLater("address_refused")


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "me@example.org\r\nBcc: all@example.org"},
        {"recipients": ("nobody",)},
        {"allow_private": False},
        {"password": SecretStr(PASSWORD), "username": "me"},
    ],
)
def test_wrong_settings_are_refused_at_the_start(changes):
    with pytest.raises(ConfigError, match="smtp contract") as caught:
        smtp(25, **changes)
    assert_no_leak((PASSWORD,), [caught.value])


async def test_a_hostile_model_name_forges_no_header():
    nasty = alert(model="digits\r\nBcc: all@example.org\r\n\r\nhello")
    async with serving(Relay()) as relay:
        await smtp(relay.port).notify(nasty)
    message = message_from_string(relay.got[0], policy=policy.default)
    assert message["Bcc"] is None
    assert "digits" in message["Subject"]


async def test_no_failure_tells_the_password():
    async def sleep(_):
        await asyncio.sleep(0)

    async with serving(Relay(replies={"EHLO": f"535 {PASSWORD}"})) as relay:
        notifier = smtp(relay.port)
        with capture_logs() as logs:
            await RetryStage(notifier, (0.0,), sleep=sleep).deliver(alert())
            outcome = await notifier.notify(alert())
    assert_no_leak((PASSWORD,), [*logs, outcome, notifier])
