"""The stub, and settings that point to it."""

from __future__ import annotations

import pytest

from config.settings import ElasticSettings, IndexSettings, Settings
from streams.elastic import bulk
from tests.unit.elastic.stub import Stub


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(bulk, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(bulk, "MAX_DELAY_S", 0.02)


@pytest.fixture
async def stub():
    made = Stub()
    runner = await made.start()
    yield made
    await runner.cleanup()


@pytest.fixture
def elastic(stub):
    return ElasticSettings(urls=(stub.url,), batch_documents=10, timeout_s=5)


@pytest.fixture
def settings(elastic, tmp_path):
    return Settings(
        home=tmp_path,
        elastic=elastic,
        index=IndexSettings(store="elasticsearch", checkpoint_interval_s=3600),
    )
