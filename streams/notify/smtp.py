"""Alerts as e-mail through a relay, with TLS unless it is switched off for a private one.

References
----------
RFC 5321 reply codes: 4yz may pass, 5yz will not; RFC 5322 Message-ID.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from config.errors import ConfigError
from streams.notify.addresses import AddressRefusedError, is_public
from streams.notify.base import Delivered, Permanent, RetryLater
from streams.notify.fit import cut
from streams.respond.facts import facts
from streams.respond.times import event_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.respond import SmtpSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: RFC 5322 allows 998 octets a line; nobody reads more of a subject than this.
MAX_SUBJECT_CHARS = 150
MAX_BODY_CHARS = 50_000
_READY = 220
_AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})


def email_of(alert: Alert, sender: str, recipients: tuple[str, ...], name: str) -> EmailMessage:
    """Return the message; its id is that of the alert, so that repetitions thread or vanish."""
    message = EmailMessage()
    subject = f"[{alert.severity}] {alert.title}"
    message["Subject"] = cut(subject, MAX_SUBJECT_CHARS, name)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = format_datetime(event_time(alert.time))
    message["Message-ID"] = f"<{alert.id}@vedette>"
    message["References"] = f"<{alert.incident or alert.id}@vedette>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(cut("\n".join(_lines(alert)), MAX_BODY_CHARS, name))
    return message


def _lines(alert: Alert) -> Iterator[str]:
    yield alert.summary
    yield ""
    yield from map(str, facts(alert))
    for key, value in alert.evidence.items():
        yield f"Measured:   {key} = {value}"
    yield ""
    yield f"vedette alerts show {alert.id}"


class SmtpNotifier:
    """Sends alerts through one relay.

    Parameters
    ----------
    settings
        Of the sink; the password never appears in logs or errors.

    Raises
    ------
    ConfigError
        If an address could forge headers, or a password would travel in the clear.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.name = settings.name
        self._settings = settings
        where = f"smtp {settings.name}"
        for address in (settings.sender, *settings.recipients):
            if "@" not in address or not address.isprintable() or not address.isascii():
                raise ConfigError(f"{where}: an address is not one")
        if settings.security == "none" and not settings.allow_private:
            raise ConfigError(f"{where}: without TLS only private relays; set allow_private")
        if settings.security == "none" and settings.password is not None:
            raise ConfigError(f"{where}: a password needs TLS; set security")

    async def start(self) -> None:
        """Do nothing: each message has a connection of its own."""

    async def notify(self, alert: Alert) -> Outcome:
        """Send ``alert`` once."""
        settings = self._settings
        message = email_of(alert, settings.sender, settings.recipients, self.name)
        try:
            async with asyncio.timeout(settings.timeout_s):
                return await asyncio.to_thread(self._send, message)
        except TimeoutError:
            # The thread ends by itself: each of its steps has the same limit.
            return RetryLater("timeout")

    async def close(self) -> None:
        """Do nothing."""

    def _send(self, message: EmailMessage) -> Outcome:
        try:
            relay = self._connected()
            try:
                relay.send_message(message)
            finally:
                # What it says to a farewell changes nothing.
                with suppress(OSError, smtplib.SMTPException):
                    relay.quit()
                relay.close()
        except AddressRefusedError:
            return RetryLater("address_refused")
        except (smtplib.SMTPException, OSError) as error:
            return _outcome(error)
        # If some recipients were refused, the others have it: it is not sent again.
        return Delivered()

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context()
        factory = _CheckedSmtpTls if settings.security == "tls" else _CheckedSmtp
        options = {"context": context} if settings.security == "tls" else {}
        relay = factory(settings.allow_private, timeout=settings.timeout_s, **options)
        try:
            _expect_ready(relay.connect(settings.host, settings.port)[0])
            if settings.security == "starttls":
                relay.starttls(context=context)
            if settings.username is not None and settings.password is not None:
                relay.login(settings.username, settings.password.get_secret_value())
        except BaseException:
            with suppress(OSError, smtplib.SMTPException):
                relay.close()
            raise
        return relay


def _expect_ready(code: int) -> None:
    if code != _READY:
        raise smtplib.SMTPConnectError(code, "")


def _outcome(error: smtplib.SMTPException | OSError) -> Outcome:
    code = getattr(error, "smtp_code", None)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [status for status, _ in error.recipients.values()]
        code = max(codes, default=550)
    if isinstance(code, int) and code > 0:
        return outcome_of_code(code)
    if isinstance(error, ssl.SSLError):
        return RetryLater("tls")
    if isinstance(error, TimeoutError):
        return RetryLater("timeout")
    return RetryLater("connection")


def outcome_of_code(code: int) -> Outcome:
    """Sort a reply code of the relay."""
    if 200 <= code < 400:
        return Delivered()
    if code in {421, 450}:
        return RetryLater("slow_down")
    if 400 <= code < 500:
        return RetryLater("server_error")
    # A wrong password is a fault of the set-up; anything else is about this message.
    if code in _AUTHENTICATION_CODES:
        return RetryLater("client_error")
    return Permanent("refused_payload")


def checked_connection(
    host: str, port: int, timeout_s: float, *, allow_private: bool
) -> socket.socket:
    """Connect to an address that was checked after resolving.

    Raises
    ------
    AddressRefusedError
        If one of the host's addresses is not public.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(item[4][0]) for item in found]
    if not allow_private and not all(map(is_public, addresses)):
        raise AddressRefusedError
    return socket.create_connection((addresses[0], port), timeout_s)


class _CheckedSmtp(smtplib.SMTP):
    def __init__(self, allow_private: bool, *, timeout: float) -> None:  # noqa: FBT001
        self._allow_private = allow_private
        super().__init__(timeout=timeout)

    def connect(
        self,
        host: str = "localhost",
        port: int = 0,
        source_address: Any = None,
    ) -> tuple[int, bytes]:
        """Connect, and remember the name that the certificate must have."""
        self._host = host
        return super().connect(host, port, source_address)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return checked_connection(host, port, timeout, allow_private=self._allow_private)


class _CheckedSmtpTls(smtplib.SMTP_SSL):
    def __init__(self, allow_private: bool, *, timeout: float, context: ssl.SSLContext) -> None:  # noqa: FBT001
        self._allow_private = allow_private
        super().__init__(timeout=timeout, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = checked_connection(host, port, timeout, allow_private=self._allow_private)
        try:
            return self.context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
