"""The registry of formats: what a body may be, and what a record may be.

A further format is one file, and one line here. Order is the order in which signs are looked
for: the usual first, and before those whose signs are looser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.decode.anthropic import AnthropicDecoder
from streams.decode.bare import BareFormat
from streams.decode.cloudevents import CloudEventsFormat
from streams.decode.envoy import EnvoyFormat
from streams.decode.litellm import LiteLlmFormat
from streams.decode.mlserver import MlServerFormat
from streams.decode.oip_v2 import OipV2Decoder
from streams.decode.openai import OpenAiDecoder
from streams.decode.openai_responses import OpenAiResponsesDecoder
from streams.decode.otlp import OtlpFormat
from streams.decode.seldon import SeldonFormat
from streams.decode.seldon_v1 import SeldonV1Decoder
from streams.decode.v1 import V1Decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.decode.body import BodyDecoder, Limits
    from streams.decode.event import RecordFormat
    from streams.decode.reader import BodyReader

#: JSON bodies; the first that knows the body wins.
BODIES: tuple[Callable[[Limits], BodyDecoder], ...] = (
    OipV2Decoder,
    OpenAiDecoder,
    AnthropicDecoder,
    OpenAiResponsesDecoder,
    V1Decoder,
    SeldonV1Decoder,
)

#: Records, by the name that a source may be set to; the first that knows the record wins.
RECORDS: dict[str, Callable[[BodyReader], RecordFormat]] = {
    "cloudevents": CloudEventsFormat,
    "seldon": SeldonFormat,
    "mlserver": MlServerFormat,
    "envoy": EnvoyFormat,
    "otlp": OtlpFormat,
    "litellm": LiteLlmFormat,
    "bare": BareFormat,
}
