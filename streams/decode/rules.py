"""Where a source says who called: rules that are tried in order, the first value counts.

A rule is ``header:NAME``, ``attribute:NAME`` (of the CloudEvent), ``metadata:NAME`` (a header
in KServe's metadata), ``body:a.b`` (a member of the JSON body) or ``key`` (the record's).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace

from config.errors import PoisonRecord
from streams.decode.document import Document, Shape
from streams.decode.headers import metadata_of
from streams.decode.reasons import poison
from streams.identity import forwarded_address

if TYPE_CHECKING:
    from config.settings import SourceSettings
    from streams.decode.event import Event
    from streams.roles.base import Record

Rules = tuple[str, ...]

_MAX_FORWARDED_BYTES = 4096
_VALUE = Shape[str | int | list[str]](str | int | list[str])


class IdentityRules:
    """Rules of one source.

    Parameters
    ----------
    client, tenant, key, network, user_agent
        Where each of them stands; empty leaves what the format says.
    trusted_hops
        Proxies of one's own that appended their peer to ``x-forwarded-for``. What stands left
        of their entries was written by the caller.
    """

    def __init__(
        self,
        *,
        client: Rules = (),
        tenant: Rules = (),
        key: Rules = (),
        network: Rules = (),
        user_agent: Rules = (),
        trusted_hops: int = 0,
    ) -> None:
        texts = {"client": client, "tenant": tenant, "keyid": key, "useragent": user_agent}
        self._texts = {name: rules for name, rules in texts.items() if rules}
        self._network = network
        self._hops = trusted_hops

    @classmethod
    def of(cls, source: SourceSettings) -> IdentityRules | None:
        """Return the rules of a source, None if it has none."""
        if not (source.client or source.tenant or source.key or source.network):
            return None
        return cls(
            client=source.client,
            tenant=source.tenant,
            key=source.key,
            network=source.network,
            trusted_hops=source.trusted_hops,
        )

    def apply(self, event: Event, record: Record, limit: int) -> Event:
        """Put what the rules find into the event, and return it; what they do not find stays.

        Raises
        ------
        PoisonRecord
            If a value is too long or not UTF-8.
        """
        places = _Places(event, record)
        found = {
            name: value
            for name, rules in self._texts.items()
            if (value := places.first(rules, limit))
        }
        if self._network:
            text = places.first(self._network, _MAX_FORWARDED_BYTES)
            address = forwarded_address(text, self._hops) if text else None
            if address:
                found["clientip"] = address
        if found:
            event.attributes = replace(event.attributes, **found)
        return event


class _Places:
    """Where the rules may look, read once a record."""

    def __init__(self, event: Event, record: Record) -> None:
        self._event = event
        self._record = record
        self._headers: dict[str, bytes] = {}
        for name, value in reversed(record.headers):  # the first of a name counts
            if value is not None:
                self._headers[name.lower()] = value

    @cached_property
    def _metadata(self) -> dict[str, str]:
        return metadata_of(self._headers)

    def first(self, rules: Rules, limit: int) -> str | None:
        """Return the first value that a rule finds.

        Raises
        ------
        PoisonRecord
            If it is too long or not UTF-8.
        """
        for rule in rules:
            kind, _, name = rule.partition(":")
            value = self._look_up(kind, name)
            if value:
                if len(value) > limit:
                    raise poison("attribute_too_long")
                return value
        return None

    def _look_up(self, kind: str, name: str) -> str | None:
        if kind == "key":
            return (self._record.key or b"").decode("utf-8", "backslashreplace")
        if kind == "body":
            return member(self._event.document, name)
        name = name.lower()
        if kind == "metadata":
            return self._metadata.get(name)
        if kind == "attribute":
            found = self._header(f"ce_{name}") or self._header(f"ce-{name}")
            return found or getattr(self._event.attributes, name, None)
        return self._header(name)

    def _header(self, name: str) -> str | None:
        value = self._headers.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise poison("invalid_utf8") from None


def member(body: Document | None, path: str) -> str | None:
    """Return a text or number of a JSON body by the names that lead to it, joined by dots.

    Of a list it is the first text. Bodies that are no JSON objects have no members.
    """
    try:
        for name in path.split("."):
            body = None if body is None else body.member(name)
        value = None if body is None else body.read(_VALUE)
    except PoisonRecord:
        return None
    if isinstance(value, list):
        return value[0] if value else None
    return None if value is None else str(value)
