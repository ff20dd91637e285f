"""Brings the content into a Kibana."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from config.errors import ConfigError, VedetteError
from streams.elastic.client import secret
from streams.kibana.api import SINCE, dashboard_bodies
from streams.kibana.objects import ndjson, saved_objects
from streams.kibana.rule import detection_rule

if TYPE_CHECKING:
    from config.settings import KibanaSettings

OLDEST = (8, 9)
#: The body is not what this version expects, or there is no such API here.
_OTHER_FORM = frozenset({400, 404})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class KibanaUnavailable(VedetteError):
    """Kibana does not answer as it should; the text says what to look at."""


class Installed(NamedTuple):
    """What was imported; ``by_api``: dashboards that came by their own API."""

    version: str
    objects: int
    rules: int
    by_api: int


async def install(settings: KibanaSettings) -> Installed:
    """Import data views, searches, dashboards and the detection rule, replacing older ones.

    Raises
    ------
    KibanaUnavailable
        If Kibana cannot be reached, is too old, or refuses.
    """
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
    try:
        async with aiohttp.ClientSession(headers=_headers(settings), timeout=timeout) as session:
            kibana = _Kibana(session, settings)
            version = await kibana.version()
            by_api = await _put_dashboards(kibana) if _parts(version) >= SINCE else 0
            objects = [
                item for item in saved_objects() if not (by_api and item["type"] == "dashboard")
            ]
            await kibana.upload(
                "/api/saved_objects/_import?overwrite=true", "vedette.ndjson", ndjson(objects)
            )
            await kibana.upload(
                "/api/detection_engine/rules/_import?overwrite=true",
                "rules.ndjson",
                ndjson([detection_rule()]),
            )
            return Installed(version, len(objects), 1, by_api)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise KibanaUnavailable(
            f"Kibana cannot be reached ({type(error).__name__}); look at VEDETTE_KIBANA__URL"
        ) from None


async def _put_dashboards(kibana: _Kibana) -> int:
    """Bring the dashboards by their API; return 0 if this Kibana does not take their form."""
    bodies = dashboard_bodies()
    for identity, body in bodies.items():
        if not await kibana.put(f"/api/dashboards/{identity}", body):
            return 0  # the import, which comes next, replaces those that it took
    return len(bodies)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


class _Kibana:
    """The few calls that are needed."""

    def __init__(self, session: aiohttp.ClientSession, settings: KibanaSettings) -> None:
        self._session = session
        space = "" if settings.space == "default" else f"/s/{settings.space}"
        self._base = settings.url.rstrip("/")
        self._space = self._base + space
        self._tls: ssl.SSLContext | bool = True
        if settings.ca_file is not None:
            self._tls = ssl.create_default_context(cafile=str(settings.ca_file))

    async def version(self) -> str:
        """Return the version; refuse one that is too old for the objects."""
        async with self._session.get(
            f"{self._base}/api/status", ssl=self._tls, allow_redirects=False
        ) as answer:
            body = await _decoded(answer)
        version = str(body.get("version", {}).get("number", ""))
        if _parts(version) < OLDEST:
            raise KibanaUnavailable(
                f"Kibana is version {version or 'unknown'}; 8.9 or newer is needed"
            )
        return version

    async def put(self, path: str, body: dict[str, Any]) -> bool:
        """Create or replace; False if the form of the body is refused."""
        async with self._session.put(
            self._space + path, json=body, ssl=self._tls, allow_redirects=False
        ) as answer:
            if answer.status in _OTHER_FORM:
                return False
            await _decoded(answer, (200, 201))
        return True

    async def upload(self, path: str, name: str, content: bytes) -> None:
        """Import a file."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name, content_type="application/ndjson")
        async with self._session.post(
            self._space + path, data=form, ssl=self._tls, allow_redirects=False
        ) as answer:
            body = await _decoded(answer)
        failures = body.get("errors") or []
        if not body.get("success", True) or failures:
            raise KibanaUnavailable(f"Kibana did not take {len(failures)} objects of {name}")


def _headers(settings: KibanaSettings) -> dict[str, str]:
    headers = {"kbn-xsrf": "true"}
    key = secret(settings.api_key, settings.api_key_file, "VEDETTE_KIBANA__API_KEY_FILE")
    if key is not None:
        parts = urlsplit(settings.url)
        private = settings.unsafe_http or parts.hostname in _LOOPBACK
        if parts.scheme == "http" and not private:
            raise ConfigError(
                "an API key is not sent over http to another host; use https, or, in a private "
                "network, VEDETTE_KIBANA__UNSAFE_HTTP"
            )
        headers["Authorization"] = f"ApiKey {key}"
    return headers


async def _decoded(
    answer: aiohttp.ClientResponse, expected: tuple[int, ...] = (200,)
) -> dict[str, Any]:
    if answer.status in (401, 403):
        raise KibanaUnavailable(
            f"Kibana refuses the API key (status {answer.status}); look at VEDETTE_KIBANA__API_KEY"
        )
    if answer.status not in expected:
        raise KibanaUnavailable(f"Kibana answered {answer.status}")
    try:
        body = await answer.json()
    except (ValueError, aiohttp.ContentTypeError):
        raise KibanaUnavailable("what answers is no Kibana") from None
    return body if isinstance(body, dict) else {}
