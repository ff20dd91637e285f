"""Kept content from a producer to its shredding, with the embedded store."""

from __future__ import annotations

import pytest

from tests.integration.keeping import make_keeping, read_and_shred

pytestmark = pytest.mark.kafka


def test_content_is_kept_read_on_record_and_shredded(broker, tmp_path, monkeypatch, capsys):
    read_and_shred(make_keeping(broker, tmp_path, monkeypatch, capsys))
