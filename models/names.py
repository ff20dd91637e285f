"""Names of models as names of directories."""

from __future__ import annotations

import hashlib

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_MAX_LENGTH = 80


def directory_name(name: str) -> str:
    """Return a directory name for ``name``: itself where it is plain, else marked by a hash.

    Examples
    --------
    >>> directory_name("digits")
    'digits'
    >>> directory_name("../Org/Model")
    'org-model-4bd8a8e6'
    """
    lower = name.lower()
    if name == lower and set(name) <= _PLAIN and name[:1].isalnum() and len(name) <= _MAX_LENGTH:
        return name
    plain = "".join(letter if letter in _PLAIN else "-" for letter in lower).strip("-._")
    return f"{plain[:_MAX_LENGTH]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
