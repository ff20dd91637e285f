"""What ``vedette audit`` does with kept content: each time the access is recorded first."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from config.errors import ConfigError
from config.settings import load_settings
from streams.cli.view import audit_reader
from streams.content.access import new_access, record_access
from streams.content.keeper import ContentDestroyed, has_content, open_content
from streams.content.keys import ContentKeys
from streams.ledger.note import ensure_signer
from streams.respond.text import shown
from streams.store.logs import Logs, SegmentRules
from streams.store.sqlite import AuditWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from streams.content.keeper import Content
    from streams.store.erasure import Erasure
    from streams.store.search import Document, Query

#: Documents that one search decrypts, the newest that match its other filters.
MAX_DECRYPTED = 10_000


def print_content(identity: str, reason: str) -> None:
    """Print what was kept of a document, after recording that it was read."""
    settings = _readable(reason)
    with audit_reader() as reader:
        document = reader.get(identity)
    if document is None or not has_content(document.body):
        raise ConfigError(f"no content is kept under the id {shown(identity, 128)}")
    record_access(new_access("content-access", reason, ids=[identity]), settings.kafka)
    content = open_content(document.body, ContentKeys(settings.content_keys))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")


def search_content(query: Query, words: str, reason: str, limit: int) -> list[Document]:
    """Return the newest documents whose content has words, after recording which were read.

    The words go into no record: they may be what somebody said.
    """
    settings = _readable(reason)
    with audit_reader() as reader:
        newest = reader.search(replace(query, limit=MAX_DECRYPTED))
    held = [document for document in newest if has_content(document.body)]
    filters = {
        name: str(value)
        for name, value in asdict(query).items()
        if value is not None and name != "limit"
    }
    ids = [document.event_id for document in held]
    record_access(new_access("content-search", reason, ids=ids, query=filters), settings.kafka)
    keys = ContentKeys(settings.content_keys)
    found = [document for document in held if _has(document, words.casefold(), keys)]
    return found[: max(0, limit)]


def erase_content(erasures: Sequence[Erasure]) -> None:
    """Destroy keys, and in the embedded store bodies; say how much.

    Several erasures are one of somebody who has several pseudonyms.
    """
    settings = load_settings()
    embedded = settings.index.store == "sqlite"
    keys = ContentKeys(settings.content_keys)
    if settings.content_keys.is_dir():
        who = {"client": erasures[0].client, "tenant": erasures[0].tenant}
        # Whose content it was is not told, only what kind of erasure it is.
        kinds = {name: "one" for name, value in who.items() if value is not None}
        record_access(new_access("content-erasure", "request", query=kinds), settings.kafka)
    elif not embedded:
        raise ConfigError(
            f"there are no keys of content at {settings.content_keys}: run this where `detect` "
            "runs; documents in Elasticsearch go by its retention"
        )
    count = sum(_destroyed(keys, erasure) for erasure in erasures)
    sys.stdout.write(f"{count:,} keys of kept content were destroyed\n")
    if embedded:
        sys.stdout.write(f"the content of {_emptied(settings, erasures):,} documents was erased\n")


def _destroyed(keys: ContentKeys, erasure: Erasure) -> int:
    if erasure.before_us is None:
        return keys.destroy(client=erasure.client, tenant=erasure.tenant)
    if erasure.client is not None:
        return 0  # a key holds all of a client's content: only bodies can go by their time
    before = datetime.fromtimestamp(erasure.before_us / 1e6, UTC).date()
    return keys.expire(before, tenant=erasure.tenant)


def _emptied(settings: Settings, erasures: Sequence[Erasure]) -> int:
    if not settings.audit_database.is_file():
        raise ConfigError(f"there is no audit database at {settings.audit_database}")
    signer = ensure_signer(settings.checkpoint_key, settings.index.log_name)
    logs = Logs(settings.index.log_name, signer, SegmentRules())
    writer = AuditWriter(settings.audit_database, logs=logs)
    writer.open()
    try:
        return sum(writer.erase(erasure).result() for erasure in erasures)
    finally:
        writer.close()


def _readable(reason: str) -> Settings:
    if not reason.strip():
        raise ConfigError("say with --reason why content has to be read; it goes into the trail")
    settings = load_settings()
    if not settings.content_keys.is_dir():
        raise ConfigError(
            f"there are no keys of content at {settings.content_keys}: run this where `detect` "
            "runs, as somebody who may read them"
        )
    return settings


def _has(document: Document, words: str, keys: ContentKeys) -> bool:
    try:
        content = open_content(document.body, keys)
    except ContentDestroyed:
        return False
    return content is not None and words in _text(content)


def _text(content: Content) -> str:
    return f"{content.prompt or ''}\n{content.completion or ''}".casefold()
