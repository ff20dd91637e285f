"""What people say back, one record each on ``vedette.feedback.v1``: a log, never edited."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from config.errors import PoisonRecord
from streams.respond.times import event_time

FEEDBACK_TYPE = "io.vedette.feedback.v1"

Verb = Literal[
    "ack", "resolve", "false_positive", "silence", "unsilence", "lift", "unlift", "judge"
]
Text = Annotated[str, Meta(max_length=400)]
Identity = Annotated[str, Meta(min_length=1, max_length=256)]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a person.

    ``target`` is an alert or incident (ack, resolve, false_positive), a silence (silence,
    unsilence) or a client's pseudonym (lift, unlift, judge). ``finding``, ``kind`` and
    ``detector`` let detection learn from a false positive.
    """

    id: Identity
    verb: Verb
    target: Identity
    author: Annotated[str, Meta(min_length=1, max_length=128)]
    time: str
    reason: Text = ""
    until: str | None = None
    action: Literal["watch", "throttle", "challenge", "block"] | None = None
    rule: Identity | None = None
    model: Identity | None = None
    client: Identity | None = None
    tenant: Identity | None = None
    finding: Identity | None = None
    kind: Identity | None = None
    detector: Identity | None = None


_decoder = msgspec.json.Decoder(Feedback)


def decode_feedback(value: bytes | None) -> Feedback:
    """Decode a record of the feedback topic.

    Raises
    ------
    PoisonRecord
        If it is none.
    """
    try:
        feedback = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PoisonRecord("bad_feedback", "the value does not follow feedback.v1") from None
    event_time(feedback.time)
    if feedback.until is not None:
        event_time(feedback.until)
    elif feedback.verb in ("silence", "lift", "judge"):
        raise PoisonRecord("bad_feedback", "a silence or override needs an end")
    return feedback
