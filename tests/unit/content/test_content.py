"""What a tenant allows is kept encrypted, read only on record, and gone with its key."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime

import msgspec
import pyarrow as pa
import pytest

from config.content import ContentSettings
from config.errors import ConfigError, PoisonRecord, VedetteError
from config.settings import Settings
from streams.cli import audit, audit_content
from streams.content.access import access_row, new_access
from streams.content.keeper import Content, ContentDestroyed, Keeper, make_keeper, open_content
from streams.content.keys import ContentKeys
from streams.content.retention import Retention, expire
from streams.frames import AUDIT_SCHEMA, INTERACTION_SCHEMA
from streams.identity import load_pseudonyms
from streams.ledger.note import ensure_signer
from streams.store.documents import audit_rows
from streams.store.logs import Logs, SegmentRules
from streams.store.search import get, open_reader
from streams.store.sqlite import AuditWriter
from tests.unit.store.samples import BARE

DAY_US = 86_400_000_000
SAID = {
    **BARE,
    "tenant": "acme",
    "prompt": "Transfer 90 euros to anna@example.org",
    "completion": "Done.",
}


def batch(*records):
    columns = [pa.array([r.get(f.name) for r in records], f.type) for f in INTERACTION_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=INTERACTION_SCHEMA)


def rows_of(keeper, *records):
    """Return rows as detect and index make them."""
    kept = keeper.keep(batch(*records))
    columns = {"content_key": kept.key, "content": kept.data}
    arrays = [
        columns[f.name] if f.name in columns else pa.array([r.get(f.name) for r in records], f.type)
        for f in AUDIT_SCHEMA
    ]
    return audit_rows(pa.RecordBatch.from_arrays(arrays, schema=AUDIT_SCHEMA))


@pytest.fixture
def keys(tmp_path):
    return ContentKeys(tmp_path / "keys" / "content")


@pytest.fixture
def keeper(keys):
    return Keeper(keys, ("acme", "globex"), 64)


def test_nothing_is_kept_unless_a_tenant_is_named(tmp_path):
    assert make_keeper(Settings(home=tmp_path)) is None


def test_only_named_tenants_are_kept_and_only_what_was_said(keeper):
    silent = {**SAID, "id": "b", "prompt": None, "completion": None}
    kept = keeper.keep(batch({**SAID, "tenant": "other"}, {**SAID, "tenant": None}, silent, SAID))
    assert [value is not None for value in kept.data.to_pylist()] == [False, False, False, True]
    assert [value is not None for value in kept.key.to_pylist()] == [False, False, False, True]


def test_what_is_kept_is_masked_and_cannot_be_read_without_the_key(keeper, keys):
    (row,) = rows_of(keeper, SAID)
    assert b"Transfer" not in row.body
    assert open_content(row.body, keys) == Content("Transfer 90 euros to [email]", "Done.")


def test_long_texts_are_cut_after_masking(keeper, keys):
    long = {**SAID, "prompt": "x" * 58 + " anna@example.org", "completion": None}
    content = open_content(rows_of(keeper, long)[0].body, keys)
    assert content.cut
    assert content.prompt == ("x" * 58 + " [email]")[:64]


def test_a_replay_gives_the_same_record(keeper):
    assert rows_of(keeper, SAID) == rows_of(keeper, SAID)


def test_a_text_cannot_be_put_under_another_id(keeper, keys):
    (row,) = rows_of(keeper, SAID)
    moved = row.body.replace(SAID["id"].encode(), b"somebody-elses-call-0-9-9-9")
    with pytest.raises(VedetteError, match="not what was kept"):
        open_content(moved, keys)


def test_destroying_a_client_shreds_that_client_only(keeper, keys):
    mine, other = rows_of(keeper, SAID, {**SAID, "id": "b", "client": "u1_carl"})
    assert keys.destroy(client=SAID["client"]) == 1
    with pytest.raises(ContentDestroyed):
        open_content(mine.body, keys)
    assert open_content(other.body, keys)


def test_a_client_that_comes_back_gets_another_key(keeper, keys):
    (before,) = rows_of(keeper, SAID)
    keys.destroy(client=SAID["client"])
    (after,) = rows_of(keeper, {**SAID, "id": "later"})
    assert open_content(after.body, keys)
    with pytest.raises(ContentDestroyed):
        open_content(before.body, keys)


def test_destroying_a_tenant_shreds_all_of_it(keeper, keys):
    mine, other = rows_of(keeper, SAID, {**SAID, "id": "b", "tenant": "globex"})
    assert keys.destroy(tenant="acme") == 2
    with pytest.raises(ContentDestroyed):
        open_content(mine.body, keys)
    assert open_content(other.body, keys)


def test_days_go_by_each_tenants_retention(keeper, keys):
    day = datetime.fromtimestamp(SAID["time"] / 1e6, UTC).date()
    rows = rows_of(
        keeper,
        *(
            {**SAID, "id": f"{tenant}{age}", "tenant": tenant, "time": SAID["time"] - age * DAY_US}
            for tenant in ("acme", "globex")
            for age in (0, 3, 10)
        ),
    )
    settings = ContentSettings(retention_days=5, tenant_retention_days={"acme": 2})
    assert expire(keys, settings, day) == 3

    def readable(row):
        try:
            return bool(open_content(row.body, keys))
        except ContentDestroyed:
            return False

    assert [row.event_id for row in rows if readable(row)] == ["acme0", "globex0", "globex3"]


def test_names_of_files_tell_nobody_and_lead_nowhere(keys, tmp_path):
    keys.make("../../acme", "../u1_bob", "2026-11-22")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all((tmp_path / "keys" / "content") in path.parents for path in files)
    assert not any("bob" in str(path) or "acme" in str(path) for path in files)
    assert keys.find("../../acme", "../u1_bob", "../../etc.abc") is None


def test_a_destroyed_key_leaves_no_file(keys, tmp_path):
    keys.make("acme", "u1_bob", "2026-11-22")
    assert keys.expire(date(2026, 11, 22)) == 0
    assert keys.expire(date(2026, 11, 23)) == 1
    assert keys.destroy(client="u1_bob", tenant="acme") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_record_of_an_access_is_a_document():
    access = new_access("content-access", "ticket 4711", ids=["a"])
    document = json.loads(access_row(msgspec.json.encode(access)).body)
    assert document["event"]["action"] == "content-access"
    assert document["event"]["reason"] == "ticket 4711"
    assert document["vedette"]["access"]["ids"] == ["a"]
    with pytest.raises(PoisonRecord):
        access_row(b"{}")
    with pytest.raises(PoisonRecord):
        access_row(None)


@pytest.fixture
def trail(tmp_path, monkeypatch):
    """Return the accesses that were recorded; the trail holds three calls of two clients."""
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    settings = Settings(home=tmp_path)
    keeper = Keeper(ContentKeys(settings.content_keys), ("acme",), 1000)
    signer = ensure_signer(settings.checkpoint_key, "vedette")
    writer = AuditWriter(settings.audit_database, logs=Logs("vedette", signer, SegmentRules()))
    writer.open()
    records = (
        SAID,
        {**SAID, "id": "b", "client": "u1_carl", "prompt": "What is the weather?"},
        {**SAID, "id": "c", "tenant": "other"},
    )
    writer.submit(rows_of(keeper, *records)).result(10)
    writer.close()
    recorded = []
    monkeypatch.setattr(audit_content, "record_access", lambda access, _: recorded.append(access))
    return recorded


@pytest.fixture
def say(capsys):
    def run(*tokens):
        audit.app(tokens, result_action="return_value", exit_on_error=False, print_error=False)
        return capsys.readouterr().out

    return run


def test_content_is_shown_for_a_reason_and_on_record(trail, say):
    with pytest.raises(ConfigError, match="--reason"):
        say("show", SAID["id"], "--content")
    assert "[email]" in say("show", SAID["id"], "--content", "--reason", "ticket 4711")
    (access,) = trail
    assert (access.action, access.ids, access.reason) == (
        "content-access",
        (SAID["id"],),
        "ticket 4711",
    )


def test_what_is_not_kept_is_explained_and_no_access(trail, say):
    with pytest.raises(ConfigError, match="no content"):
        say("show", "c", "--content", "--reason", "ticket")
    assert trail == []


def test_an_access_that_cannot_be_recorded_does_not_happen(trail, say, monkeypatch, capsys):
    def refuse(*_):
        raise VedetteError("Kafka is away")

    monkeypatch.setattr(audit_content, "record_access", refuse)
    with pytest.raises(VedetteError, match="Kafka is away"):
        say("show", SAID["id"], "--content", "--reason", "ticket")
    assert "euros" not in capsys.readouterr().out


def test_texts_are_searched_and_the_search_is_on_record_without_its_words(trail, say):
    out = say("search", "--content", "WEATHER", "--reason", "ticket", "--json")
    assert [json.loads(line)["event"]["id"] for line in out.splitlines()] == ["b"]
    (access,) = trail
    assert set(access.ids) == {SAID["id"], "b"}
    assert "weather" not in repr(access).lower()


def test_erasing_a_client_destroys_keys_and_leaves_the_trail_verifiable(trail, say, tmp_path):
    with open_reader(tmp_path / "audit.sqlite") as connection:
        copy = get(connection, SAID["id"]).body
    keys = ContentKeys(Settings(home=tmp_path).content_keys)
    assert open_content(copy, keys)
    out = say("erase", "--client", SAID["client"], "--yes")
    assert "1 keys" in out
    assert "2 documents" in out
    assert [access.action for access in trail] == ["content-erasure"]
    assert SAID["client"] not in repr(trail)
    assert json.loads(say("verify", "--json"))["faults"] == []
    with pytest.raises(ContentDestroyed):
        open_content(copy, keys)


def test_a_tenant_is_named_as_its_producer_names_it(tmp_path):
    settings = Settings(home=tmp_path, content=ContentSettings(tenants=("acme",)))
    keeper = make_keeper(settings)
    names = load_pseudonyms(settings)
    mine, other = ({**SAID, "tenant": names.of("tenant", name)} for name in ("acme", "globex"))
    assert keeper.keep(batch(mine, other)).key.is_valid().to_pylist() == [True, False]


async def test_retention_knows_tenants_by_their_names(tmp_path):
    content = ContentSettings(tenants=("acme",), tenant_retention_days={"acme": 1})
    settings = Settings(home=tmp_path, content=content)
    keeper, name = make_keeper(settings), load_pseudonyms(settings).of("tenant", "acme")
    (row,) = rows_of(keeper, {**SAID, "tenant": name})
    retention = Retention(settings)
    retention.start()
    await asyncio.sleep(0.2)
    await retention.stop()
    with pytest.raises(ContentDestroyed):
        open_content(row.body, ContentKeys(settings.content_keys))
