"""Writes what a person says to the feedback topic; shared by the analyst's commands."""

from __future__ import annotations

import asyncio
import getpass
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from aiokafka.errors import KafkaError

from config.errors import ConfigError, Transient
from config.settings import load_settings
from streams.producer import send_once
from streams.respond.feedback import FEEDBACK_TYPE, Feedback
from streams.respond.times import iso
from streams.topics import FEEDBACK

if TYPE_CHECKING:
    from streams.respond.feedback import Verb

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
MAX_LENGTH_S = 366 * 86_400


def say(verb: Verb, target: str, **fields: Any) -> Feedback:
    """Write one statement and return it once the broker has it.

    Raises
    ------
    Transient
        If the broker cannot be reached.
    """
    feedback = Feedback(
        id=uuid.uuid4().hex,
        verb=verb,
        target=target,
        author=fields.pop("author", None) or getpass.getuser(),
        time=iso(datetime.now(UTC)),
        **fields,
    )
    try:
        asyncio.run(_write(feedback))
    except KafkaError as error:
        raise Transient(
            f"the broker did not take it ({type(error).__name__}); see `vedette broker status`"
        ) from None
    return feedback


def until(length: str) -> str:
    """Return when ``2h`` or ``7d`` from now is.

    Raises
    ------
    ConfigError
        If it is no length of time, or longer than a year.
    """
    number, unit = length[:-1], length[-1:]
    if unit in _UNITS_S and number.isascii() and number.isdigit() and len(number) < 9:
        seconds = int(number) * _UNITS_S[unit]
        if 0 < seconds <= MAX_LENGTH_S:
            return iso(datetime.now(UTC) + timedelta(seconds=seconds))
    raise ConfigError("a length of time is 30m, 2h, 7d or 4w, at most a year")


async def _write(feedback: Feedback) -> None:
    headers = [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_type", FEEDBACK_TYPE.encode()),
        ("ce_source", b"vedette/cli"),
        ("ce_id", feedback.id.encode()),
    ]
    value = msgspec.json.encode(feedback)
    kafka = load_settings().kafka
    await send_once(kafka, FEEDBACK, value, key=feedback.target.encode(), headers=headers)
