"""From a span to a model call: OpenTelemetry's GenAI conventions and OpenInference.

References
----------
OpenTelemetry semantic conventions, "Generative AI" (development), with the names of 1.27 to
1.37; OpenInference specification, "Semantic Conventions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from streams.decode.body import INT32_MAX
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
#: What is read of a span -> the attributes that say it; the first that is given counts.
_FIELDS = {
    "model": ("gen_ai.request.model", "llm.model_name", "embedding.model_name"),
    "answering_model": ("gen_ai.response.model",),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "client": ("user.id", "enduser.id", "gen_ai.user.id"),
    "tenant": ("tenant.id", "enduser.tenant", "organization.id"),
    "address": ("client.address", "http.client_ip", "network.peer.address"),
    "agent": ("user_agent.original", "http.user_agent"),
    "status": ("http.response.status_code", "http.status_code"),
    "error": ("error.type",),
    "service": ("service.name",),
}
_FIELD_OF = {name: field for field, names in _FIELDS.items() for name in names}
#: The later of two names of a field counts less.
_RANK = {name: -rank for names in _FIELDS.values() for rank, name in enumerate(names)}
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
_LISTS = _ASKED_LISTS + _ANSWERED_LISTS
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
_ANY = msgspec.json.Decoder(Any)


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
    own, shared = _known(found).get, _known(span.resource).get
    failure = own("error") or ("error" if span.failed else None)
    address = _text(own("address"), limit)
    duration_us = max(span.end_ns - span.start_ns, 0) // _NS_PER_US
    named = Named(
        client=_text(own("client"), limit),
        tenant=_text(own("tenant") or shared("tenant"), limit),
        clientip=forwarded_address(address) if address else None,
        useragent=_text(own("agent"), limit),
        model=_text(own("model"), limit),
        modelversion=_text(own("answering_model"), limit),
        status=_status(own("status") or (_FAILED if failure else _ANSWERED)),
        latencyus=str(duration_us) if span.end_ns else None,
        traceparent=_traceparent(span),
    )
    prompt, completion = _texts(found)
    request = RequestBody(operation, [RequestRow(prompt=prompt)], params=_params(found))
    response = ResponseBody(
        [ResponseRow(completion=completion)],
        error=_text(failure, limit),
        input_tokens=_count(own("input_tokens")),
        output_tokens=_count(own("output_tokens")),
    )
    source = _text(shared("service"), limit) or "otlp"
    time_us = span.start_ns // _NS_PER_US
    event_id = span.trace_id + span.span_id if span.span_id else ""
    return Event(Part.COMPLETE, source, event_id, named, request, response, time_us or None)


def _known(found: Attributes) -> dict[str, Any]:
    """Return what attributes say, by `_FIELDS`."""
    if not found:
        return found
    names = sorted(found.keys() & _FIELD_OF.keys(), key=_RANK.__getitem__)
    return {_FIELD_OF[name]: found[name] for name in names if found[name] is not None}


def _params(found: Attributes) -> dict[str, str] | None:
    names = found.keys() & _PARAM_NAMES.keys()
    if not names:
        return None
    given = {_PARAM_NAMES[name]: found[name] for name in sorted(names)}
    return as_params({name: value for name, value in given.items() if _is_scalar(value)})


def _operation(found: Attributes) -> str | None:
    name = found.get("gen_ai.operation.name")
    if isinstance(name, str):
        return _OPERATIONS.get(name)
    kind = found.get("openinference.span.kind")
    if isinstance(kind, str):
        return _KINDS.get(kind.upper())
    # conventions older than the operation's name
    return "chat" if "gen_ai.request.model" in found and "gen_ai.system" in found else None


def _texts(found: Attributes) -> tuple[str | None, str | None]:
    """Return prompt and answer, from whole values, else from flattened lists."""
    listed = [name for name in found if name.startswith(_LISTS) and name.endswith(_ENDINGS)]
    return (
        _listed(found, listed, _ASKED_LISTS) or _whole(found, _ASKED),
        _listed(found, listed, _ANSWERED_LISTS) or _whole(found, _ANSWERED_WITH),
    )


def _whole(found: Attributes, names: tuple[str, ...]) -> str | None:
    texts: list[str] = []
    for name in names:
        if name in found:
            texts += _unpacked(found[name])
    return "\n".join(texts) if texts else None


def _listed(found: Attributes, names: list[str], prefixes: tuple[str, ...]) -> str | None:
    """Return the texts of flattened messages, None if there are none."""
    if not names:
        return None
    own = sorted((name for name in names if name.startswith(prefixes)), key=_natural)
    texts = [text for name in own if isinstance(text := found[name], str) and text]
    return "\n".join(texts) if texts else None


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
            value = _ANY.decode(value)
        except (msgspec.DecodeError, RecursionError, ValueError):  # it only looked like JSON
            return [value]
    return walk_texts(value)


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
