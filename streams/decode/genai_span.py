"""From a span to a model call: OpenTelemetry's GenAI conventions and OpenInference.

References
----------
OpenTelemetry semantic conventions, "Generative AI" (development), with the names of 1.27 to
1.37; OpenInference specification, "Semantic Conventions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.errors import PoisonRecord
from streams.decode.body import INT32_MAX
from streams.decode.document import Document
from streams.decode.envelope import Attributes as Named
from streams.decode.event import Event
from streams.decode.model import Part, RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.texts import as_params, walk_texts
from streams.identity import forwarded_address

if TYPE_CHECKING:
    from streams.decode.otlp_json import Attributes, Span

_OPERATIONS = {
    "chat": "chat",
    "generate_content": "chat",
    "text_completion": "completion",
    "embeddings": "embedding",
}
_KINDS = {"LLM": "chat", "EMBEDDING": "embedding"}
_MODEL = ("gen_ai.request.model", "llm.model_name", "embedding.model_name")
_RESPONSE_MODEL = ("gen_ai.response.model",)
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
)
_OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
)
_CLIENT = ("user.id", "enduser.id", "gen_ai.user.id")
_TENANT = ("tenant.id", "enduser.tenant", "organization.id")
_ADDRESS = ("client.address", "http.client_ip", "network.peer.address")
_AGENT = ("user_agent.original", "http.user_agent")
_STATUS = ("http.response.status_code", "http.status_code")
_PARAM_PREFIX = "gen_ai.request."
_PARAMS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "choice.count",
    "encoding_formats",
)
_PARAM_NAMES = {_PARAM_PREFIX + name: name for name in _PARAMS}
_SCALARS = (str, int, float)
_ASKED = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.prompt", "input.value")
_ANSWERED_WITH = ("gen_ai.output.messages", "gen_ai.completion", "output.value")
#: Flattened lists of messages: ``<prefix>.<n>...<ending>``.
_ASKED_LISTS = ("llm.input_messages.", "gen_ai.prompt.", "llm.prompts.", "embedding.embeddings.")
_ANSWERED_LISTS = ("llm.output_messages.", "gen_ai.completion.")
_ENDINGS = (
    ".content",
    ".text",
    ".prompt.text",
    ".function.name",
    ".function.arguments",
    ".message_content.text",
)
_ANSWERED, _FAILED = 200, 500
_MAX_STATUS = 999
_NS_PER_US = 1000
_TRACE_CHARS, _SPAN_CHARS = 32, 16


def call_of(span: Span, limit: int) -> Event | None:
    """Return the call that a span tells of, None if it tells of something else.

    Raises
    ------
    PoisonRecord
        If an identity is too long, or a number out of range.
    """
    found = span.attributes
    operation = _operation(found)
    if operation is None:
        return None
    error = _first(found, ("error.type",)) or ("error" if span.failed else None)
    status = _first(found, _STATUS) or (_FAILED if error else _ANSWERED)
    address = _text(_first(found, _ADDRESS), limit)
    duration_us = max(span.end_ns - span.start_ns, 0) // _NS_PER_US
    attributes = Named(
        client=_text(_first(found, _CLIENT), limit),
        tenant=_text(_first(found, _TENANT) or _first(span.resource, _TENANT), limit),
        clientip=forwarded_address(address) if address else None,
        useragent=_text(_first(found, _AGENT), limit),
        model=_text(_first(found, _MODEL), limit),
        modelversion=_text(_first(found, _RESPONSE_MODEL), limit),
        status=_status(status),
        latencyus=str(duration_us) if span.end_ns else None,
        traceparent=_traceparent(span),
    )
    given = {name: found[key] for key, name in _PARAM_NAMES.items() if key in found}
    params = as_params({name: value for name, value in given.items() if _is_scalar(value)})
    request = RequestBody(
        operation, [RequestRow(prompt=_texts(found, _ASKED, _ASKED_LISTS))], params=params
    )
    response = ResponseBody(
        [ResponseRow(completion=_texts(found, _ANSWERED_WITH, _ANSWERED_LISTS))],
        error=_text(error, limit),
        input_tokens=_count(_first(found, _INPUT_TOKENS)),
        output_tokens=_count(_first(found, _OUTPUT_TOKENS)),
    )
    source = _text(_first(span.resource, ("service.name",)), limit) or "otlp"
    time_us = span.start_ns // _NS_PER_US
    event_id = span.trace_id + span.span_id if span.span_id else ""
    return Event(Part.COMPLETE, source, event_id, attributes, request, response, time_us or None)


def _operation(found: Attributes) -> str | None:
    name = found.get("gen_ai.operation.name")
    if isinstance(name, str):
        return _OPERATIONS.get(name)
    kind = found.get("openinference.span.kind")
    if isinstance(kind, str):
        return _KINDS.get(kind.upper())
    # conventions older than the operation's name
    return "chat" if "gen_ai.request.model" in found and "gen_ai.system" in found else None


def _texts(found: Attributes, whole: tuple[str, ...], lists: tuple[str, ...]) -> str | None:
    """Return the text of messages, from whole values, else from flattened lists."""
    listed = _listed(found, lists)
    if listed:
        return "\n".join(listed)
    texts = [text for name in whole if name in found for text in _unpacked(found[name])]
    return "\n".join(texts) if texts else None


def _listed(found: Attributes, prefixes: tuple[str, ...]) -> list[str]:
    names = [name for name in found if name.startswith(prefixes) and name.endswith(_ENDINGS)]
    texts = [found[name] for name in sorted(names, key=_natural)]
    return [text for text in texts if isinstance(text, str) and text]


def _natural(name: str) -> list[tuple[int, str]]:
    """Order ``.10.`` behind ``.9.``."""
    return [
        (int(part) if part.isascii() and part.isdigit() and len(part) < 10 else -1, part)
        for part in name.split(".")
    ]


def _unpacked(value: Any) -> list[str]:
    """Return the texts of a value; messages may be JSON within a text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = Document(value.encode()).value()
        except PoisonRecord:  # it only looked like JSON
            return [value]
    return walk_texts(value)


def _first(found: Attributes, names: tuple[str, ...]) -> Any:
    for name in names:
        value = found.get(name)
        if value is not None:
            return value
    return None


def _text(value: Any, limit: int) -> str | None:
    if value is None or not _is_scalar(value) or value == "":
        return None
    text = str(value)
    if len(text) > limit:
        raise poison("attribute_too_long")
    return text


def _is_scalar(value: Any) -> bool:
    return isinstance(value, _SCALARS)


def _status(value: Any) -> str:
    text = str(value)
    fits = text.isascii() and text.isdigit() and int(text[:9]) <= _MAX_STATUS
    return text[:3] if fits else str(_ANSWERED)


def _count(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return None
    if not 0 <= value <= INT32_MAX:
        raise poison("int_out_of_range")
    return value


def _traceparent(span: Span) -> str | None:
    if len(span.trace_id) != _TRACE_CHARS or len(span.span_id) != _SPAN_CHARS:
        return None
    return f"00-{span.trace_id}-{span.span_id}-01"
