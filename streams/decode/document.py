"""A JSON body that is parsed once, and then read as whatever formats want to see in it.

Formats look at the members of the parsed body and convert those that they know to their types,
with the rules of a typed decoder. A body that is never looked into is decoded straight to the
wanted type: long lists of numbers need no other pass.

Some bodies hold what cannot be parsed whole, as a number beyond a double in a member that nobody
reads. A model may have answered them all the same, so they are read too, from their text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from streams.decode.json_body import (
    check_utf8,
    decode_json,
    explain,
    is_all_of,
    refuse_duplicate_keys,
    refuse_equal_pairs,
    try_decode_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_ANY = msgspec.json.Decoder(Any)
_OBJECT = msgspec.json.Decoder(dict[str, Any])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NO_MEMBERS: Mapping[str, Any] = {}
_UNPARSED: Any = object()
_REFUSED: Any = object()


class Shape(Generic[T]):
    """A type that documents are read as.

    Parameters
    ----------
    type_
        The type, in msgspec's terms.
    """

    __slots__ = ("decoder", "type")

    def __init__(self, type_: Any) -> None:
        self.type = type_
        self.decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type_)


class Document(msgspec.Struct, gc=False, eq=False):
    """JSON that may come from anybody.

    Parameters
    ----------
    text
        How it is written; None of a member of a document that was parsed.
    value
        What it says, if it was parsed already.
    """

    text: bytes | None
    _value: Any = _UNPARSED
    _members: dict[str, Any] | None = None

    def parse(self) -> bool:
        """Parse an object, unless that was done; say whether it is known whole."""
        if self._value is _UNPARSED:
            try:
                self._value = _OBJECT.decode(self.text or b"")
            except (msgspec.DecodeError, RecursionError, ValueError):
                self._value = _REFUSED
        return self._value is not _REFUSED

    def is_null(self) -> bool:
        """Say whether it is a member that is null."""
        return self._value is None

    def as_text(self) -> str | None:
        """Return what a member says that is a text, None of anything else."""
        return self._value if isinstance(self._value, str) else None

    def members(self) -> Mapping[str, Any]:
        """Return the members of an object, none of anything else.

        Those that cannot be parsed are `msgspec.Raw`.

        Raises
        ------
        PoisonRecord
            If it is no JSON.
        """
        if self._value.__class__ is dict or self.parse():
            return self._value if isinstance(self._value, dict) else _NO_MEMBERS
        if self._members is None:
            raws = try_decode_json(_MEMBERS, self.text or b"") or {}
            self._members = {name: _parsed(raw) for name, raw in raws.items()}
        return self._members

    def member(self, name: str) -> Document | None:
        """Return a member of an object, None if it has none of that name.

        Raises
        ------
        PoisonRecord
            If it is no JSON.
        """
        found = self.members().get(name, _UNPARSED)
        if found is _UNPARSED:
            return None
        return Document(bytes(found)) if isinstance(found, msgspec.Raw) else Document(None, found)

    def read(self, shape: Shape[T]) -> T:
        """Return it as a type.

        Raises
        ------
        PoisonRecord
            If it is no JSON, or not of the type.
        """
        if self._value is _UNPARSED or self._value is _REFUSED:
            return decode_json(shape.decoder, self.text or b"")
        try:
            converted: T = msgspec.convert(self._value, shape.type)
        except msgspec.ValidationError as error:
            raise explain(error, b"") from None
        return converted

    def try_read(self, shape: Shape[T]) -> T | None:
        """Return it as a type; None if it is JSON of another one.

        Raises
        ------
        PoisonRecord
            If it is no JSON.
        """
        if self._value is _UNPARSED or self._value is _REFUSED:
            return try_decode_json(shape.decoder, self.text or b"")
        try:
            converted: T = msgspec.convert(self._value, shape.type)
        except msgspec.ValidationError:
            return None
        return converted

    def check_utf8(self) -> None:
        """Refuse what is not UTF-8, also in members that are ignored.

        Raises
        ------
        PoisonRecord
            With reason ``invalid_utf8``.
        """
        text = self.text
        if text is not None and not text.isascii() and not self.parse():  # which decodes all texts
            check_utf8(text)

    def check(self) -> None:
        """Check what no reading of members sees, as of a record of it alone.

        Raises
        ------
        PoisonRecord
            With reason ``invalid_utf8`` or ``duplicate_key``.
        """
        self.check_utf8()
        self.refuse_duplicates()

    def refuse_duplicates(self, members: int = -1) -> None:
        """Refuse objects with the same key twice, at any depth.

        Parameters
        ----------
        members
            How many distinct members were read of one that was never parsed, -1 if nobody counted.

        Raises
        ------
        PoisonRecord
            With reason ``duplicate_key``.
        """
        if self.text is None:
            return  # the document that it is a member of was checked
        if members >= 0 or not self.parse():
            refuse_duplicate_keys(self.text, members)
        elif not is_all_of(self._value, self.text):
            refuse_equal_pairs(self.text)


def _parsed(raw: msgspec.Raw) -> Any:
    """Return what a member says, or itself if it cannot be parsed."""
    try:
        return _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return raw
