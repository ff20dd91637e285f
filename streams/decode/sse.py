"""Server-sent events that were logged as one blob: from lines to a JSON array of their data.

References
----------
WHATWG HTML, section "Server-sent events", "Interpreting an event stream".
"""

from __future__ import annotations

from streams.decode.reasons import poison

#: What a stream may begin with; anything else is not one.
_BEGINNINGS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_DATA = b"data:"
MAX_CHUNKS = 1 << 16


def is_stream(body: bytes) -> bool:
    """Say whether a body is an event stream, by its first line."""
    return body.removeprefix(_BOM).lstrip().startswith(_BEGINNINGS)


def join_chunks(body: bytes) -> bytes:
    """Return the data of all events as one JSON array.

    A last event that was cut off, as of a caller who hung up, is left out.

    Raises
    ------
    PoisonRecord
        If there is no event, or too many.
    """
    text = body.removeprefix(_BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = _data_of(text)
    if events and not _whole(events[-1]):
        events.pop()
    chunks = [data for data in events if data != _DONE]
    if not chunks or len(chunks) > MAX_CHUNKS:
        raise poison("malformed_stream")
    return b"[" + b",".join(chunks) + b"]"


def _data_of(text: bytes) -> list[bytes]:
    """Return the data of each event; several data lines of one are joined by line feeds."""
    events: list[bytes] = []
    lines: list[bytes] = []
    for line in text.split(b"\n"):
        if line.startswith(_DATA):
            lines.append(line[len(_DATA) :].strip())
        elif not line.strip() and lines:
            events.append(b"\n".join(lines))
            lines = []
    if lines:
        events.append(b"\n".join(lines))
    return [data for data in events if data]


def _whole(data: bytes) -> bool:
    return data == _DONE or (data.startswith(b"{") and data.endswith(b"}"))
