"""Names that came with traffic, made safe to show: bounded, one line, no control characters."""

from __future__ import annotations

import unicodedata

ELLIPSIS = "\u2026"
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(text: str, limit_chars: int = 64) -> str:
    r"""Return ``text`` without what could forge lines, colours or reading direction.

    Examples
    --------
    >>> shown("fraud\x1b[31m\nmodel")
    'fraud\ufffd[31m\ufffdmodel'
    """
    # Cut first: a hostile name may be megabytes long.
    cut = text[: limit_chars + 1]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(
            "\ufffd" if unicodedata.category(char) in _UNSAFE_CATEGORIES else char for char in cut
        )
    return cut if len(cut) <= limit_chars else cut[: limit_chars - 1] + ELLIPSIS
