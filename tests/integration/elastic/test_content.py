"""Kept content from a producer to its shredding, with Elasticsearch."""

from __future__ import annotations

import msgspec
import pytest

from tests.integration.keeping import make_keeping, read_and_shred

pytestmark = [pytest.mark.elastic, pytest.mark.kafka, pytest.mark.slow]


def test_content_is_kept_read_on_record_and_shredded(
    broker, elastic, namespace, tmp_path, monkeypatch, capsys
):
    kept = make_keeping(
        broker,
        tmp_path,
        monkeypatch,
        capsys,
        VEDETTE_INDEX__STORE="elasticsearch",
        VEDETTE_ELASTIC__URLS=msgspec.json.encode(elastic.urls).decode(),
        VEDETTE_ELASTIC__NAMESPACE=namespace,
    )
    read_and_shred(kept)
