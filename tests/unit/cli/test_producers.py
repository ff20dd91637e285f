"""What is printed for a producer names this installation, and can be parsed."""

from __future__ import annotations

import ast
import json

import pytest
import yaml

from config.settings import IngestSettings
from streams.cli.main import main
from streams.cli.producers import PRODUCERS, filled_in

YAML = ("kserve", "knative", "litellm", "otel")
PYTHON = ("kafka-python", "confluent", "aiokafka")


def shown(name: str) -> str:
    return filled_in(PRODUCERS[name], kafka="k:9092", topic="events", intake="i:8088")


@pytest.mark.parametrize("name", YAML)
def test_yaml_is_yaml(name: str) -> None:
    assert list(yaml.safe_load_all(shown(name).replace("<token>", "t")))


@pytest.mark.parametrize("name", PYTHON)
def test_python_is_python(name: str) -> None:
    ast.parse(shown(name))


@pytest.mark.parametrize("name", PRODUCERS)
def test_settings_that_are_shown_are_settings(name: str) -> None:
    text = " ".join(line.lstrip("# ") for line in shown(name).splitlines())
    for variable in ("SOURCES", "TOPICS"):
        _, found, rest = text.partition(f"VEDETTE_INGEST__{variable}='")
        if found:
            value = json.loads(rest.partition("'")[0])
            IngestSettings(**{variable.lower(): value})


def test_the_command_lists_and_fills_in(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["producers"])
    assert capsys.readouterr().out.split() == list(PRODUCERS)
    with pytest.raises(SystemExit):
        main(["producers", "litellm"])
    out = capsys.readouterr().out
    assert "http://127.0.0.1:8088/litellm" in out
    assert "<kafka>" not in out


def test_an_unknown_producer_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["producers", "nobody"])
    assert stopped.value.code == 2
    assert "kserve" in capsys.readouterr().err
