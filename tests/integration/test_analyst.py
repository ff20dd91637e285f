"""Analysts' commands and a gateway's library call on a real broker."""

from __future__ import annotations

import asyncio
import time
import uuid

import msgspec
import pytest

from config.settings import Settings, VerdictsSettings
from streams.cli import main
from streams.identity import load_pseudonyms
from streams.topics import ALERTS, FEEDBACK, VERDICTS
from streams.verdicts.client import VerdictClient
from tests.integration.killing import produce
from tests.integration.test_respond import everything
from tests.unit.respond.samples import alert
from tests.unit.verdicts.test_table import verdict

pytestmark = pytest.mark.kafka


@pytest.fixture
def say(broker, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VEDETTE_KAFKA__BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main.main(list(arguments))
        out = capsys.readouterr()
        assert not stopped.value.code, out.err
        return out.out

    return run


def test_an_incident_is_seen_acknowledged_and_remembered(broker, say):
    run = uuid.uuid4().hex
    made = alert(id=run, model=f"m-{run}")
    asyncio.run(produce(broker, ALERTS, [msgspec.json.encode(made)]))
    assert made.incident[:12] in say("alerts", "incidents")
    say("alerts", "ack", made.id, "--author", "ann", "--reason", "on it")
    assert "acknowledged by ann" in say("alerts", "incidents")
    words = [msgspec.json.decode(value) for value in asyncio.run(everything(broker, FEEDBACK))]
    (word,) = [item for item in words if item["target"] == made.incident]
    assert (word["verb"], word["reason"], word["finding"]) == ("ack", "on it", run)


def test_a_gateway_without_an_event_loop_follows_the_verdicts(broker, tmp_path):
    name = f"customer-{uuid.uuid4().hex}"
    settings = Settings(
        home=tmp_path,
        kafka={"bootstrap_servers": broker},
        verdicts=VerdictsSettings(fail="closed"),
    )
    client = VerdictClient(settings)
    assert client.of_name(name).source == "stale"
    with client as verdicts:
        verdicts.wait()
        assert verdicts.of_name(name).action == "allow"
        pseudonym = load_pseudonyms(settings).of("client", name)
        body = msgspec.json.encode(verdict(pseudonym, until="2126-01-01T00:00:00.000000Z"))
        asyncio.run(produce(broker, VERDICTS, [body], key=pseudonym.encode()))
        deadline_s = time.monotonic() + 10
        while verdicts.of_name(name).action != "block":
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert verdicts.of(pseudonym).reason == "extraction"
