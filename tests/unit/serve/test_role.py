"""The serve role answers every request and acknowledges what is durable."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from config.errors import ConfigError
from config.settings import IngestSettings, Settings
from models.nets.sequential import Linear, build
from models.registry import Architecture, Registry
from streams.decode import RecordDecoder
from streams.identity import Pseudonyms
from streams.roles import serve
from streams.topics import REQUESTS, RESPONSES, dlq

if TYPE_CHECKING:
    from pathlib import Path

    from streams.decode import Interaction

LAYERS = (Linear(4, 3),)


class Outbox:
    """A producer whose broker acknowledges when told to."""

    def __init__(self, _settings: object) -> None:
        self.sent: list[tuple[str, bytes, dict[str, object]]] = []
        self.pending: list[asyncio.Future[None]] = []

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    async def send(self, topic: str, value: bytes, **options: object) -> asyncio.Future[None]:
        self.sent.append((topic, value, options))
        self.pending.append(asyncio.get_running_loop().create_future())
        return self.pending[-1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path)
    torch.manual_seed(0)
    architecture = Architecture(name="tiny", version="1", input_shape=(4,), layers=LAYERS)
    Registry(settings.models, settings.home / "keys").register(
        architecture, build(LAYERS).state_dict()
    )
    return settings


def request(offset: int, data: list[int]) -> SimpleNamespace:
    body = {"inputs": [{"name": "x", "shape": [1, len(data)], "datatype": "UINT8", "data": data}]}
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"io.vedette.inference.request.v1"),
        ("ce_source", b"gateway"),
        ("ce_id", str(offset).encode()),
    ]
    return SimpleNamespace(
        topic=REQUESTS,
        partition=2,
        offset=offset,
        timestamp=1_000,
        key=b"alice",
        value=json.dumps(body).encode(),
        headers=headers,
    )


async def test_every_request_is_answered_and_then_acknowledged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "Producer", Outbox)
    role = serve.make(settings)
    await role.start()
    outbox = role._producer
    acks: list[int] = []
    nobody = request(3, [1, 2, 3, 4])
    nobody.headers = [header for header in nobody.headers if header[0] != "ce_id"]
    records = [request(0, [1, 2, 3, 4]), request(1, [1, 2]), request(2, [4, 3, 2, 1]), nobody]
    await role.process(SimpleNamespace(records=records, ack=lambda: acks.append(1)))
    while len(outbox.sent) < 4:  # noqa: ASYNC110 - nothing tells when the thread is done
        await asyncio.sleep(0.01)
    assert not acks
    for delivery in outbox.pending:
        delivery.set_result(None)
    await role.release(set())
    await role.stop()
    assert acks == [1]
    assert [topic for topic, _, _ in outbox.sent] == [dlq(REQUESTS)] + 3 * [RESPONSES]
    answers = outbox.sent[1:]
    assert [dict(options["headers"])["ce_id"] for _, _, options in answers] == [b"0", b"1", b"2"]
    assert [dict(o["headers"])["ce_status"] for _, _, o in answers] == [b"200", b"400", b"200"]
    assert {(o["partition"], o["key"]) for _, _, o in answers} == {(2, b"alice")}
    rows = [kept(number, body, options) for number, (_, body, options) in enumerate(answers)]
    assert [row.status for row in rows] == [200, 400, 200]
    assert [row.input is None for row in rows] == [False, True, False]
    assert rows[1].error.startswith("wrong_input_size")
    assert len({row.client for row in rows}) == 1


def kept(offset: int, body: bytes, options: dict[str, Any]) -> Interaction:
    """Return what ingestion makes of an answer."""
    record = SimpleNamespace(topic=RESPONSES, offset=offset, value=body, timestamp=1_000, **options)
    decoded = RecordDecoder(IngestSettings(), Pseudonyms(bytes(32))).decode(record)
    assert decoded is not None
    (row,) = decoded.rows
    return row


async def test_refusals_of_any_kind_are_kept_by_ingestion(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "Producer", Outbox)
    role = serve.make(settings)
    await role.start()
    records = [request(number, []) for number in range(4)]
    good_body = request(0, [1, 2, 3, 4]).value
    values = (b"{", b"\xff\xfe", good_body.replace(b"{", b'{"a": 1, "a": 2, ', 1), None)
    for record, value in zip(records, values, strict=True):
        record.value = value
    answers = role._answers(role._read(records).requests, None)
    headers = serve.event_headers(records[0], role._model.architecture, status=400, latency_us=1)
    await role.stop()
    rows = [kept(0, a.body, {"partition": 2, "key": b"k", "headers": headers}) for a in answers]
    assert [row.error.partition(":")[0] for row in rows] == [
        "truncated_json",
        "invalid_utf8",
        "duplicate_key",
        "empty_body",
    ]
    assert {row.status for row in rows} == {400}
    assert {row.model for row in rows} == {"tiny"}


async def test_without_a_model_the_role_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="VEDETTE_SERVE__MODEL"):
        await serve.make(Settings(home=tmp_path)).start()
