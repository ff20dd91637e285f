"""Parts of the embedded broker that need no Java."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import TYPE_CHECKING

import psutil
import pytest

from streams.broker import jars, ports, process
from streams.broker.errors import BrokerError
from streams.broker.java import parse_major
from streams.broker.layout import Layout, write_configuration

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ('java version "1.8.0_402"', 8),
        ("no such thing", None),
    ],
)
def test_the_version_of_java_is_understood(text: str, major: int | None) -> None:
    assert parse_major(text) == major


def test_every_jar_is_pinned_by_version_and_checksum() -> None:
    locked = jars.locked_jars()
    assert len({jar.filename for jar in locked}) == len(locked)
    assert all(len(bytes.fromhex(jar.sha256)) == hashlib.sha256().digest_size for jar in locked)
    assert jars.Jar("org.apache.kafka", "kafka_2.13", jars.KAFKA_VERSION, "").filename in {
        jar.filename for jar in locked
    }


def test_a_jar_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong.jar"
    wrong.write_bytes(b"something else")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "_fetch", lambda _jar: wrong)
    with pytest.raises(BrokerError, match="SHA-256 differs"):
        jars.ensure_jars()
    assert not list(jars.cache_dir().glob("*.jar"))


@pytest.mark.parametrize("servers", ["127.0.0.1:29092", "localhost:9092"])
def test_one_loopback_address_is_ours_to_serve(servers: str) -> None:
    assert ports.is_embedded(servers)


@pytest.mark.parametrize("servers", ["kafka:9092", "127.0.0.1:1,127.0.0.1:2", "127.0.0.1", ""])
def test_any_other_address_is_not(servers: str) -> None:
    assert not ports.is_embedded(servers)
    with pytest.raises(BrokerError):
        ports.split_address(servers)


def test_the_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_configuration(layout, host="localhost", port=1111, controller_port=2222)
    lines = layout.properties.read_text(encoding="utf-8").splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222" in lines
    assert "advertised.listeners=PLAINTEXT://localhost:1111" in lines
    assert "auto.create.topics.enable=false" in lines


def test_the_number_of_another_process_is_not_taken_for_the_broker(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.pid.write_text(json.dumps({"pid": os.getpid(), "created": 1.0}), encoding="utf-8")
    assert process.running(layout) is None
    assert not layout.pid.exists()


def test_the_process_that_was_noted_is_found_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    created = psutil.Process().create_time()
    layout.pid.write_text(json.dumps({"pid": os.getpid(), "created": created}), encoding="utf-8")
    found = process.running(layout)
    assert found is not None
    assert found.pid == os.getpid()


def test_no_cluster_id_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"\xf8" + bytes(15), b"\x08" + bytes(15)])
    monkeypatch.setattr(process.uuid, "uuid4", lambda: uuid.UUID(bytes=next(drawn)))
    assert process.cluster_id() == "C" + "A" * 21
