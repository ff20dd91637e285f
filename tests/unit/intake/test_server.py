"""The intake says 202 only when Kafka has it, and never holds more than it may."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.structs import ConsumerRecord
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from config.errors import ConfigError
from config.settings import IngestSettings, IntakeSettings, Settings
from streams.decode import Part, RecordDecoder
from streams.intake.access import Access, access_of, server_tls
from streams.intake.server import Intake
from tests.unit.decode.producers import CALL
from tests.unit.decode.records import BROKER_MS, NAMES, REQUEST, RESPONSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Start = Callable[..., Awaitable[TestClient[Any, Any]]]

TOKEN = "a-token-of-sixteen-chars"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Broker:
    """Stands for Kafka; acknowledges when its gate is open."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes, list[tuple[str, bytes]]]] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def partitions_of(self, topic: str) -> int:
        return 4

    async def send(self, topic: str, value: Any, **options: Any) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._take(value, options))

    async def _take(self, value: bytes, options: dict[str, Any]) -> None:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append((options["partition"], value, list(options["headers"])))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def start(broker: Broker) -> AsyncIterator[Start]:
    clients: list[TestClient[Any, Any]] = []

    async def run(**bounds: Any) -> TestClient[Any, Any]:
        settings = Settings(intake=IntakeSettings(**{"token": SecretStr(TOKEN), **bounds}))
        intake = Intake(settings, broker)
        await intake.open()
        server = TestServer(intake.application(), access_log=None)
        client = TestClient(server)
        await client.start_server()
        clients.append(client)
        return client

    yield run
    for client in clients:
        await client.close()


def kserve_headers(half: str = "request", **changes: str) -> dict[str, str]:
    return {
        **BEARER,
        "Content-Type": "application/json",
        "Ce-Id": "k1",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Specversion": "1.0",
        "Ce-Type": f"org.kubeflow.serving.inference.{half}",
        "Ce-Inferenceservicename": "iris",
        **changes,
    }


def decoded(sent: tuple[int, bytes, list[tuple[str, bytes]]]) -> Any:
    partition, value, headers = sent
    record: Any = ConsumerRecord(
        "events", partition, 0, BROKER_MS, 0, None, value, None, 0, 0, tuple(headers)
    )
    return RecordDecoder(IngestSettings(), NAMES).decode(record)


async def test_both_halves_of_a_kserve_call_reach_one_partition(
    start: Start, broker: Broker
) -> None:
    client = await start()
    for half, body in (("request", REQUEST), ("response", RESPONSE)):
        response = await client.post("/", data=json.dumps(body), headers=kserve_headers(half))
        assert response.status == 202
    asked, answered = broker.sent
    assert asked[0] == answered[0]
    assert [decoded(sent).part for sent in broker.sent] == [Part.REQUEST, Part.RESPONSE]
    assert decoded(asked).event_id == decoded(answered).event_id == "k1"


async def test_a_structured_event_passes_as_it_came(start: Start, broker: Broker) -> None:
    client = await start()
    event = {
        "specversion": "1.0", "id": "k2", "source": "s",
        "type": "org.kubeflow.serving.inference.request", "data": REQUEST,
    }  # fmt: skip
    body = json.dumps(event).encode()
    headers = {**BEARER, "Content-Type": "application/cloudevents+json; charset=UTF-8"}
    response = await client.post("/cloudevents", data=body, headers=headers)
    assert response.status == 202
    assert broker.sent[0][1] == body
    assert decoded(broker.sent[0]).event_id == "k2"


@pytest.mark.parametrize("form", ["array", "ndjson", "single"])
async def test_litellm_calls_become_one_record_each(
    start: Start, broker: Broker, form: str
) -> None:
    client = await start()
    calls = [CALL] if form == "single" else [CALL, {**CALL, "id": "2"}, {**CALL, "id": "3"}]
    if form == "ndjson":
        body = "\n".join(map(json.dumps, calls))
    else:
        body = json.dumps(calls if form == "array" else CALL)
    kind = "application/x-ndjson" if form == "ndjson" else "application/json"
    response = await client.post("/litellm", data=body, headers={**BEARER, "Content-Type": kind})
    assert response.status == 202
    assert [json.loads(value) for _, value, _ in broker.sent] == calls
    assert len({partition for partition, *_ in broker.sent}) == 1  # one key, one order
    assert decoded(broker.sent[0]).rows[0].model == "gpt-4o"


async def test_percent_encoded_attributes_are_plain_on_kafka(start: Start, broker: Broker) -> None:
    client = await start()
    headers = kserve_headers(**{"Ce-Client": "J%C3%BCrgen"})
    await client.post("/", data=json.dumps(REQUEST), headers=headers)
    assert ("ce_client", "J\u00fcrgen".encode()) in broker.sent[0][2]


async def test_no_answer_before_kafka_has_acknowledged(start: Start, broker: Broker) -> None:
    client = await start()
    broker.gate.clear()
    post = asyncio.ensure_future(
        client.post("/", data=json.dumps(REQUEST), headers=kserve_headers())
    )
    await asyncio.sleep(0.05)
    assert not post.done()
    broker.gate.set()
    assert (await post).status == 202


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_a_broker_that_does_not_acknowledge_is_503(
    start: Start, broker: Broker, how: str
) -> None:
    client = await start(acknowledge_timeout_s=0.05)
    if how == "refused":
        broker.failure = KafkaTimeoutError()
    else:
        broker.gate.clear()
    response = await client.post("/", data=json.dumps(REQUEST), headers=kserve_headers())
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_an_event_that_the_topic_does_not_take_is_not_asked_for_again(
    start: Start, broker: Broker
) -> None:
    client = await start()
    broker.failure = MessageSizeTooLargeError()
    response = await client.post("/", data=json.dumps(REQUEST), headers=kserve_headers())
    assert response.status == 413


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer another", "Bearer", "Basic !!", "Basic " + base64.b64encode(b"x").decode()],
)
async def test_without_the_token_nothing_is_taken(
    start: Start, broker: Broker, authorization: str | None
) -> None:
    client = await start()
    headers = kserve_headers(Authorization=authorization or "")
    response = await client.post("/", data=json.dumps(REQUEST), headers=headers)
    assert response.status == 401
    assert broker.sent == []


async def test_the_token_may_be_the_password_of_the_url(start: Start) -> None:
    client = await start()
    basic = "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()
    headers = kserve_headers(Authorization=basic)
    assert (await client.post("/", data=json.dumps(REQUEST), headers=headers)).status == 202


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_413(start: Start, broker: Broker, chunked: bool) -> None:
    client = await start(max_body_bytes=2000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    data: Any = pieces() if chunked else b"x" * 3000
    response = await client.post("/", data=data, headers=kserve_headers())
    assert response.status == 413
    assert broker.sent == []


async def test_a_body_that_comes_too_slowly_is_408(start: Start) -> None:
    client = await start(read_timeout_s=0.05)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(1)

    response = await client.post("/", data=pieces(), headers=kserve_headers())
    assert response.status == 408


@pytest.mark.parametrize("bound", [{"max_waiting_requests": 2}, {"max_waiting_bytes": 1 << 20}])
async def test_too_much_that_waits_is_429_and_soon_taken_again(
    start: Start, broker: Broker, bound: dict[str, int]
) -> None:
    client = await start(**bound)
    broker.gate.clear()
    body = json.dumps({**REQUEST, "pad": "x" * 400_000})
    waiting = [
        asyncio.ensure_future(client.post("/", data=body, headers=kserve_headers()))
        for _ in range(2)
    ]
    await asyncio.sleep(0.1)
    response = await client.post("/", data=body, headers=kserve_headers())
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    broker.gate.set()
    assert [(await post).status for post in waiting] == [202, 202]
    assert (await client.post("/", data=body, headers=kserve_headers())).status == 202


@pytest.mark.parametrize(
    ("path", "body", "changes", "status"),
    [
        ("/", b"{}", {"Ce-Type": "com.example.thing"}, 400),
        ("/", b"{}", {"Ce-Specversion": "9"}, 400),
        ("/", b"{}", {"Ce-Id": ""}, 400),
        ("/", b"{", {"Content-Type": "application/cloudevents+json"}, 400),
        ("/", b"[]", {"Content-Type": "application/cloudevents-batch+json"}, 415),
        ("/", b"x", {"Content-Encoding": "gzip"}, 415),
        ("/litellm", b"[1, 2]", {}, 400),
        ("/litellm", b"", {}, 400),
        ("/litellm", b"{" * 10, {}, 400),
        ("/litellm", b"[" * 100_000, {}, 400),
        ("/litellm", b"[" + b"{}," * 5000 + b"{}]", {}, 400),
        ("/litellm", b"{}", {"Content-Type": "text/plain"}, 415),
        ("/elsewhere", b"{}", {}, 404),
    ],
)
async def test_a_wrong_sender_is_told_and_nothing_is_written(
    start: Start, broker: Broker, path: str, body: bytes, changes: dict[str, str], status: int
) -> None:
    client = await start()
    headers = {**kserve_headers(), **changes}
    response = await client.post(path, data=body, headers=headers)
    assert response.status == status
    assert broker.sent == []


async def test_health_needs_no_token(start: Start) -> None:
    client = await start()
    assert (await client.get("/health")).status == 200


def test_a_server_that_others_reach_needs_a_token() -> None:
    with pytest.raises(ConfigError, match="TOKEN"):
        access_of(IntakeSettings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="16 characters"):
        access_of(IntakeSettings(token=SecretStr("short")))
    assert access_of(IntakeSettings()).admits(None)
    assert not Access("s" * 20).admits("Bearer " + "s" * 19)


def test_certificate_and_key_go_together(tmp_path: Any) -> None:
    assert server_tls(IntakeSettings()) is None
    with pytest.raises(ConfigError, match="together"):
        server_tls(IntakeSettings(certificate=tmp_path / "c.pem"))
    with pytest.raises(ConfigError, match="readable"):
        server_tls(
            IntakeSettings(certificate=tmp_path / "c.pem", certificate_key=tmp_path / "k.pem")
        )


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


async def test_over_tls_the_token_and_the_event_travel_encrypted(
    broker: Broker, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    bounds = IntakeSettings(token=SecretStr(TOKEN), certificate=certificate, certificate_key=key)
    intake = Intake(Settings(intake=bounds), broker)
    await intake.open()
    server = TestServer(intake.application(), host="localhost", scheme="https", access_log=None)
    await server.start_server(ssl=server_tls(bounds))
    trusted = ssl.create_default_context(cafile=str(certificate))
    try:
        async with aiohttp.ClientSession() as session:
            url = server.make_url("/")
            options: Any = {"data": json.dumps(REQUEST), "headers": kserve_headers()}
            async with session.post(url, ssl=trusted, **options) as response:
                assert response.status == 202
            with pytest.raises(aiohttp.ClientError):
                await session.post(url.with_scheme("http"), **options)
    finally:
        await server.close()
    assert len(broker.sent) == 1


def test_the_application_offers_only_what_is_meant() -> None:
    application = Intake(Settings(), Broker()).application()
    routes = {
        (route.method, getattr(route.resource, "canonical", ""))
        for route in application.router.routes()
    }
    assert routes == {
        ("POST", "/"),
        ("POST", "/cloudevents"),
        ("POST", "/litellm"),
        ("GET", "/health"),
        ("HEAD", "/health"),
    }
    assert isinstance(application, web.Application)
