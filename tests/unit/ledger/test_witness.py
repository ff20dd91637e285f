"""Checkpoints reach the webhook at least once, and whatever it does holds up nothing."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from config.errors import ConfigError
from config.settings import CheckpointWebhook
from streams.ledger import witness as module
from streams.ledger.log import Log, Segment
from streams.ledger.witness import Witness
from tests.integration.hook import listening
from tests.unit.ledger.trails import SIGNER, VERIFIER

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(module, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(module, "MAX_DELAY_S", 0.02)


class Receiver:
    """Verifies what it takes; answers with statuses as long as there are some."""

    def __init__(self, *statuses):
        self.statuses, self.taken, self.ids = list(statuses), [], []

    async def take(self, request):
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        self.ids.append(request.headers["webhook-id"])
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.taken.append(msgspec.convert(msgspec.json.decode(body)["data"], Segment))
        return web.Response(status=status)

    async def until(self, count):
        for _ in range(300):
            if len(self.taken) >= count:
                return
            await asyncio.sleep(0.01)


def segments(count, origin="vedette/x/0/0123456789ab"):
    log = Log.begin(origin)
    made = []
    for _ in range(count):
        log.append([bytes(32)])
        made.append(log.close_segment(SIGNER, "2026-11-22T10:00:00.000000Z"))
    return made


def hook(port, **changes):
    values = {"url": f"http://127.0.0.1:{port}/w", "secret": SECRET, "allow_private": True}
    return CheckpointWebhook.model_validate({**values, **changes})


def counted(result):
    labels = {"to": "webhook", "result": result}
    return REGISTRY.get_sample_value("vedette_checkpoints_total", labels)


async def test_a_signed_checkpoint_arrives_that_the_key_opens():
    receiver = Receiver()
    async with listening({"/w": receiver.take}) as port:
        witness = Witness(hook(port))
        witness.owe(segments(1))
        await receiver.until(1)
        await witness.close(1)
    assert VERIFIER.open(receiver.taken[0].note).size == 1


async def test_failures_are_counted_told_once_and_tried_again_under_the_same_id():
    receiver, failed = Receiver(500, 400, 302), counted("failed")
    with capture_logs() as logs:
        async with listening({"/w": receiver.take}) as port:
            witness = Witness(hook(port))
            witness.owe(segments(1))
            await receiver.until(1)
            await witness.close(1)
    assert counted("failed") == failed + 3
    assert len(set(receiver.ids)) == 1
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert "127.0.0.1" not in repr(logs)


async def test_after_an_outage_the_newest_of_every_log_arrives():
    receiver = Receiver(*[503] * 5)
    async with listening({"/w": receiver.take}) as port:
        witness = Witness(hook(port))
        for segment in segments(20):
            witness.owe([segment])
        witness.owe(segments(3, "vedette/x/1/0123456789ab"))
        await receiver.until(2)
        await witness.close(1)
    assert sorted(segment.size for segment in receiver.taken) == [3, 20]


async def test_a_witness_that_is_away_holds_up_nothing():
    witness = Witness(hook(9))
    witness.owe(segments(1))
    await asyncio.sleep(0.1)
    await asyncio.wait_for(witness.close(5), 2)


@pytest.mark.parametrize(
    "url", ["http://witness.example/w", "https://127.0.0.1/w", "https://169.254.169.254/w", "ftp:"]
)
def test_addresses_that_are_not_public_are_refused(url):
    with pytest.raises(ConfigError) as caught:
        Witness(hook(0, url=url, allow_private=False))
    assert "169.254" not in str(caught.value)
