"""JSON that may come from anybody: every failure becomes a named reason.

msgspec decodes straight into the types that are wanted and ignores other members. Of duplicate
keys it silently takes the last, so a monitor could be shown another request than the model
saw. `refuse_duplicate_keys` closes that gap exactly, and is cheap for the usual event: every
member of an object has one colon outside of strings. If a body has no more colons than
members (and colons inside strings) were decoded, there is no room for a duplicate. Otherwise
what was decoded is encoded again, which drops a duplicate together with its colon: the same
bytes, or as many colons as before, mean that nothing was dropped. Only where that fails, or where
an escape hides a colon, the text is parsed once more with a hook that sees all pairs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from streams.decode.reasons import poison

if TYPE_CHECKING:
    from config.errors import PoisonRecord

T = TypeVar("T")
Body = bytes | msgspec.Raw

_ANY = msgspec.json.Decoder()
#: A colon that is written as an escape: it would be a plain one when encoded again.
_MAY_BE_COLON = rb"\u003"
_HIDDEN_COLONS = (rb"\u003a", rb"\u003A")
_COLON = ord(":")
#: From so many bytes on NumPy counts faster than `bytes.count`.
_LONG_BYTES = 4096


def decode_json(decoder: msgspec.json.Decoder[T], body: Body) -> T:
    """Decode ``body``; every failure is a `PoisonRecord`.

    Raises
    ------
    PoisonRecord
        If the body is not JSON or not of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise explain(error, body) from None


def try_decode_json(decoder: msgspec.json.Decoder[T], body: Body) -> T | None:
    """Decode ``body``; None if it is JSON of another shape.

    Raises
    ------
    PoisonRecord
        If the body is not JSON.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise explain(error, body) from None


def explain(error: Exception, body: Body) -> PoisonRecord:
    """Name the reason of a decoder's failure."""
    if isinstance(error, RecursionError):
        return poison("too_deep")
    if isinstance(error, UnicodeError):
        return poison("invalid_utf8")
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        return poison(_invalid(text))
    return poison(_malformed(text, bytes(memoryview(body))))


def _invalid(text: str) -> str:
    if "out of range" not in text:
        return "wrong_type"
    return "non_finite" if "Number" in text else "int_out_of_range"


def _malformed(text: str, body: bytes) -> str:
    if not body.strip():
        return "empty_body"
    if "truncated" in text:
        return "truncated_json"
    literal = b"NaN" in body or b"Infinity" in body
    return "non_finite" if literal and "invalid character" in text else "malformed_json"


def check_utf8(body: bytes) -> None:
    """Refuse what is not UTF-8, also in members that are ignored.

    Raises
    ------
    PoisonRecord
        With reason ``invalid_utf8``.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise poison("invalid_utf8") from None


def refuse_duplicate_keys(body: bytes, members: int) -> None:
    """Refuse objects with the same key twice, at any depth.

    Parameters
    ----------
    body
        JSON that msgspec has accepted.
    members
        How many distinct members were decoded from it, -1 if nobody counted.

    Raises
    ------
    PoisonRecord
        With reason ``duplicate_key``.
    """
    if _count_colons(body) == members and b"\\" not in body:
        return
    try:
        value = _ANY.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        refuse_equal_pairs(body)
    else:
        if not is_all_of(value, body):
            refuse_equal_pairs(body)


def is_all_of(value: Any, body: bytes) -> bool:
    """Say whether a value is surely all that a body says, with no duplicate dropped.

    Parameters
    ----------
    value
        What ``body`` was decoded to.
    body
        JSON.
    """
    try:
        again = msgspec.json.encode(value)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError):
        return False
    if again == body:
        return True
    if b"\\" in body and _MAY_BE_COLON in body and any(colon in body for colon in _HIDDEN_COLONS):
        return False
    if len(body) < _LONG_BYTES:
        return again.count(b":") == body.count(b":")
    return _count_colons(again) == _count_colons(body)


def refuse_equal_pairs(body: bytes) -> None:
    """Refuse duplicate keys by looking at all pairs, which is slow.

    Raises
    ------
    PoisonRecord
        With reason ``duplicate_key``.
    """
    try:
        json.loads(body, object_pairs_hook=_distinct, parse_int=len, parse_float=len)
    except RecursionError:
        raise poison("too_deep") from None
    except ValueError:
        raise poison("malformed_json") from None


def _count_colons(text: bytes) -> int:
    if len(text) < _LONG_BYTES:
        return text.count(b":")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON))


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise poison("duplicate_key")
