"""``vedette calibrate`` and ``vedette replay`` as a user runs them, and what they refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.signing import ensure_keys
from streams.cli.main import main
from streams.recording import RecordingWriter
from tests.scenarios.world import MODEL, recording, scores_of, victim

ROOT = Path(__file__).parents[2]


def vedette(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "VEDETTE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with the recording of the small world and a profile made by the command."""
    home = tmp_path_factory.mktemp("home")
    with RecordingWriter(home / "world.parquet") as writer:
        writer.write(recording(1500))
    images = victim()[1]
    np.savez(home / "benign.npz", x=images.reshape(-1, 8, 8), scores=scores_of(images))
    command = ["calibrate", MODEL, home / "benign.npz", "--out", home / "profiles"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VEDETTE_HOME", str(home))
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in command])
    assert not stopped.value.code
    return home


def replayed(home: Path, findings: Path, *more: object) -> list[object]:
    return [
        "replay",
        home / "world.parquet",
        "--profile",
        home / "profiles",
        "--findings",
        findings,
        *more,
    ]


def fails(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    arguments: list[object],
) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and its line on stderr."""
    monkeypatch.setenv("VEDETTE_HOME", str(home))
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, " ".join(error.split())


def test_replay_finds_the_attackers_of_a_recording(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings.jsonl"
    done = vedette(home, *replayed(home, out, "--key", home / "keys" / "signing.pub"))
    assert done.returncode == 0, done.stderr
    assert "1,500" in done.stdout
    found = [msgspec.json.decode(line) for line in out.read_bytes().splitlines()]
    assert found
    clients = {i for f in found if f["subject"]["type"] == "client" for i in f["subject"]["ids"]}
    assert clients
    assert not {client for client in clients if client.startswith("benign")}


def test_a_changed_profile_is_refused(home, tmp_path, capsys, monkeypatch) -> None:
    shutil.copytree(home / "profiles", tmp_path / "profiles")
    (tmp_path / "profiles" / MODEL / "profile.json").write_text("{}")
    command = replayed(home, tmp_path / "f.jsonl", "--profile", tmp_path / "profiles")
    command = [*command[:2], *command[4:]]
    code, error = fails(capsys, monkeypatch, home, command)
    assert code == 1
    assert "is not what was signed" in error
    assert "profile.json" in error


def test_an_unsigned_profile_is_refused(home, tmp_path, capsys, monkeypatch) -> None:
    shutil.copytree(home / "profiles", tmp_path / "profiles")
    (tmp_path / "profiles" / MODEL / "model.sig").unlink()
    command = ["replay", home / "world.parquet", "--findings", tmp_path / "f.jsonl"]
    code, error = fails(capsys, monkeypatch, home, [*command, "--profile", tmp_path / "profiles"])
    assert code == 1
    assert "is not signed" in error


def test_the_pinned_key_of_the_settings_is_used(home, tmp_path, capsys, monkeypatch) -> None:
    _, other = ensure_keys(tmp_path / "keys")
    monkeypatch.setenv("VEDETTE_DETECT__PROFILE_KEY", str(other))
    code, error = fails(capsys, monkeypatch, home, replayed(home, tmp_path / "f.jsonl"))
    assert code == 1
    assert "was not signed with the key" in error
    assert not (tmp_path / "f.jsonl").exists()


def test_a_missing_recording_is_named(home, tmp_path, capsys, monkeypatch) -> None:
    command = replayed(home, tmp_path / "f.jsonl")
    command[1] = tmp_path / "none.parquet"
    code, error = fails(capsys, monkeypatch, home, command)
    assert (code, error) == (2, f"vedette: there is no recording {tmp_path / 'none.parquet'}")


def test_a_file_of_another_schema_is_explained(home, tmp_path, capsys, monkeypatch) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    command = replayed(home, tmp_path / "f.jsonl")
    command[1] = tmp_path / "other.parquet"
    code, error = fails(capsys, monkeypatch, home, command)
    assert code == 2
    assert "is not in the schema interaction.v1" in error


def test_a_directory_without_profiles_is_explained(home, tmp_path, capsys, monkeypatch) -> None:
    command = ["replay", home / "world.parquet", "--findings", tmp_path / "f.jsonl"]
    code, error = fails(capsys, monkeypatch, home, [*command, "--profile", tmp_path])
    assert code == 2
    assert "there is no profile in" in error
    assert "vedette calibrate" in error


@pytest.mark.parametrize(
    ("rows", "says"), [(None, "there is no file"), (20, "too few"), (0, "too few")]
)
def test_a_reference_that_will_not_do_is_explained(
    tmp_path, capsys, monkeypatch, rows: int | None, says: str
) -> None:
    reference = tmp_path / "reference.npz"
    if rows is not None:
        images = victim()[1][:rows]
        np.savez(reference, x=images, scores=scores_of(victim()[1])[:rows])
    command = ["calibrate", MODEL, reference, "--out", tmp_path / "profiles"]
    code, error = fails(capsys, monkeypatch, tmp_path, command)
    assert code == 2
    assert says in error


def test_an_unknown_option_is_a_wrong_command(home, tmp_path, capsys, monkeypatch) -> None:
    command = replayed(home, tmp_path / "f.jsonl", "--no-such-option", "1")
    assert fails(capsys, monkeypatch, home, command)[0] == 2


def test_an_unknown_role_is_a_wrong_command(tmp_path, capsys, monkeypatch) -> None:
    code, error = fails(capsys, monkeypatch, tmp_path, ["run", "tea"])
    assert code == 2
    assert "there is no role 'tea'" in error


def test_the_report_of_a_calibration_tells_the_budget_of_false_alarms(home: Path) -> None:
    report = (home / "profiles" / MODEL / "report.md").read_text()
    assert "once in 60,000 of its events" in report
    for kind in ("independent", "skewed", "retrying"):
        (row,) = [line for line in report.splitlines() if line.startswith(f"| {kind} |")]
        _, clients, queries, flagged = (cell.strip() for cell in row.strip("|").split("|"))
        assert int(clients) > 0 < int(queries.replace(",", ""))
        assert int(flagged) <= int(clients)
    assert (home / "profiles" / MODEL / "thresholds.png").read_bytes().startswith(b"\x89PNG")
