"""Alerts as Standard Webhooks 1.0.0: a thin, signed JSON body to an https endpoint."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from yarl import URL

from config.errors import ConfigError
from streams.notify.addresses import AddressRefusedError, PublicResolver, is_public
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.retry_after import parse_retry_after
from streams.notify.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import WebhookSettings
    from streams.notify.base import Outcome, Reason
    from streams.respond.alerts import Alert

EVENT_TYPE = "vedette.alert.created"
#: The specification asks for less than 20 kB.
MAX_BODY_BYTES = 20_000
MAX_SUBJECTS = 8
USER_AGENT = "vedette/0.1"

#: Answers about this body alone. Other refusals (401, 404, a redirect ...) are faults of the
#: set-up that somebody can repair while the schedule runs.
_REFUSED_PAYLOAD = frozenset({400, 406, 411, 413, 414, 415, 422, 431})
_SLOW_DOWN = frozenset({408, 425, 429, 502, 503, 504})

_encoder = msgspec.json.Encoder()


class _Subject(msgspec.Struct, frozen=True):
    type: str
    ids: tuple[str, ...]
    total: int


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """The thin payload: enough to route and to look the alert up, no evidence."""

    id: str
    severity: str
    risk_score: int
    kind: str
    title: str
    summary: str
    model: str
    tenant: str | None
    subject: _Subject
    detector: str
    atlas: tuple[str, ...]
    owasp: tuple[str, ...]
    recommended_action: str
    runbook: str


class _Message(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: _Data


def webhook_body(alert: Alert) -> bytes:
    """Return the body; the same bytes for the same alert, so retries differ only in time."""
    data = _Data(
        id=alert.id,
        severity=alert.severity,
        risk_score=alert.risk_score,
        kind=alert.kind,
        title=alert.title,
        summary=alert.summary,
        model=alert.model,
        tenant=alert.tenant,
        subject=_Subject(
            alert.subject.type, alert.subject.ids[:MAX_SUBJECTS], alert.subjects_total
        ),
        detector=alert.detector,
        atlas=tuple(f"{entry.id}:{entry.edition}" for entry in alert.atlas[:MAX_SUBJECTS]),
        owasp=tuple(f"{entry.id}:{entry.edition}" for entry in alert.owasp[:MAX_SUBJECTS]),
        recommended_action=alert.recommended_action,
        runbook=alert.runbook,
    )
    return _encoder.encode(_Message(EVENT_TYPE, alert.time, data))


class WebhookNotifier:
    """Posts alerts to one endpoint.

    Parameters
    ----------
    settings
        The endpoint. Its URL and secret never appear in logs, errors or outcomes.
    clock
        Gives unix time; replaced by tests.

    Raises
    ------
    ConfigError
        If the URL is no https URL of a public host (``allow_private`` lifts both), or a
        secret has the wrong form.
    """

    def __init__(
        self, settings: WebhookSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = settings.name
        self._url = _checked_url(settings)
        self._signer = Signer(settings.secret.get_secret_value(), endpoint=settings.name)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._allow_private = settings.allow_private
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the HTTP session; nothing is sent."""
        resolver = None if self._allow_private else PublicResolver()
        # Each attempt resolves and checks again: no address cache, no connection kept.
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Content-Type": "application/json"},
            auto_decompress=False,
            trust_env=False,
        )

    async def notify(self, alert: Alert) -> Outcome:
        """Post ``alert`` once."""
        if self._session is None:
            await self.start()
        body = webhook_body(alert)
        if len(body) >= MAX_BODY_BYTES:
            return Permanent("refused_payload")
        headers = self._signer.headers(alert.id, int(self._clock()), body)
        try:
            return await self._post(body, headers)
        except (aiohttp.ClientError, OSError) as error:
            # The error's text names the URL: it goes no further.
            return RetryLater(_reason(error))

    async def _post(self, body: bytes, headers: dict[str, str]) -> Outcome:
        session = self._session
        if session is None:
            return RetryLater("connection")
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            # The body is not read: nothing in it changes the outcome.
            return outcome_of(
                response.status,
                response.headers.get("Retry-After"),
                datetime.fromtimestamp(self._clock(), UTC),
            )

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _reason(error: aiohttp.ClientError | OSError) -> Reason:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorDNSError) else error
    if isinstance(cause, AddressRefusedError):
        return "address_refused"
    if isinstance(cause, TimeoutError):
        return "timeout"
    return "tls" if isinstance(cause, aiohttp.ClientSSLError) else "connection"


def outcome_of(status: int, retry_after: str | None, now: datetime) -> Outcome:
    """Sort an HTTP status: only 2xx is success, redirects are never followed."""
    if 200 <= status < 300:
        return Delivered()
    if status == HTTPStatus.GONE:
        return Gone()
    if status in _REFUSED_PAYLOAD:
        return Permanent("refused_payload")
    after_s = parse_retry_after(retry_after, now)
    if status in _SLOW_DOWN:
        return RetryLater("slow_down", after_s)
    if status >= 500:
        return RetryLater("server_error", after_s)
    return RetryLater("redirect" if 300 <= status < 400 else "client_error", after_s)


def _checked_url(settings: WebhookSettings) -> URL:
    where = f"webhook {settings.name}"
    try:
        url = URL(settings.url.get_secret_value())
        host = url.host
    except ValueError:
        raise ConfigError(f"{where}: the URL cannot be parsed") from None
    if url.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{where}: the URL must be https://host/path")
    if settings.allow_private:
        return url
    if url.scheme != "https":
        raise ConfigError(f"{where}: the URL must be https, unless allow_private is set")
    # Address literals are not resolved, so the resolver would not see them.
    if _is_literal(host) and not is_public(host):
        raise ConfigError(
            f"{where}: the URL names an address that is not public; set allow_private to permit it"
        )
    return url


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
