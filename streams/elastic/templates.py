"""The templates of ``config/elasticsearch`` as they are put to a server.

The files are what people edit. A resource carries the digest of its file in ``_meta``, so that
set-up sees at once what is up to date; what was changed on the server shows by comparison.
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from elasticsearch import NotFoundError

from config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

DIRECTORY = Path(__file__).parents[2] / "config" / "elasticsearch"
RETENTION = "{retention}"

Kind = Literal["pipeline", "component", "index"]
#: In the order in which they need one another.
KINDS: tuple[Kind, ...] = ("pipeline", "component", "index")
Action = Literal["create", "update", "none"]


class Resource(NamedTuple):
    """One pipeline or template."""

    kind: Kind
    name: str
    body: dict[str, Any]


class Change(NamedTuple):
    """What set-up does with a resource; ``diff`` from what is there to what should be."""

    resource: Resource
    action: Action
    diff: str


def load_resources(retention_days: int | None, directory: Path = DIRECTORY) -> list[Resource]:
    """Read the files.

    Raises
    ------
    ConfigError
        If it was not said how long documents are kept: that is no choice of the program's.
    """
    if retention_days is None:
        raise ConfigError(
            "say how long the audit trail is kept: VEDETTE_ELASTIC__RETENTION_DAYS has no default"
        )
    return [
        _load(kind, path, retention_days)
        for kind in KINDS
        for path in sorted(directory.glob(f"{kind}-*.json"))
    ]


def load_roles(directory: Path = DIRECTORY) -> dict[str, dict[str, Any]]:
    """Read the roles: what a writer, a reader and the set-up may do."""
    return {
        path.stem.removeprefix("role-vedette-"): msgspec.json.decode(path.read_bytes())
        for path in sorted(directory.glob("role-*.json"))
    }


def plan(client: Elasticsearch, resources: list[Resource]) -> list[Change]:
    """Compare what is there with what should be."""
    return [_change(resource, fetch(client, resource)) for resource in resources]


def apply(client: Elasticsearch, changes: list[Change]) -> None:
    """Bring about what was planned."""
    for resource, action, _ in changes:
        if action == "none":
            continue
        if resource.kind == "pipeline":
            client.ingest.put_pipeline(id=resource.name, body=resource.body)
        elif resource.kind == "component":
            client.cluster.put_component_template(name=resource.name, body=resource.body)
        else:
            client.indices.put_index_template(name=resource.name, body=resource.body)


def fetch(client: Elasticsearch, resource: Resource) -> dict[str, Any] | None:
    """Return what the server has, None if nothing."""
    name = resource.name
    try:
        if resource.kind == "pipeline":
            found: dict[str, Any] = client.ingest.get_pipeline(id=name)[name]
        elif resource.kind == "component":
            answer = client.cluster.get_component_template(name=name)
            found = answer["component_templates"][0]["component_template"]
        else:
            found = client.indices.get_index_template(name=name)["index_templates"][0][
                "index_template"
            ]
    except NotFoundError:
        return None
    return found


def _load(kind: Kind, path: Path, retention_days: int) -> Resource:
    text = path.read_text(encoding="utf-8").replace(RETENTION, f"{retention_days}d")
    body = msgspec.json.decode(text)
    body["_meta"]["digest"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Resource(kind, path.stem.removeprefix(f"{kind}-"), body)


def _change(resource: Resource, found: dict[str, Any] | None) -> Change:
    wanted = _lines(resource.body, resource.body)
    if found is None:
        return Change(resource, "create", _diff(resource.name, [], wanted))
    present = _lines(found, resource.body)
    action: Action = "none" if present == wanted else "update"
    return Change(resource, action, _diff(resource.name, present, wanted))


def _diff(name: str, old: list[str], new: list[str]) -> str:
    return "\n".join(
        difflib.unified_diff(old, new, f"server/{name}", f"config/{name}", lineterm="", n=1)
    )


def _lines(body: Any, like: Any) -> list[str]:
    return [f"{path} = {value}" for path, value in sorted(_flat(body, like))]


def _flat(body: Any, like: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield paths and values of ``body``, of those that ``like`` has.

    The server writes numbers and booleans as text, and adds its own defaults.
    """
    if isinstance(like, dict) and like:
        for name, inner in like.items():
            below = body.get(name) if isinstance(body, dict) else None
            if below is not None:
                yield from _flat(below, inner, f"{path}.{name}" if path else name)
        return
    if isinstance(like, list) and isinstance(body, list) and len(like) == len(body) > 0:
        for number, (below, inner) in enumerate(zip(body, like, strict=True)):
            yield from _flat(below, inner, f"{path}.{number}")
    elif isinstance(body, dict | list):
        yield path, msgspec.json.encode(body if like else like, order="sorted").decode()
    else:
        yield path, str(body).lower() if isinstance(body, bool) else str(body)
