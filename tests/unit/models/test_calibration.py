"""Calibration makes a signed profile that loads, and says what is wrong with bad references."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from config.errors import ConfigError
from models.errors import UntrustedError
from models.profiles import load_profiles
from models.signing import ensure_keys
from streams.calibration import CalibrationOptions, calibrate
from streams.reference import Reference, Traffic, read_reference

if TYPE_CHECKING:
    from pathlib import Path


def arrays(rows: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    label = rng.integers(0, 2, rows)
    x = rng.integers(0, 100, (rows, 8, 8)) + 150 * label[:, None, None] * (np.arange(8) < 4)
    scores = np.where(label[:, None] == np.arange(2), 0.9, 0.1)
    return {"x": x.astype(np.uint8), "scores": scores.astype(np.float32)}


def make(tmp_path: Path, reference: Reference, model: str = "digits", **options: object) -> Path:
    chosen = CalibrationOptions(keys=tmp_path / "keys", **options)  # type: ignore[arg-type]
    return calibrate(model, reference, tmp_path / "profiles", chosen, lambda *_: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile made once for all tests."""
    return make(tmp_path_factory.mktemp("made"), Reference(**arrays()))


@pytest.fixture
def written(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made.parents[1], tmp_path, dirs_exist_ok=True)
    return tmp_path / "profiles" / made.name


def test_a_profile_is_signed_and_loads(written: Path) -> None:
    loaded = load_profiles(written.parent, None, "cpu")["digits"]
    assert loaded.encoder is not None
    assert loaded.encoder.shape == (8, 8)
    assert loaded.profile.sketch_size == 64
    assert {path.name for path in written.iterdir()} == {
        "encoder.safetensors",
        "tables.safetensors",
        "profile.json",
        "report.md",
        "thresholds.png",
        "model.sig",
    }


def test_the_same_reference_and_seed_give_the_same_tables(tmp_path: Path, written: Path) -> None:
    before = (written / "tables.safetensors").read_bytes()
    again = make(tmp_path, Reference(**arrays()))
    assert (again / "tables.safetensors").read_bytes() == before


def test_a_changed_profile_is_refused(written: Path) -> None:
    data = bytearray((written / "tables.safetensors").read_bytes())
    data[-1] ^= 1
    (written / "tables.safetensors").write_bytes(data)
    with pytest.raises(UntrustedError, match=r"tables\.safetensors"):
        load_profiles(written.parent, None, "cpu")


def test_a_pinned_key_refuses_profiles_of_others(written: Path, tmp_path: Path) -> None:
    _, other = ensure_keys(tmp_path / "other")
    with pytest.raises(UntrustedError, match="not signed with the key"):
        load_profiles(written.parent, other, "cpu")


def test_members_are_kept_as_sketches_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "members.npz", x=arrays()["x"][:20])
    path = make(tmp_path, Reference(**arrays()), members=tmp_path / "members.npz")
    from safetensors.numpy import load_file

    assert {k: v.shape for k, v in load_file(path / "members.safetensors").items()} == {
        f"{key}/{name}": shape
        for key in (0, 1)
        for name, shape in {
            "key": (20, 64),
            "centres": (1, 64),
            "starts": (2,),
            "thresholds": (97,),
        }.items()
    }


def test_traffic_alone_gives_a_profile_without_encoder(tmp_path: Path) -> None:
    rows = 300
    unknown = [np.full(rows, -1, np.int32) for _ in range(5)]
    client = np.arange(rows, dtype=np.int32) % 10
    times = np.arange(rows, dtype=np.int64) * 1_000_000
    traffic = Traffic(times, client, np.full(rows, 200, np.int16), *unknown)
    path = make(tmp_path, Reference(traffic=traffic), model="chat/gpt")
    assert load_profiles(path.parent, None, "cpu")["chat/gpt"].encoder is None


def test_no_profiles_are_no_error(tmp_path: Path) -> None:
    assert load_profiles(tmp_path / "nothing", None, "cpu") == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scores": None}, "no array named scores"),
        ({"scores": np.zeros((3, 2))}, "must have shape"),
        ({"x": np.full((400, 8), np.nan)}, "NaN"),
        ({"x": np.full((400, 8), "text")}, "give numbers"),
    ],
)
def test_wrong_arrays_are_explained(
    tmp_path: Path, change: dict[str, np.ndarray | None], says: str
) -> None:
    given = {name: array for name, array in {**arrays(), **change}.items() if array is not None}
    np.savez(tmp_path / "reference.npz", **given)
    with pytest.raises(ConfigError, match=says):
        read_reference(tmp_path / "reference.npz", "digits")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "reference.npz", x=np.array([{}], object), scores=np.zeros((1, 2)))
    with pytest.raises(ConfigError, match="numeric"):
        read_reference(tmp_path / "reference.npz", "digits")


@pytest.mark.parametrize("name", ["reference.npz", "reference.parquet", "reference.csv"])
def test_what_is_no_reference_is_explained(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(ConfigError, match="reference"):
        read_reference(tmp_path / name, "digits")


def test_too_few_samples_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too few"):
        make(tmp_path, Reference(**arrays(50)))
    assert not list((tmp_path / "profiles").glob("*")) if (tmp_path / "profiles").exists() else True


def test_a_recording_gives_inputs_answers_and_traffic(tmp_path: Path) -> None:
    from streams.frames import INTERACTION_SCHEMA
    from streams.recording import RecordingWriter

    given = arrays(40)
    rows = [
        {
            "id": str(i),
            "time": 1_700_000_000_000_000 + i,
            "source_partition": 0,
            "source_offset": i,
            "source_index": 0,
            "client": f"c{i % 3}",
            "model": "digits" if i % 2 else "other",
            "input": given["x"][i].tobytes(),
            "input_shape": [8, 8],
            "input_dtype": "uint8",
            "scores": given["scores"][i].tolist(),
        }
        for i in range(40)
    ]
    import pyarrow as pa

    path = tmp_path / "benign.parquet"
    with RecordingWriter(path) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, INTERACTION_SCHEMA))
    reference = read_reference(path, "digits")
    np.testing.assert_array_equal(reference.x, given["x"][1::2])
    np.testing.assert_array_equal(reference.scores, given["scores"][1::2])
    assert reference.traffic is not None
    assert reference.traffic.client.max() == 2
    with pytest.raises(ConfigError, match="digits, other"):
        read_reference(path, "third")
