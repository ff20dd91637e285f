"""The doctor says what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio

import pytest

from config.errors import ConfigError
from config.settings import ElasticSettings
from streams.elastic.client import make_client, open_client
from streams.elastic.doctor import examine, lag_check
from streams.elastic.errors import AccessRefused, ElasticUnavailable
from streams.elastic.templates import load_resources, load_roles

HEALTHY = {
    "/_cluster/health": (200, {"status": "green"}),
    "/_nodes": (200, {"nodes": {"a": {"version": "9.5.1"}}}),
    "/_security": (200, {"cluster": {"monitor": True}, "index": {}}),
}


async def looked_at(stub, **others):
    """Return the checks by name; the client of commands is a blocking one."""
    stub.others = {**HEALTHY, **others}

    def look():
        with open_client(ElasticSettings(urls=(stub.url,), timeout_s=5)) as client:
            return {check.name: check for check in examine(client, None, "writer")}

    return await asyncio.to_thread(look)


async def test_a_healthy_server_has_no_faults(stub):
    checks = await looked_at(stub)
    assert [name for name, check in checks.items() if check.ok is False] == []
    assert checks["documents"].text == "none yet"


async def test_another_major_version_is_named(stub):
    checks = await looked_at(stub, **{"/_nodes": (200, {"nodes": {"a": {"version": "8.19.0"}}})})
    assert checks["version"].ok is False
    assert "8.19.0" in checks["version"].text


async def test_missing_privileges_are_named(stub):
    answer = {
        "cluster": {"monitor": False},
        "index": {"logs-vedette.*": {"create_doc": False, "read": True}},
    }
    checks = await looked_at(stub, **{"/_security": (200, answer)})
    assert checks["privileges"].text == (
        "a writer also needs monitor, create_doc on logs-vedette.*"
    )


async def test_a_server_without_security_is_told(stub):
    refusal = {"error": {"type": "illegal_argument_exception"}, "status": 400}
    checks = await looked_at(stub, **{"/_security": (400, refusal)})
    assert checks["privileges"].ok is None


async def test_a_red_cluster_is_unwell(stub):
    checks = await looked_at(stub, **{"/_cluster/health": (200, {"status": "red"})})
    assert checks["connection"].ok is False


async def test_something_else_that_answers_is_told(stub):
    stub.product = None
    checks = await looked_at(stub)
    assert checks["connection"].text == "what answers is no Elasticsearch"


async def test_a_missing_key_is_told(stub):
    checks = await looked_at(stub, **{"/_cluster/health": (401, {"status": 401})})
    assert "VEDETTE_ELASTIC__API_KEY" in checks["connection"].text


def test_nobody_there_is_told():
    with open_client(ElasticSettings(urls=("http://127.0.0.1:9",), timeout_s=1)) as client:
        (check,) = examine(client, None, "writer")
    assert "VEDETTE_ELASTIC__URLS" in check.text


@pytest.mark.parametrize(
    ("status", "expected"), [(401, AccessRefused), (403, AccessRefused), (500, ElasticUnavailable)]
)
async def test_commands_put_refusals_into_words(stub, status, expected):
    stub.others = {"/_cluster": (status, {"error": {"type": "odd", "reason": "sesame"}})}

    def ask():
        with open_client(ElasticSettings(urls=(stub.url,))) as client:
            client.cluster.health()

    with pytest.raises(expected) as caught:
        await asyncio.to_thread(ask)
    assert "sesame" not in str(caught.value)
    assert stub.url not in str(caught.value)


def test_a_retention_has_to_be_chosen():
    with pytest.raises(ConfigError, match="VEDETTE_ELASTIC__RETENTION_DAYS"):
        load_resources(None)


def test_the_retention_is_in_the_templates():
    lifecycle = next(item for item in load_resources(30) if item.name == "vedette-lifecycle")
    assert lifecycle.body["template"]["lifecycle"] == {"data_retention": "30d"}


def test_a_writer_may_only_create_and_look():
    (indices,) = load_roles()["writer"]["indices"]
    assert not {"index", "write", "delete", "all", "manage"} & set(indices["privileges"])


def test_keys_are_not_sent_in_clear_text_to_other_hosts():
    with pytest.raises(ConfigError, match="https"):
        make_client(ElasticSettings(urls=("http://search.example:9200",), api_key="abc"))


async def test_a_private_network_may_do_without_tls():
    for key in ("abc", ""):
        client = make_client(
            ElasticSettings(urls=("http://elasticsearch:9200",), api_key=key, unsafe_http=True)
        )
        await client.close()


@pytest.mark.parametrize(
    "url", ["ftp://x", "search.example:9200", "https://user:secret@x:9200", "https://x?key=secret"]
)
def test_addresses_hold_no_secrets(url):
    with pytest.raises(ValueError, match=r"URL|host|credentials"):
        ElasticSettings(urls=(url,))


def test_a_key_may_lie_in_a_file(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(ConfigError, match="cannot be read"):
        make_client(ElasticSettings(urls=("https://x:9200",), api_key_file=path))


def test_the_lag_is_what_kafka_holds_and_is_not_indexed():
    assert lag_check({"a": 0, "b": 0}, 10).ok is True
    assert lag_check({"a": 3, "b": 7}, 10).ok is True
    behind = lag_check({"a": 0, "b": 11}, 10)
    assert behind.ok is False
    assert behind.text == "11 records of b are not indexed yet"
    assert lag_check(None, 10).ok is None
