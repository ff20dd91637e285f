"""Our templates on a real server: set-up is idempotent, and the mapping is what we say."""

from __future__ import annotations

import pytest
from elasticsearch import ApiError

from streams.elastic.doctor import examine
from streams.elastic.templates import apply, load_resources, plan
from tests.integration.elastic.node import STAND_INS, adapted
from tests.unit.store.samples import CHAT, FULL, frame

pytestmark = pytest.mark.elastic


def ours():
    return [item._replace(body=adapted(item.body)) for item in load_resources(90)]


def test_a_second_set_up_changes_nothing(client):
    assert {change.action for change in plan(client, ours())} == {"none"}


def test_what_was_changed_on_the_server_is_seen_and_put_right(client):
    settings = next(item for item in ours() if item.name == "vedette-settings")
    changed = settings._replace(body={"template": {"settings": {"index.refresh_interval": "9s"}}})
    apply(client, [change._replace(resource=changed) for change in plan(client, [changed])])
    (change,) = plan(client, [settings])
    assert change.action == "update"
    assert "refresh_interval" in change.diff
    apply(client, [change])
    assert [item.action for item in plan(client, [settings])] == ["none"]


def test_adapting_replaces_types_only():
    def differences(one, other, path=()):
        if isinstance(one, dict):
            assert one.keys() == other.keys()
            for name in one:
                yield from differences(one[name], other[name], (*path, name))
        elif one != other:
            yield path, (one, other)

    for item in load_resources(90):
        for path, change in differences(item.body, adapted(item.body)):
            assert path[-1] == "type"
            assert STAND_INS[change[0]] == change[1]


def put(client, stream, number, document):
    client.create(index=stream, id=str(number), document=document, refresh=True)


def sample(record):
    import msgspec

    from streams.store.documents import audit_rows

    return msgspec.json.decode(audit_rows(frame(record))[0].body)


def count(client, stream, query):
    return client.count(index=stream, query=query)["count"]


def test_older_names_of_gen_ai_fields_find_what_the_new_ones_hold(client, namespace):
    stream = f"logs-vedette.audit-{namespace}"
    put(client, stream, 1, sample(CHAT))
    put(client, stream, 2, sample(FULL))
    for query in (
        {"term": {"gen_ai.request.model": "assistant"}},
        {"term": {"gen_ai.request.model.id": "assistant"}},
        {"term": {"gen_ai.usage.prompt_tokens": 120}},
        {"term": {"gen_ai.usage.input_tokens": 120}},
        {"term": {"gen_ai.user.id": "u1_bob"}},
        {"term": {"vedette.scanned": False}},
    ):
        assert count(client, stream, query) == 1, query


def test_an_unmapped_field_of_our_own_is_refused(client, namespace):
    document = sample(FULL)
    document["vedette"]["surprise"] = 1
    with pytest.raises(ApiError, match="strict_dynamic_mapping"):
        put(client, f"logs-vedette.audit-{namespace}", 1, document)


def test_an_unmapped_field_of_others_is_kept_and_not_indexed(client, namespace):
    stream = f"logs-vedette.audit-{namespace}"
    put(client, stream, 1, {**sample(FULL), "surprise": "yes"})
    assert count(client, stream, {"exists": {"field": "surprise"}}) == 0
    assert count(client, stream, {"exists": {"field": "event.id"}}) == 1


@pytest.mark.parametrize(
    "stream",
    [
        *(f"logs-vedette.{dataset}" for dataset in ("audit", "alert", "dlq", "checkpoint")),
        "metrics-vedette.window",
    ],
)
def test_every_stream_has_a_template_with_a_retention(client, stream):
    found = client.indices.simulate_index_template(name=f"{stream}-anything")
    template = found["template"]
    assert template["lifecycle"]["data_retention"] == "90d"
    assert template["settings"]["index"]["mapping"]["source"]["mode"] == "stored"


def test_the_doctor_finds_the_node_well(client):
    checks = {check.name: check for check in examine(client, ours(), "writer")}
    assert [name for name, check in checks.items() if check.ok is False] == []
    assert "9.5.0" in checks["version"].text


def test_the_doctor_names_missing_templates(client):
    missing = ours()[0]._replace(name="vedette-missing")
    checks = {check.name: check for check in examine(client, [missing], "writer")}
    assert checks["templates"].ok is False
    assert "vedette elastic setup" in checks["templates"].text
