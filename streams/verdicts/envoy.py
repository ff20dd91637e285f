"""Blocked clients as an RBAC filter that Envoy reads from a file and swaps without a restart.

Envoy's HTTP filter names the file as its configuration source (extension config discovery with
``path_config_source``) and watches it for moves, so each version is written whole and renamed.
A filter before it must put the client's pseudonym into the header.

References
----------
envoyproxy.io: ``envoy.config.core.v3.PathConfigSource``, ``envoy.extensions.filters.http.rbac.v3``.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

log = structlog.get_logger(__name__)

RESOURCE = "vedette"
#: Envoy walks the list for each request; beyond this use the lookup service.
MAX_CLIENTS = 10_000
_RBAC = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_TYPED = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


def discovery_response(clients: Iterable[str], header: str) -> dict[str, Any]:
    """Return the resource; its version is a hash of the list."""
    # Not `sorted`: it would keep look-ups waiting while it sorts a million.
    blocked = heapq.nsmallest(MAX_CLIENTS, clients)
    principals = [
        {"header": {"name": header, "string_match": {"exact": client}}} for client in blocked
    ]
    rules: dict[str, Any] = {"action": "DENY", "policies": {}}
    if principals:
        rules["policies"] = {RESOURCE: {"permissions": [{"any": True}], "principals": principals}}
    version = hashlib.sha256("\n".join(blocked).encode()).hexdigest()[:16]
    return {
        "version_info": version,
        "resources": [
            {
                "@type": _TYPED,
                "name": RESOURCE,
                "typed_config": {"@type": _RBAC, "rules": rules},
            }
        ],
    }


class EnvoyFile:
    """Writes the file when the list has changed.

    Parameters
    ----------
    path
        Where Envoy looks.
    header
        That carries the client's pseudonym.
    """

    def __init__(self, path: Path, header: str) -> None:
        self._path = path
        self._header = header
        self._version = ""

    def write(self, clients: Collection[str]) -> bool:
        """Replace the file atomically; true if it had to be."""
        response = discovery_response(clients, self._header)
        if response["version_info"] == self._version and self._path.exists():
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(response), indent=2))
        temporary.replace(self._path)
        self._version = response["version_info"]
        if len(clients) > MAX_CLIENTS:
            log.warning("envoy's list is full", blocked=len(clients), listed=MAX_CLIENTS)
        return True
