"""Faust's own producer, made idempotent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.transport.drivers.aiokafka import Producer

if TYPE_CHECKING:
    from collections.abc import Mapping


class IdempotentProducer(Producer):  # type: ignore[misc]  # faust is untyped here
    """Stock Faust asks for idempotence only inside transactions."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}
