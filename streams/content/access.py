"""Every access to kept content is a record of the audit trail, written before anything is read."""

from __future__ import annotations

import asyncio
import getpass
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec
from aiokafka.errors import KafkaError

from config.errors import PoisonRecord, VedetteError
from streams.producer import send_once
from streams.respond.times import event_time, iso, microseconds
from streams.store import ecs
from streams.store.row import Row
from streams.topics import ACCESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.settings import KafkaSettings

Action = Literal["content-access", "content-search", "content-erasure"]
#: More ids are counted, not listed.
MAX_IDS = 1000
_TYPES: dict[Action, str] = {
    "content-access": "access",
    "content-search": "access",
    "content-erasure": "deletion",
}
HEADERS = (
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_type", b"io.vedette.access.v1"),
    ("ce_source", b"vedette/cli"),
)

_encoder = msgspec.json.Encoder(order="sorted")


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who read or erased what content, and why; schema ``access.v1``."""

    id: str
    time: str
    action: Action
    user: str
    host: str
    reason: str
    count: int
    ids: tuple[str, ...] = ()
    query: dict[str, str] = {}


_decoder = msgspec.json.Decoder(Access)


class NotAudited(VedetteError):
    """An access could not be recorded, so there was none."""

    def __init__(self, error: str) -> None:
        super().__init__(
            f"Kafka did not take the record of this access ({error}), so nothing was read or "
            "erased; start the broker, or look at VEDETTE_KAFKA__BOOTSTRAP_SERVERS"
        )


def new_access(
    action: Action, reason: str, *, ids: Sequence[str] = (), query: Mapping[str, str] | None = None
) -> Access:
    """Return the record of an access by the user of this process, now."""
    return Access(
        id=f"access-{secrets.token_hex(12)}",
        time=iso(datetime.now(UTC)),
        action=action,
        user=getpass.getuser(),
        host=socket.gethostname(),
        reason=reason,
        count=len(ids),
        ids=tuple(ids[:MAX_IDS]),
        query=dict(query or {}),
    )


def record_access(access: Access, settings: KafkaSettings) -> None:
    """Return when Kafka holds the record.

    Raises
    ------
    NotAudited
        If it does not take it: then the access must not happen.
    """
    value = msgspec.json.encode(access)
    try:
        asyncio.run(send_once(settings, ACCESS, value, headers=HEADERS))
    except (KafkaError, OSError) as error:
        raise NotAudited(type(error).__name__) from None


def access_row(value: bytes | None, namespace: str = ecs.NAMESPACE) -> Row:
    """Return the row of a record.

    Raises
    ------
    PoisonRecord
        If it is none.
    """
    try:
        access = _decoder.decode(value or b"")
        time = event_time(access.time)
    except msgspec.DecodeError:
        raise PoisonRecord("bad_access", "the value does not follow access.v1") from None
    document = {
        "@timestamp": access.time,
        "data_stream": {"type": "logs", "dataset": ecs.AUDIT_DATASET, "namespace": namespace},
        "ecs": {"version": ecs.ECS_VERSION},
        "event": {
            "kind": "event",
            "category": ["database"],
            "type": [_TYPES[access.action]],
            "module": ecs.MODULE,
            "dataset": ecs.AUDIT_DATASET,
            "action": access.action,
            "id": access.id,
            "outcome": "success",
            "reason": access.reason,
        },
        "host": {"name": access.host},
        "message": f"{access.user} asked for the content of {access.count} records"
        if access.action != "content-erasure"
        else f"{access.user} destroyed keys of content",
        "related": {"user": [access.user]},
        "tags": ["content"],
        "user": {"name": access.user},
        "vedette": {
            "access": {"count": access.count, "ids": list(access.ids), "query": access.query}
        },
    }
    body = _encoder.encode(document)
    return Row(access.id, microseconds(time), "event", access.user, None, None, None, body)
