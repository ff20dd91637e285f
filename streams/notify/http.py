"""HTTP for every notifier that posts: checked addresses, no redirects, one table of outcomes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from config.errors import ConfigError
from streams.notify.addresses import AddressRefusedError, PublicResolver, is_public
from streams.notify.base import Delivered, Gone, Permanent, RetryLater
from streams.notify.retry_after import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretStr

    from streams.notify.base import Outcome, Reason

USER_AGENT = "vedette/0.1"

#: Answers about this body alone. Other refusals (401, 404, a redirect ...) are faults of the
#: set-up that somebody can repair while the schedule runs.
_REFUSED_PAYLOAD = frozenset({400, 406, 411, 413, 414, 415, 422, 431})
_SLOW_DOWN = frozenset({408, 425, 429, 502, 503, 504})


class HttpSender:
    """Posts bodies to one endpoint.

    Parameters
    ----------
    where
        Kind and name of the sink, for error messages: its URL never appears.
    url
        The endpoint.
    timeout_s
        Bound of a whole attempt.
    allow_private
        Permit http, and addresses that are not public.
    clock
        Gives unix time; replaced by tests.

    Raises
    ------
    ConfigError
        If the URL is no https URL of a public host (``allow_private`` lifts both).
    """

    def __init__(
        self,
        where: str,
        url: SecretStr,
        *,
        timeout_s: float,
        allow_private: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = checked_url(where, url, allow_private=allow_private)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._allow_private = allow_private
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

    async def post(self, body: bytes, headers: Mapping[str, str], path: str = "") -> Outcome:
        """Post once; ``path`` is appended to the URL's."""
        if self._session is None:
            await self.start()
        session = self._session
        if session is None:
            return RetryLater("connection")
        url = self._url / path if path else self._url
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                # The body is not read: nothing in it changes the outcome.
                return outcome_of(
                    response.status,
                    response.headers.get("Retry-After"),
                    datetime.fromtimestamp(self._clock(), UTC),
                )
        except (aiohttp.ClientError, OSError) as error:
            # The error's text names the URL: it goes no further.
            return RetryLater(failure_reason(error))

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def failure_reason(error: aiohttp.ClientError | OSError) -> Reason:
    """Sort what a connection failed of."""
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


def checked_url(where: str, secret: SecretStr, *, allow_private: bool) -> URL:
    """Return the URL of a sink.

    Raises
    ------
    ConfigError
        If it may not be used; the text does not repeat it.
    """
    try:
        url = URL(secret.get_secret_value())
        host = url.host
    except ValueError:
        raise ConfigError(f"{where}: the URL cannot be parsed") from None
    if url.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{where}: the URL must be https://host/path")
    if allow_private:
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
