"""The jars of Kafka: each one pinned by version and SHA-256, fetched once, shared by all homes.

jgo's Python resolver fetches them, so neither Maven nor Java is needed for it. The checksums
are our own: what a repository serves is compared with what was tested.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from streams.broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KAFKA_VERSION = "4.1.1"

_LOCK_FILE = Path(__file__).with_name("jars.lock")
_COMPLETE = "complete"


class Jar(NamedTuple):
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the file, as Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"


def cache_dir() -> Path:
    """Return the directory of the jars, shared by every home of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vedette" / f"kafka-{KAFKA_VERSION}"


def locked_jars() -> tuple[Jar, ...]:
    """Read the lock file."""
    lines = _LOCK_FILE.read_text(encoding="utf-8").splitlines()
    return tuple(_parse(line) for line in lines if line and not line.startswith("#"))


def ensure_jars() -> Path:
    """Return the directory that holds every jar, fetching what is missing.

    Raises
    ------
    BrokerError
        If a jar cannot be fetched or is not the one that was pinned.
    """
    directory = cache_dir()
    jars = locked_jars()
    digest = hashlib.sha256(_LOCK_FILE.read_bytes()).hexdigest()
    marker = directory / _COMPLETE
    if (
        marker.is_file()
        and marker.read_text(encoding="utf-8") == digest
        and all((directory / jar.filename).is_file() for jar in jars)
    ):
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    for jar in _with_progress(jars):
        if not _is_good(directory / jar.filename, jar):
            _install(jar, directory)
    _replace(marker, digest.encode())
    return directory


def _parse(line: str) -> Jar:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def _with_progress(jars: Iterable[Jar]) -> Iterator[Jar]:
    from rich.console import Console  # noqa: PLC0415 - only on the first start
    from rich.progress import track  # noqa: PLC0415

    yield from track(
        list(jars),
        description=f"Fetching Apache Kafka {KAFKA_VERSION}",
        console=Console(stderr=True),
        transient=True,
    )


def _install(jar: Jar, directory: Path) -> None:
    source = _fetch(jar)
    if not _is_good(source, jar):
        raise BrokerError(
            f"{source} is not the {jar.filename} that is pinned (its SHA-256 differs); "
            "delete it and start again."
        )
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as temporary:
        shutil.copyfile(source, temporary.name)
    Path(temporary.name).replace(directory / jar.filename)


def _fetch(jar: Jar) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow, and only on the first start

    artifact = MavenContext(timeout=60).project(jar.group, jar.artifact).at_version(jar.version)
    try:
        return Path(artifact.artifact().resolve())
    except (RuntimeError, OSError, ValueError) as error:  # requests' errors are OSErrors
        raise BrokerError(
            f"{jar.filename} could not be fetched ({type(error).__name__}); check the network, "
            f"or put the jars listed in {_LOCK_FILE.name} into {cache_dir()}."
        ) from None


def _is_good(path: Path, jar: Jar) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
