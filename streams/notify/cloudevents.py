"""Alerts as CloudEvents 1.0 over HTTP, in binary or structured mode.

References
----------
cloudevents/spec, ``cloudevents/bindings/http-protocol-binding.md`` at v1.0.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from streams.notify.http_notifier import HttpNotifier

if TYPE_CHECKING:
    from config.respond import CloudEventsSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: Intermediaries must forward events of 64 KiB or less; larger ones may be refused.
MAX_BODY_BYTES = 64_000
SOURCE = "vedette/respond"

_encoder = msgspec.json.Encoder()


def attributes(alert: Alert) -> dict[str, str]:
    """Return the context attributes."""
    return {
        "specversion": "1.0",
        "id": alert.id,
        "source": SOURCE,
        "type": alert.type,
        "subject": alert.incident or alert.id,
        "time": alert.time,
    }


def structured_body(alert: Alert) -> bytes:
    """Return attributes and data in one JSON object."""
    return _encoder.encode(
        {**attributes(alert), "datacontenttype": "application/json", "data": alert}
    )


class CloudEventsNotifier(HttpNotifier):
    """Posts alerts to one endpoint.

    Parameters
    ----------
    settings
        Of the sink.

    Raises
    ------
    ConfigError
        If its URL may not be used.
    """

    def __init__(self, settings: CloudEventsSettings) -> None:
        super().__init__(settings, MAX_BODY_BYTES)
        self._token = settings.token
        self._structured = settings.mode == "structured"

    async def notify(self, alert: Alert) -> Outcome:
        """Post ``alert`` once."""
        encode = structured_body if self._structured else _encoder.encode
        return await self._post(alert, encode, lambda _body: self._headers(alert))

    def _headers(self, alert: Alert) -> dict[str, str]:
        headers = {}
        if self._structured:
            headers["Content-Type"] = "application/cloudevents+json"
        else:
            # Header values are ASCII; others are percent-encoded, as the binding says.
            headers = {
                f"ce-{name}": quote(value, safe=" !#$&'()*+,/:;=?@[]~")
                for name, value in attributes(alert).items()
            }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return headers
