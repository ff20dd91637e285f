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
from streams.respond.explain import in_words

if TYPE_CHECKING:
    from config.respond import SlackSettings
    from streams.notify.base import Outcome
    from streams.respond.alerts import Alert

#: https://docs.slack.dev/reference/block-kit/blocks
MAX_HEADER_CHARS = 150
MAX_SECTION_CHARS = 3000
#: Not documented; messages near 13 k have been refused.
MAX_BODY_BYTES = 12_000

_encoder = msgspec.json.Encoder()


def slack_message(alert: Alert, name: str) -> dict[str, Any]:
    """Return the message; the same for the same alert."""
    header = f"{alert.severity.upper()}: {alert.title}"
    facts = {
        "Model": alert.model,
        "Who": _who(alert),
        "Since": alert.since,
        "Findings": f"{alert.findings_total:,}",
        "Why now": alert.reason,
        "Risk": str(alert.risk_score),
    }
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(cut(header, MAX_HEADER_CHARS, name))},
        {"type": "section", "text": _plain(cut(alert.summary, MAX_SECTION_CHARS, name))},
        {"type": "section", "fields": [_plain(f"{key}: {value}") for key, value in facts.items()]},
    ]
    if alert.held:
        lines = "\n".join(f"{item.severity}: {item.title} ({item.id})" for item in alert.held)
        blocks.append({"type": "section", "text": _plain(cut(lines, MAX_SECTION_CHARS, name))})
    if alert.explanation is not None:
        why = "\n".join(in_words(alert.explanation))
        blocks.append({"type": "section", "text": _plain(cut(why, MAX_SECTION_CHARS, name))})
    advice = f"{alert.recommended_action} {alert.runbook}"
    blocks.append({"type": "section", "text": _plain(cut(advice, MAX_SECTION_CHARS, name))})
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


def _who(alert: Alert) -> str:
    ids = alert.subject.ids
    first = ids[0] if ids else "-"
    more = alert.subjects_total - 1
    return f"{alert.subject.type} {first}" + (f" and {more:,} more" if more > 0 else "")


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
