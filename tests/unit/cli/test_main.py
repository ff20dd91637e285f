"""The command as a user meets it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from streams.cli.config import fingerprint, flatten
from streams.cli.main import COMMANDS, build_app, main

if TYPE_CHECKING:
    from pathlib import Path


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys\n"
        "from streams.cli.main import app\n"
        "app(['--help'], result_action='return_value')\n"
        "heavy = {'torch', 'faust', 'aiokafka', 'kafka', 'pyarrow', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name, *_ in COMMANDS)


def test_a_misspelt_setting_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEDETTE_KAFAK__X", "1")
    with pytest.raises(SystemExit) as stopped:
        main(["config", "show"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("vedette: VEDETTE_KAFAK__X names no setting")
    assert error.count("\n") == 1


def test_a_failure_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("VEDETTE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        main(["health", "detect"])
    assert stopped.value.code == 1
    assert "no sign of life" in capsys.readouterr().err


def test_secrets_are_masked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VEDETTE_PSEUDONYM_KEY", "correct horse battery staple")
    with pytest.raises(SystemExit) as stopped:
        main(["config", "show"])
    shown = capsys.readouterr().out
    assert not stopped.value.code
    assert "VEDETTE_PSEUDONYM_KEY=***" in shown
    assert "horse" not in shown


def test_the_hash_changes_with_any_setting() -> None:
    one, other = flatten({"a": {"b": 1}}), flatten({"a": {"b": 2}})
    assert one == ["VEDETTE_A__B=1"]
    assert fingerprint(one) != fingerprint(other)


def test_settings_by_topic_are_shown_as_their_variable_takes_them() -> None:
    shown = flatten({"ingest": {"sources": {"a.b": {"format": "litellm"}}}})
    assert shown == ['VEDETTE_INGEST__SOURCES={"a.b": {"format": "litellm"}}']


def commands() -> list[str]:
    """Return every command that does something, such as ``audit search``."""
    found = []
    for name, *_ in COMMANDS:
        inner = [one for one in build_app(name)[name] if not one.startswith("-")]
        found += [f"{name} {one}" for one in inner] or [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    _, heading, examples = capsys.readouterr().out.partition("Examples:")
    assert heading
    assert f"vedette {command}" in " ".join(examples.split())


def test_the_commands_are_those_that_there_are() -> None:
    assert {"demo", "calibrate", "audit verify", "alerts ack", "verdicts lift"} <= set(commands())
    assert len(commands()) > 50
