"""Encrypts the texts of tenants that allow them to be kept, and opens them again.

AES-SIV (RFC 5297) gives the same bytes each time, so that a replay writes the same record; the
interaction's id is authenticated with it, so no text can be put under another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import InvalidTag

from config.errors import VedetteError
from streams.content.keys import ContentKeys
from streams.identity import known_as, load_pseudonyms
from streams.redact import Redactor

if TYPE_CHECKING:
    from config.settings import Settings

_COLUMNS = ("id", "time", "tenant", "client", "prompt", "completion")


class ContentDestroyed(VedetteError):
    """The key of a content is gone, and with it the content."""

    def __init__(self, epoch: str) -> None:
        super().__init__(f"the content was erased: its key of {epoch} is destroyed")


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said; ``cut``: it was longer than what is kept."""

    prompt: str | None = None
    completion: str | None = None
    cut: bool = False


class Kept(NamedTuple):
    """Columns of an audit frame: ids of keys, and what they encrypt."""

    key: pa.Array
    data: pa.Array


class Keeper:
    """Keeps content.

    Parameters
    ----------
    keys
        Of the clients and days.
    tenants
        Whose content may be kept, as records name them.
    max_chars
        Kept of one text.
    """

    def __init__(self, keys: ContentKeys, tenants: tuple[str, ...], max_chars: int) -> None:
        self._keys = keys
        self._tenants = pa.array(tenants, pa.string())
        self._max_chars = max_chars
        # Texts come masked by ingest, unless it was told not to: what is kept is masked always.
        self._redactor = Redactor("mask")

    def keep(self, batch: pa.RecordBatch) -> Kept:
        """Return the columns of interactions; null where nothing may be kept, or is there."""
        keys: list[str | None] = [None] * batch.num_rows
        data: list[bytes | None] = [None] * batch.num_rows
        allowed = pc.is_in(batch.column("tenant"), value_set=self._tenants)
        said = pc.or_(batch.column("prompt").is_valid(), batch.column("completion").is_valid())
        rows = pc.indices_nonzero(pc.and_(allowed, said))
        if len(rows):
            found = batch.select(_COLUMNS).take(rows).to_pylist()
            for row, record in zip(rows.to_pylist(), found, strict=True):
                keys[row], data[row] = self._encrypted(record)
        return Kept(pa.array(keys, pa.string()), pa.array(data, pa.binary()))

    def _encrypted(self, record: dict[str, Any]) -> tuple[str, bytes]:
        texts = [record["prompt"], record["completion"]]
        cut = any(text is not None and len(text) > self._max_chars for text in texts)
        prompt, completion = (self._masked(text) for text in texts)
        plain = msgspec.json.encode(Content(prompt, completion, cut))
        tenant, client = record["tenant"], record["client"]
        key = self._keys.make(tenant, client, record["time"].date().isoformat())
        return key.id, key.cipher.encrypt(plain, _bound(record["id"], tenant, client))

    def _masked(self, text: str | None) -> str | None:
        # Masked whole and cut after, or half a number would slip through at the end.
        return None if text is None else self._redactor.mask(text)[: self._max_chars]


def make_keeper(settings: Settings) -> Keeper | None:
    """Return the keeper that settings ask for, None if no tenant allows anything to be kept."""
    content = settings.content
    if not content.tenants:
        return None
    load_pseudonyms(settings)  # the first role of an installation makes the key
    tenants = [known for name in content.tenants for known in known_as(settings, "tenant", name)]
    return Keeper(ContentKeys(settings.content_keys), tuple(tenants), content.max_chars)


class _Id(msgspec.Struct):
    id: str


class _Sealed(msgspec.Struct):
    key: str
    data: bytes


class _Own(msgspec.Struct):
    content: _Sealed | None = None


class _Document(msgspec.Struct):
    event: _Id
    user: _Id
    vedette: _Own
    organization: _Id | None = None


def has_content(body: bytes) -> bool:
    """Say whether a document holds content, readable or not."""
    try:
        return msgspec.json.decode(body, type=_Document).vedette.content is not None
    except msgspec.DecodeError:
        return False


def open_content(body: bytes, keys: ContentKeys) -> Content | None:
    """Return the content of a document, None if it has none.

    Raises
    ------
    ContentDestroyed
        If its key is gone.
    VedetteError
        If it was changed, or belongs to another document.
    """
    try:
        document = msgspec.json.decode(body, type=_Document)
    except msgspec.DecodeError:
        return None
    sealed, tenant, client = document.vedette.content, document.organization, document.user.id
    if sealed is None or tenant is None:
        return None
    key = keys.find(tenant.id, client, sealed.key)
    if key is None:
        raise ContentDestroyed(sealed.key.partition(".")[0])
    try:
        plain = key.cipher.decrypt(sealed.data, _bound(document.event.id, tenant.id, client))
    except InvalidTag:
        raise VedetteError("the content is not what was kept under this id") from None
    return msgspec.json.decode(plain, type=Content)


def _bound(identity: str, tenant: str, client: str) -> list[bytes]:
    return [identity.encode(), tenant.encode(), client.encode()]
