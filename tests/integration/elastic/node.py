"""A real Elasticsearch node: fetched from Maven, unpacked outside the project, never shipped.

The distribution is Elastic's own for integration tests: it has no bundled Java and few modules
(no processors, no ES|QL, no ``constant_keyword``); `adapted` brings our templates to the types it
has, and ``SetField.java`` is the one processor that our pipeline asks for.
"""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

from streams.broker.java import java_major
from streams.broker.ports import free_port
from tests.integration.elastic.plugin import KEY_STORE_ANALYSIS, SET_FIELD, install_plugin

VERSION = "9.5.0"
GROUP, ARTIFACT = "org.elasticsearch.distribution.integ-test-zip", "elasticsearch"
MIN_JAVA = 21
#: About ten seconds on a machine of its own, much more on a busy one.
START_S = 240.0
#: Types whose modules the node lacks, and what stands in for them.
STAND_INS = {
    "constant_keyword": "keyword",
    "wildcard": "keyword",
    "match_only_text": "text",
    "histogram": "flattened",
}


class NoNode(Exception):
    """There can be no node here."""


def find_jdk() -> Path:
    """Return the home of a full JDK of version 21 or newer."""
    homes = [os.environ.get(name) for name in ("ES_JAVA_HOME", "JAVA_HOME")]
    on_path = shutil.which("java")
    candidates = [Path(home) for home in homes if home]
    if on_path:
        candidates.append(Path(on_path).resolve().parents[1])
    for pattern in ("/usr/lib/jvm/*", "/opt/java/*", "/opt/jdk*"):
        root, _, name = pattern.rpartition("/")
        candidates += sorted(Path(root).glob(name))
    for home in candidates:
        # A jlinked runtime has no jmods and no release file with the vector module.
        full = (home / "bin" / "javac").is_file()
        if full and (java_major(home / "bin" / "java") or 0) >= MIN_JAVA:
            return home
    raise NoNode(f"no JDK {MIN_JAVA} or newer was found (JAVA_HOME, PATH, /usr/lib/jvm)")


def fetch() -> Path:
    """Return the distribution, downloading it once into the user's cache of Maven artifacts."""
    from jgo.maven import MavenContext

    component = MavenContext(timeout=240).project(GROUP, ARTIFACT).at_version(VERSION)
    try:
        path = Path(component.artifact(packaging="zip").resolve())
    except (RuntimeError, OSError, ValueError) as error:
        raise NoNode(
            f"the Elasticsearch node could not be fetched ({type(error).__name__})"
        ) from None
    if not zipfile.is_zipfile(path):
        raise NoNode(f"{path} is damaged; delete it")
    return path


class Node:
    """One node on loopback.

    Parameters
    ----------
    home
        An empty directory for everything of the node.
    settings
        Lines for ``elasticsearch.yml``.
    files
        Further files of its configuration.
    stores_keys
        Let it have what its store of API keys needs.
    """

    def __init__(
        self,
        home: Path,
        settings: dict[str, Any] | None = None,
        *,
        files: dict[str, bytes] | None = None,
        stores_keys: bool = False,
    ) -> None:
        self.home = home
        self.port = free_port()
        self._java = find_jdk()
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._unpack(fetch())
        for name, content in (files or {}).items():
            (self._root / "config" / name).write_bytes(content)
        for plugin in (SET_FIELD, *([KEY_STORE_ANALYSIS] if stores_keys else ())):
            install_plugin(self._root, self._java, VERSION, plugin)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def _scheme(self) -> str:
        secure = self._settings.get("xpack.security.http.ssl.enabled") == "true"
        return "https" if secure else "http"

    def start(self, extra: dict[str, Any] | None = None) -> None:
        """Start it, with further settings, and wait until it answers."""
        self._configure(extra or {})
        self._give_away()
        with (self.home / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._root / "bin" / "elasticsearch")],
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._user(),
            )
        deadline_s = time.monotonic() + START_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                tail = (self.home / "output.log").read_text(errors="replace")[-400:]
                self.kill()
                raise NoNode(f"the Elasticsearch node did not start: {tail}")
            time.sleep(0.25)

    def answers(self) -> bool:
        """Tell whether it answers; with security on, a refusal is an answer too."""
        connection: http.client.HTTPConnection
        if self._scheme == "https":
            unverified = ssl._create_unverified_context()  # noqa: S323 - only asks whether it is up
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=5, context=unverified
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_cluster/health")
            return connection.getresponse().status in (200, 401)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Kill -9, the launcher and the node itself."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "ES_JAVA_HOME": str(self._java),
            "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
            "HOME": str(self.home),
        }

    def _unpack(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as source:
            for item in source.infolist():
                path = source.extract(item, self.home)
                mode = item.external_attr >> 16
                if mode:
                    Path(path).chmod(mode | 0o600)
        (self._root,) = self.home.glob("elasticsearch-*")

    def _configure(self, extra: dict[str, Any]) -> None:
        lines = {
            "network.host": "127.0.0.1",
            "discovery.type": "single-node",
            "http.port": self.port,
            "transport.port": free_port(),
            "xpack.security.enabled": "false",
            "ingest.geoip.downloader.enabled": None,
            # A disk that is nearly full must not turn a test into something else.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **self._settings,
            **extra,
        }
        text = "".join(f"{name}: {value}\n" for name, value in lines.items() if value is not None)
        (self._root / "config" / "elasticsearch.yml").write_text(text)

    def _give_away(self) -> None:
        """Let the unprivileged user own what it runs from: it refuses to run as root."""
        if os.geteuid() != 0:
            return
        owner = pwd.getpwnam("nobody")
        for path in [self._root, *self._root.rglob("*")]:
            os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        self.home.chmod(0o755)

    def _user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        owner = pwd.getpwnam("nobody")
        return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def adapted(body: Any) -> Any:
    """Return a template with the types that the node lacks replaced."""
    if isinstance(body, list):
        return [adapted(item) for item in body]
    if not isinstance(body, dict):
        return body
    made = {name: adapted(value) for name, value in body.items()}
    kind = made.get("type")
    if isinstance(kind, str) and kind in STAND_INS:
        made["type"] = STAND_INS[kind]
    return made
