"""What notifiers that post to one endpoint have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.notify.base import Permanent
from streams.notify.fit import fitting
from streams.notify.http import HttpSender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from config.respond import (
        AlertmanagerSettings,
        CloudEventsSettings,
        PagerDutySettings,
        SlackSettings,
        WebhookSettings,
    )
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

    HttpSettings = (
        AlertmanagerSettings
        | CloudEventsSettings
        | PagerDutySettings
        | SlackSettings
        | WebhookSettings
    )


class HttpNotifier:
    """Posts bodies that fit; each kind adds its ``notify``.

    Parameters
    ----------
    settings
        Of the sink. Its URL never appears in logs, errors or outcomes.
    max_body_bytes
        What the provider takes.

    Raises
    ------
    ConfigError
        If the URL may not be used.
    """

    def __init__(self, settings: HttpSettings, max_body_bytes: int) -> None:
        self.name = settings.name
        self._max_body_bytes = max_body_bytes
        self._http = HttpSender(
            f"{settings.type} {settings.name}",
            settings.url,
            timeout_s=settings.timeout_s,
            allow_private=settings.allow_private,
        )

    async def start(self) -> None:
        """Open the HTTP session; nothing is sent."""
        await self._http.start()

    async def close(self) -> None:
        """Close the HTTP session."""
        await self._http.close()

    async def _post(
        self,
        alert: Alert,
        encode: Callable[[Alert], bytes],
        headers: Callable[[bytes], Mapping[str, str]] = lambda _body: {},
        path: str = "",
    ) -> Outcome:
        """Post the alert, or a thinner form of it, once."""
        body = fitting(alert, encode, self._max_body_bytes, self.name)
        if body is None:
            return Permanent("refused_payload")
        return await self._http.post(body, headers(body), path)
