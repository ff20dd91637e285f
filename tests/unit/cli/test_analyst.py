"""Commands of analysts: what they say goes to one topic; what they see comes from Kafka."""

from __future__ import annotations

import msgspec
import pytest

from streams.cli import analyst, feedback, main, topic_view
from streams.respond.feedback import decode_feedback
from streams.respond.verdicts import Verdict
from streams.rules.load import BUILT_IN
from streams.topics import ALERTS, FEEDBACK, VERDICTS
from tests.unit.respond.samples import alert, finding


@pytest.fixture
def kafka(monkeypatch, tmp_path):
    """Topics in memory."""
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    topics: dict[str, list[tuple[bytes | None, bytes | None]]] = {}

    def read_topic(topic, take):
        for key, value in topics.get(topic, []):
            take(key, value)

    async def write(said):
        topics.setdefault(FEEDBACK, []).append((b"", msgspec.json.encode(said)))

    monkeypatch.setattr(analyst, "read_topic", read_topic)
    monkeypatch.setattr(topic_view, "read_topic", read_topic)
    monkeypatch.setattr(feedback, "_write", write)
    return topics


@pytest.fixture
def say(kafka, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments):
        with pytest.raises(SystemExit) as stopped:
            main.main(list(arguments))
        out = capsys.readouterr()
        assert not stopped.value.code, out.err
        return out.out

    return run


def said(kafka):
    return [decode_feedback(value) for _, value in kafka.get(FEEDBACK, [])]


@pytest.fixture
def incident(kafka):
    made = alert()
    kafka[ALERTS] = [(b"", msgspec.json.encode(made)), (b"", b"no alert"), (b"", None)]
    return made


@pytest.mark.parametrize(
    ("command", "verb"),
    [("ack", "ack"), ("resolve", "resolve"), ("false-positive", "false_positive")],
)
def test_a_word_on_an_incident_names_finding_kind_and_client(say, kafka, incident, command, verb):
    say("alerts", command, incident.id[:10], "--reason", "ours", "--author", "ann")
    (word,) = said(kafka)
    assert (word.verb, word.target, word.author) == (verb, incident.incident, "ann")
    assert (word.finding, word.kind, word.client) == (finding().id, "extraction", "u1_mallory")


def test_incidents_are_listed_with_what_was_said(say, kafka, incident):
    assert "Model extraction" in say("alerts", "incidents")
    say("alerts", "ack", incident.incident, "--author", "ann")
    assert "acknowledged by ann" in say("alerts", "incidents")
    say("alerts", "resolve", incident.incident)
    assert incident.incident[:12] not in say("alerts", "incidents")
    assert incident.incident[:12] in say("alerts", "incidents", "--every")


def test_an_incident_is_explained(say, incident):
    out = say("alerts", "explain", incident.incident)
    assert incident.summary in out
    assert "log_e is 12.5, usual is below 11.002 (cohort)" in out
    assert f"vedette audit show {incident.interactions[0]}" in out
    assert "AML.T0024.002" in out


def test_an_unknown_or_ambiguous_id_is_refused(kafka, incident, capsys):
    for identity in ("zzz", ""):
        with pytest.raises(SystemExit) as stopped:
            main.main(["alerts", "ack", identity])
        assert stopped.value.code == 2
    assert said(kafka) == []


def test_a_silence_is_added_listed_and_ended(say, kafka):
    say("silence", "add", "--rule", "burst", "--for", "4h", "--reason", "load test")
    (word,) = said(kafka)
    assert (word.verb, word.rule, word.reason) == ("silence", "burst", "load test")
    assert word.target in say("silence", "list")
    say("silence", "end", word.target)
    assert word.target not in say("silence", "list")
    assert word.target in say("silence", "list", "--every")


@pytest.mark.parametrize("arguments", [["--for", "2h"], ["--rule", "x", "--for", "soon"]])
def test_a_silence_of_everything_or_without_a_length_is_refused(kafka, arguments):
    with pytest.raises(SystemExit) as stopped:
        main.main(["silence", "add", "--reason", "x", *arguments])
    assert stopped.value.code == 2
    assert said(kafka) == []


def test_a_verdict_is_listed_and_lifted(say, kafka):
    made = Verdict(
        client="u1_mallory",
        action="block",
        since="2026-11-22T10:00:00.000000Z",
        until="2126-11-22T11:00:00.000000Z",
        reason="extraction",
        severity="critical",
        finding="f",
        model="digits",
        tenant=None,
        shadow=True,
    )
    kafka[VERDICTS] = [(b"u1_mallory", msgspec.json.encode(made)), (b"u1_gone", None)]
    out = say("verdicts", "list")
    assert "u1_mallory" in out
    assert "block" in out
    assert "shadow" in out
    say("verdicts", "lift", "u1_mallory", "--reason", "ours")
    say("verdicts", "judge", "alice", "throttle", "--name", "--reason", "asked for it")
    say("verdicts", "reset", "u1_mallory")
    lift, judge, reset = said(kafka)
    assert (lift.verb, lift.target) == ("lift", "u1_mallory")
    assert (judge.verb, judge.action) == ("judge", "throttle")
    assert judge.target.startswith("u1_")
    assert "alice" not in judge.target
    assert reset.verb == "unlift"


def test_rules_are_explained_for_a_finding(say, tmp_path):
    path = tmp_path / "finding.json"
    path.write_bytes(msgspec.json.encode(finding()))
    out = say("rules", "explain", str(path))
    assert "rule      extraction version 1" in out
    assert "verdict   challenge, in shadow" in out


def test_a_wrong_rule_file_is_exit_code_2_with_file_and_line(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("- id: mine\n  version: 0\n")
    with pytest.raises(SystemExit) as stopped:
        main.main(["rules", "check", "--dir", str(tmp_path)])
    assert stopped.value.code == 2
    assert "bad.yaml:" in capsys.readouterr().err


def test_every_failing_example_is_named_with_its_line(tmp_path, capsys):
    text = (BUILT_IN / "burst.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("kinds: [burst]", "kinds: [drift]"))
    with pytest.raises(SystemExit) as stopped:
        main.main(["rules", "test", "burst", "--dir", str(tmp_path)])
    assert stopped.value.code == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    lines = text.splitlines()
    named = [int(line.split(":")[1]) for line in failed]
    assert [lines[number - 1].strip() for number in named] == [
        "- name: a client that does it",
        "- name: another kind of finding",
    ]


def test_examples_that_pass_are_listed(say):
    assert "passed  burst: a client that does it" in say("rules", "test", "burst")


def test_a_finding_that_is_not_there_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["rules", "explain", str(tmp_path / "none.json")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_sink_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["notify", "test", "nobody"])
    assert stopped.value.code == 2
    assert "no sink 'nobody'" in capsys.readouterr().err
