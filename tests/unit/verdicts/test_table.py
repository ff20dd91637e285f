"""The table answers at once, by time, and fails as each tenant has chosen."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.respond import TenantPolicy, VerdictsSettings
from streams.identity import Epochs, Pseudonyms
from streams.respond.verdicts import Verdict
from streams.verdicts.judgement import Judgement
from streams.verdicts.service import MAX_CLIENTS, VerdictService
from streams.verdicts.table import VerdictTable

NAMES = Pseudonyms(b"k" * 32)
MALLORY = NAMES.of("client", "mallory")
NEW = Pseudonyms(b"n" * 32, epoch=2)
MALLORY_NOW = NEW.of("client", "mallory")


def verdict(client=MALLORY, **changes):
    fields = {
        "client": client,
        "action": "block",
        "since": "2026-11-22T10:00:00.000000Z",
        "effective": "2026-11-22T10:00:20.000000Z",
        "until": "2026-11-22T11:00:00.000000Z",
        "reason": "extraction",
        "severity": "critical",
        "finding": "f",
        "model": "digits",
        "tenant": "t1",
        "shadow": False,
    }
    return Verdict(**{**fields, **changes})


def filled(*verdicts):
    table = VerdictTable()
    for item in verdicts or (verdict(),):
        assert table.take(item.client.encode(), msgspec.json.encode(item))
    return table


@pytest.mark.parametrize(
    ("now", "action", "source"),
    [
        ("2026-11-22T10:00:19.999999Z", "allow", "not_yet"),
        ("2026-11-22T10:00:20.000000Z", "block", "verdict"),
        ("2026-11-22T10:59:59.999999Z", "block", "verdict"),
        ("2026-11-22T11:00:00.000000Z", "allow", "expired"),
    ],
)
def test_a_verdict_holds_from_its_beginning_to_its_end(now, action, source):
    answer = filled().ask(MALLORY, now)
    assert (answer.action, answer.source) == (action, source)


def test_who_is_not_in_the_table_passes():
    assert filled().ask("u1_nobody", "2026-11-22T10:30:00.000000Z").source == "none"


def test_a_tombstone_forgets():
    table = filled()
    table.take(MALLORY.encode(), None)
    assert len(table) == 0


@pytest.mark.parametrize("value", [b"", b"{}", b"[", b"\xff", b'{"action": "shoot"}'])
def test_what_is_no_verdict_changes_nothing(value):
    table = filled()
    assert not table.take(MALLORY.encode(), value)
    assert table.ask(MALLORY, "2026-11-22T10:30:00.000000Z").action == "block"


def test_old_verdicts_without_a_beginning_hold_from_since():
    table = filled(verdict(effective=""))
    assert table.ask(MALLORY, "2026-11-22T10:00:01.000000Z").action == "block"


def test_the_table_is_bounded_and_says_what_it_dropped():
    table = VerdictTable(max_entries=1000)
    for number in range(1500):
        table.take(f"u{number}".encode(), msgspec.json.encode(verdict(f"u{number}")))
    assert (len(table), table.dropped) == (1000, 500)


def test_adapters_get_only_blocks_that_hold_and_are_no_shadow():
    table = filled(
        verdict("a"), verdict("b", shadow=True), verdict("c", action="throttle"), verdict("d")
    )
    begins, ends = verdict().effective, verdict().until
    assert table.blocked("2026-11-22T10:00:10.000000Z") == (frozenset(), begins)
    assert table.blocked("2026-11-22T10:30:00.000000Z") == ({"a", "d"}, ends)
    assert table.blocked("2026-11-22T12:30:00.000000Z").clients == frozenset()
    before = table.block_changes
    table.take(b"a", None)
    table.take(b"d", msgspec.json.encode(verdict("d", action="throttle")))
    table.take(b"e", msgspec.json.encode(verdict("e", action="watch")))
    assert table.block_changes == before + 2
    assert table.blocked("2026-11-22T10:30:00.000000Z").clients == frozenset()


def test_a_look_up_in_a_large_table_takes_microseconds():
    """200,000 here; benchmarks/verdicts.py measures the million."""
    table = filled(*(verdict(f"u{number}") for number in range(200_000)))
    took_s = []
    for number in range(0, 200_000, 20):
        started_s = time.perf_counter()
        table.ask(f"u{number}", "2026-11-22T10:30:00.000000Z")
        took_s.append(time.perf_counter() - started_s)
    assert sorted(took_s)[int(len(took_s) * 0.99)] < 0.001


def judgement(age_s=0.0, table=None, **settings):
    now = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
    return Judgement(table or filled(), VerdictsSettings(**settings), lambda: age_s, lambda: now)


class TestFailure:
    def test_a_stale_table_lets_everyone_in_unless_somebody_chose_otherwise(self):
        answer = judgement(age_s=61).of(MALLORY)
        assert (answer.action, answer.reason, answer.source) == ("allow", "fail_open", "stale")
        assert judgement(age_s=61, fail="closed").of("u1_anyone").action == "block"

    def test_each_tenant_chooses(self):
        tenants = {"bank": TenantPolicy(fail="closed")}
        judge = judgement(age_s=61, tenants=tenants)
        assert judge.of("u1_x", "bank").action == "block"
        assert judge.of("u1_x", "shop").action == "allow"

    def test_a_fresh_table_does_not_fail(self):
        assert judgement(age_s=59, fail="closed").of("u1_anyone").action == "allow"

    def test_a_table_that_was_never_heard_of_is_stale(self):
        assert judgement(age_s=float("inf"), fail="closed").of("u1_anyone").source == "stale"

    def test_a_tenant_may_stay_in_shadow(self):
        judge = judgement(tenants={"t1": TenantPolicy(shadow=True)})
        answer = judge.of(MALLORY)
        assert (answer.action, answer.shadow) == ("block", True)


class TestNewKey:
    """What was said of a client under the old key holds under the new one."""

    def of_any(self, *verdicts, **settings):
        return judgement(table=filled(*verdicts), **settings).of_any((MALLORY_NOW, MALLORY))

    def test_a_block_outlives_the_key(self):
        client, answer = self.of_any(verdict())
        assert (client, answer.action, answer.source) == (MALLORY, "block", "verdict")

    def test_a_milder_verdict_under_the_new_key_does_not_weaken_it(self):
        client, answer = self.of_any(verdict(), verdict(MALLORY_NOW, action="watch"))
        assert (client, answer.action) == (MALLORY, "block")

    def test_one_in_shadow_does_not_hide_one_that_holds(self):
        shadow = verdict(MALLORY_NOW, shadow=True)
        client, answer = self.of_any(verdict(action="throttle"), shadow)
        assert (client, answer.action) == (MALLORY, "throttle")

    def test_who_was_let_in_by_a_person_stays_so(self):
        client, answer = self.of_any(verdict(action="allow"), verdict(MALLORY_NOW))
        assert (client, answer.action) == (MALLORY, "allow")

    def test_one_that_has_ended_says_nothing(self):
        ended = verdict(until="2026-11-22T10:20:00.000000Z")
        client, answer = self.of_any(ended, verdict(MALLORY_NOW, action="watch"))
        assert (client, answer.action) == (MALLORY_NOW, "watch")

    def test_without_any_the_newest_name_answers(self):
        client, answer = self.of_any(verdict("u1_other"))
        assert (client, answer.source) == (MALLORY_NOW, "none")

    def test_the_policy_of_the_tenant_that_either_is_known_by_holds(self):
        tenants = {"t1": TenantPolicy(shadow=True)}
        _, answer = self.of_any(verdict(), tenants=tenants)
        assert (answer.action, answer.shadow) == ("block", True)


class FakeFollower:
    def __init__(self, *, warm):
        self.warm = self
        self._warm = warm

    def is_set(self):
        return self._warm


@pytest.fixture
async def client():
    service = VerdictService(judgement(), FakeFollower(warm=True), Epochs(NEW, NAMES).of)
    async with TestClient(TestServer(service.app())) as made:
        yield made


class TestService:
    async def test_it_answers_for_a_pseudonym_and_for_a_name(self, client):
        for path in (f"/v1/verdicts/{MALLORY}", "/v1/verdicts?client=mallory"):
            response = await client.get(path)
            body = await response.json()
            assert response.status == 200
            assert (body["client"], body["action"], body["source"]) == (MALLORY, "block", "verdict")

    async def test_it_answers_for_many(self, client):
        response = await client.post("/v1/verdicts", json={"clients": [MALLORY, "u1_b"]})
        body = await response.json()
        assert {key: value["action"] for key, value in body.items()} == {
            MALLORY: "block",
            "u1_b": "allow",
        }

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b'{"clients": 7}',
            b'{"clients": [], "more": 1}',
            msgspec.json.encode({"clients": ["x"] * (MAX_CLIENTS + 1)}),
        ],
    )
    async def test_a_bad_question_is_refused(self, client, body):
        assert (await client.post("/v1/verdicts", data=body)).status == 400

    async def test_a_huge_question_is_refused(self, client):
        assert (await client.post("/v1/verdicts", data=b"x" * 300_000)).status == 413

    @pytest.mark.parametrize(
        "path", ["/v1/verdicts", "/v1/verdicts?client=", "/v1/verdicts/" + "x" * 600]
    )
    async def test_a_name_is_bounded(self, client, path):
        assert (await client.get(path)).status == 400

    async def test_health_tells_whether_the_table_is_warm(self, client):
        assert (await client.get("/healthz")).status == 200
        cold = VerdictService(judgement(), FakeFollower(warm=False), Epochs(NAMES).of)
        async with TestClient(TestServer(cold.app())) as other:
            assert (await other.get("/healthz")).status == 503

    async def test_a_web_page_cannot_ask_under_its_own_name(self, client):
        response = await client.get(f"/v1/verdicts/{MALLORY}", headers={"Host": "evil.example:80"})
        assert response.status == 421

    async def test_it_has_metrics(self, client):
        await client.get(f"/v1/verdicts/{MALLORY}")
        text = await (await client.get("/metrics")).text()
        assert "vedette_verdict_lookup_seconds_count" in text

    def test_the_address_can_only_be_loopback(self):
        with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
            VerdictsSettings(host="0.0.0.0")
