"""Masks personal data and secrets in texts, and counts what it masked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import re2

from streams.redact.patterns import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

Mode = Literal["mask", "drop", "off"]

#: ``params`` of an interaction: what was masked in a column, and how long a dropped text was.
MASKED_PARAM = "vedette.masked."
CHARS_PARAM = "vedette.chars."


class Hit(NamedTuple):
    """A place in the UTF-8 of a text."""

    start: int
    end: int
    kind: str


class Redactor:
    """Decides what is kept of a text.

    Parameters
    ----------
    mode
        ``mask`` keeps the text with what was found replaced, ``drop`` keeps no text but its
        length and counts, ``off`` keeps it as it is.

    Examples
    --------
    >>> Redactor("mask").apply("write to ann@example.org", "prompt")
    ('write to [email]', {'vedette.masked.prompt': 'email=1'})
    """

    def __init__(self, mode: Mode = "mask") -> None:
        self._mode = mode
        self._patterns = [re2.compile(kind.pattern.encode()) for kind in KINDS]
        # one pass over the text tells which patterns have to look for themselves
        self._any = re2.Set.SearchSet()
        for kind in KINDS:
            self._any.Add(kind.pattern.encode())
        self._any.Compile()

    def apply(
        self, text: str, column: str, *, keep: bool = False, chars: int | None = None
    ) -> tuple[str | None, dict[str, str]]:
        """Return what is kept of a text, and what there is to say of it.

        Parameters
        ----------
        text
            Prompt, completion or the like.
        column
            Its name.
        keep
            Whether the tenant allows texts to be kept; ``drop`` then masks.
        chars
            Length of the whole, if ``text`` is only the beginning of it.
        """
        if self._mode == "off":
            return text, {}
        data = text.encode()
        hits = self.find(data)
        notes = {MASKED_PARAM + column: _counted(hits)} if hits else {}
        if self._mode == "drop" and not keep:
            length = len(text) if chars is None else chars
            return None, {**notes, CHARS_PARAM + column: str(length)}
        return (_masked(data, hits) if hits else text), notes

    def mask(self, text: str) -> str:
        """Return a short text, such as an error, with what was found replaced."""
        if self._mode == "off":
            return text
        data = text.encode()
        hits = self.find(data)
        return _masked(data, hits) if hits else text

    def find(self, data: bytes) -> list[Hit]:
        """Return what there is in a text's UTF-8, in order, without overlaps."""
        hits: list[Hit] = []
        for number in sorted(self._any.Match(data) or ()):
            hits += self._find_kind(number, data)
        if len(hits) < 2:
            return hits
        return list(_without_overlaps(hits))

    def _find_kind(self, number: int, data: bytes) -> Iterable[Hit]:
        kind = KINDS[number]
        for match in self._patterns[number].finditer(data):
            group = match.re.groups
            start, end = match.span(group)
            if kind.length is not None:
                end = start + kind.length(data[start:end].decode("ascii", "replace"))
            if end > start:
                yield Hit(start, end, kind.name)


def _without_overlaps(hits: list[Hit]) -> Iterable[Hit]:
    """Keep the earlier of two that overlap; at the same place, the kind that comes first."""
    end = 0
    for hit in sorted(hits, key=lambda hit: hit.start):
        if hit.start >= end:
            end = hit.end
            yield hit


def _masked(data: bytes, hits: list[Hit]) -> str:
    parts: list[bytes] = []
    at = 0
    for hit in hits:
        parts += [data[at : hit.start], b"[%b]" % hit.kind.encode()]
        at = hit.end
    parts.append(data[at:])
    return b"".join(parts).decode()


def _counted(hits: list[Hit]) -> str:
    counts = Counter(hit.kind for hit in hits)
    return ",".join(f"{kind}={count}" for kind, count in sorted(counts.items()))
