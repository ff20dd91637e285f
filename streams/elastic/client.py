"""Clients of Elasticsearch as the settings describe it.

They retry nothing by themselves: one layer, ours, owns the back-off.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from elastic_transport import ConnectionError as ElasticConnectionError
from elasticsearch import ApiError, AsyncElasticsearch, Elasticsearch, UnsupportedProductError

from config.errors import ConfigError
from streams.elastic.errors import AccessRefused, ElasticUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import SecretStr

    from config.settings import ElasticSettings

# It writes a line for every failed attempt; whoever waits says so once.
logging.getLogger("elastic_transport.node_pool").setLevel(logging.ERROR)

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def make_client(settings: ElasticSettings) -> AsyncElasticsearch:
    """Return a client for the event loop; close it."""
    return AsyncElasticsearch(**_options(settings))


@contextlib.contextmanager
def open_client(settings: ElasticSettings) -> Iterator[Elasticsearch]:
    """Give a client for commands, and put its errors into words.

    Raises
    ------
    ElasticUnavailable
        If Elasticsearch does not answer or refuses.
    AccessRefused
        If the API key is refused.
    """
    client = Elasticsearch(**_options(settings))
    try:
        yield client
    except UnsupportedProductError:
        raise ElasticUnavailable("what answers is no Elasticsearch") from None
    except ElasticConnectionError as error:
        raise ElasticUnavailable(
            f"Elasticsearch cannot be reached ({type(error).__name__}); look at "
            "VEDETTE_ELASTIC__URLS and, for https, VEDETTE_ELASTIC__CA_FILE"
        ) from None
    except ApiError as error:
        if error.status_code in (401, 403):
            raise AccessRefused(error.status_code) from None
        raise ElasticUnavailable(
            f"Elasticsearch answered {error.status_code} ({error_type(error)})"
        ) from None
    finally:
        client.close()


def error_type(error: ApiError) -> str:
    """Return Elasticsearch's name of an error; its reason may hold content."""
    found = error.body.get("error") if isinstance(error.body, dict) else None
    kind = found.get("type") if isinstance(found, dict) else None
    return str(kind)[:100] if kind else "unknown"


def secret(direct: SecretStr | None, file: Path | None, name: str) -> str | None:
    """Return a secret from its variable or its file.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    if direct is not None:
        return direct.get_secret_value() or None  # a compose file passes on what is empty
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"the file that {name} names cannot be read") from None


def _options(settings: ElasticSettings) -> dict[str, Any]:
    key = secret(settings.api_key, settings.api_key_file, "VEDETTE_ELASTIC__API_KEY_FILE")
    if key is not None and not settings.unsafe_http:
        _refuse_clear_text(settings)
    options: dict[str, Any] = {
        "hosts": list(settings.urls),
        "api_key": key,
        "request_timeout": settings.timeout_s,
        "max_retries": 0,
        "retry_on_timeout": False,
        "retry_on_status": (),
        "http_compress": True,
        "opaque_id": "vedette",
    }
    if any(url.startswith("https:") for url in settings.urls):
        options.update(_tls(settings))
    return options


def _tls(settings: ElasticSettings) -> dict[str, Any]:
    if settings.unsafe_no_verify:
        return {"verify_certs": False, "ssl_show_warn": False}
    options: dict[str, Any] = {}
    if settings.ca_file is not None:
        options["ca_certs"] = str(settings.ca_file)
    if settings.fingerprint is not None:
        options["ssl_assert_fingerprint"] = settings.fingerprint
    return options


def _refuse_clear_text(settings: ElasticSettings) -> None:
    for url in settings.urls:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ConfigError(
                "an API key is not sent over http to another host; use https in "
                "VEDETTE_ELASTIC__URLS, or, in a private network, VEDETTE_ELASTIC__UNSAFE_HTTP"
            )
