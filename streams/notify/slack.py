"""Alerts to a Slack incoming webhook, as blocks; nothing that came with traffic is markup.

References
----------
docs.slack.dev: incoming webhooks, Block Kit limits, rate limits (one message a second).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.notify.fit import cut
from streams.notify.http_notifier import HttpNotifier
from streams.respond.facts import facts

if TYPE_CHECKING:
    from config.respond import SlackSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: https://docs.slack.dev/reference/block-kit/blocks
MAX_HEADER_CHARS = 150
MAX_SECTION_CHARS = 3000
#: Not documented; messages near 13 k have been refused.
MAX_BODY_BYTES = 12_000

_FIELDS = frozenset({"Why now", "Risk", "Who"})
#: Headings of each further section, in order.
_SECTIONS = (
    ("Held back",),
    ("What to do", "Runbook"),
    ("Why", "Technique", "Timeline", "Evidence"),
)
#: Of a field in a section.
MAX_FIELD_CHARS = 2000

_encoder = msgspec.json.Encoder()


def slack_message(alert: Alert, name: str) -> dict[str, Any]:
    """Return the message; the same for the same alert."""
    header = f"{alert.severity.upper()}: {alert.title}"
    told = list(facts(alert))
    short = [f"Model: {alert.model}", f"Since: {alert.since}"]
    short += [f"{fact.heading}: {fact.text}" for fact in told if fact.heading in _FIELDS]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(cut(header, MAX_HEADER_CHARS, name))},
        {"type": "section", "text": _plain(cut(alert.summary, MAX_SECTION_CHARS, name))},
        {"type": "section", "fields": [_plain(cut(text, MAX_FIELD_CHARS, name)) for text in short]},
    ]
    for headings in _SECTIONS:
        lines = "\n".join(str(fact) for fact in told if fact.heading in headings)
        if lines:
            blocks.append({"type": "section", "text": _plain(cut(lines, MAX_SECTION_CHARS, name))})
    blocks.append({"type": "context", "elements": [_plain(f"alert {alert.id}")]})
    return {"text": escaped(cut(header, MAX_HEADER_CHARS, name)), "blocks": blocks}


def escaped(text: str) -> str:
    """Escape what Slack would read as a mention, link or entity.

    Examples
    --------
    >>> escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _plain(text: str) -> dict[str, Any]:
    """Return a text object that is shown as it is: no mrkdwn, no emoji, no links."""
    return {"type": "plain_text", "text": text or "-", "emoji": False}


class SlackNotifier(HttpNotifier):
    """Posts alerts to one channel; its URL is the secret.

    Parameters
    ----------
    settings
        Of the sink.

    Raises
    ------
    ConfigError
        If its URL may not be used.
    """

    def __init__(self, settings: SlackSettings) -> None:
        super().__init__(settings, MAX_BODY_BYTES)

    async def notify(self, alert: Alert) -> Outcome:
        """Post ``alert`` once."""

        def encode(item: Alert) -> bytes:
            return _encoder.encode(slack_message(item, self.name))

        return await self._post(alert, encode)
