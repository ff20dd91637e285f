"""Tells what stands between Vedette and its documents in Elasticsearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from elastic_transport import ConnectionError as ElasticConnectionError
from elasticsearch import ApiError, UnsupportedProductError

from streams.elastic.client import error_type
from streams.elastic.templates import load_roles, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from elasticsearch import Elasticsearch

    from streams.elastic.templates import Resource

SERVER_MAJOR = 9


class Check(NamedTuple):
    """One thing that was looked at; ``ok`` None: it could not be."""

    name: str
    ok: bool | None
    text: str


def examine(client: Elasticsearch, resources: list[Resource] | None, role: str) -> list[Check]:
    """Look at connection, version, privileges, templates and documents, in this order."""
    checks = [_guarded("connection", lambda: _connection(client))]
    if checks[0].ok is False:
        return checks
    return [
        *checks,
        _guarded("version", lambda: _version(client)),
        _guarded("privileges", lambda: _privileges(client, role)),
        _guarded("templates", lambda: _templates(client, resources)),
        _guarded("documents", lambda: _documents(client)),
        _guarded("windows", lambda: _windows(client)),
    ]


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except UnsupportedProductError:
        return Check(name, ok=False, text="what answers is no Elasticsearch")
    except ElasticConnectionError as error:
        return Check(
            name,
            ok=False,
            text=f"no connection ({type(error).__name__}); look at VEDETTE_ELASTIC__URLS and, "
            "for https, VEDETTE_ELASTIC__CA_FILE",
        )
    except ApiError as error:
        # A key of little power may not look at everything, and need not.
        return Check(name, ok=None if error.status_code == 403 else False, text=_explain(error))


def _explain(error: ApiError) -> str:
    if error.status_code == 401:
        return "the API key is missing or wrong; set VEDETTE_ELASTIC__API_KEY"
    if error.status_code == 403:
        return "the API key may not look at this"
    return f"the server answered {error.status_code} ({error_type(error)})"


def _connection(client: Elasticsearch) -> Check:
    health = client.cluster.health()
    status = health["status"]
    return Check("connection", status != "red", f"cluster health is {status}")


def _version(client: Elasticsearch) -> Check:
    info = client.nodes.info(filter_path="nodes.*.version")
    versions = sorted({node["version"] for node in info["nodes"].values()})
    fits = all(int(version.split(".")[0]) == SERVER_MAJOR for version in versions)
    text = f"server {', '.join(versions)}"
    if not fits:
        text += f"; this program speaks to major version {SERVER_MAJOR}"
    return Check("version", fits, text)


def _privileges(client: Elasticsearch, role: str) -> Check:
    wanted: dict[str, Any] = load_roles()[role]
    try:
        answer = client.security.has_privileges(cluster=wanted["cluster"], index=wanted["indices"])
    except ApiError as error:
        if error.status_code in (400, 404, 405):
            return Check("privileges", ok=None, text="security is off: anybody may do anything")
        raise
    missing = [name for name, has in answer["cluster"].items() if not has]
    missing += [
        f"{name} on {index}"
        for index, privileges in answer["index"].items()
        for name, has in privileges.items()
        if not has
    ]
    if missing:
        return Check("privileges", ok=False, text=f"a {role} also needs {', '.join(missing)}")
    return Check("privileges", ok=True, text=f"everything that a {role} needs")


def _templates(client: Elasticsearch, resources: list[Resource] | None) -> Check:
    if resources is None:
        text = "not compared: VEDETTE_ELASTIC__RETENTION_DAYS is not set"
        return Check("templates", ok=None, text=text)
    changes = plan(client, resources)
    due = [change.resource.name for change in changes if change.action != "none"]
    if due:
        text = f"{', '.join(due)}: run `vedette elastic setup`"
        return Check("templates", ok=False, text=text)
    return Check("templates", ok=True, text=f"{len(changes)} up to date")


def _documents(client: Elasticsearch) -> Check:
    answer = client.search(
        index="logs-vedette.audit-*",
        ignore_unavailable=True,
        size=1,
        sort=[{"@timestamp": "desc"}],
        source_includes=["@timestamp"],
        track_total_hits=True,
    )
    hits = answer["hits"]
    if not hits["hits"]:
        return Check("documents", ok=None, text="none yet")
    newest = hits["hits"][0]["_source"]["@timestamp"]
    return Check("documents", ok=True, text=f"{hits['total']['value']:,}, the newest of {newest}")


def _windows(client: Elasticsearch) -> Check:
    count = client.count(index="metrics-vedette.window-*", ignore_unavailable=True)["count"]
    return Check("windows", ok=True if count else None, text=f"{count:,}" if count else "none yet")


def lag_check(waiting: Mapping[str, int] | None, most: int) -> Check:
    """Judge the records that the index role has not stored yet, by topic; None: not known."""
    if waiting is None:
        text = "Kafka does not answer; look at VEDETTE_KAFKA__BOOTSTRAP_SERVERS"
        return Check("lag", ok=None, text=text)
    behind = {topic: count for topic, count in waiting.items() if count}
    if not behind:
        return Check("lag", ok=True, text="everything that Kafka holds is indexed")
    text = ", ".join(f"{count:,} records of {topic}" for topic, count in sorted(behind.items()))
    return Check("lag", ok=sum(behind.values()) <= most, text=f"{text} are not indexed yet")
