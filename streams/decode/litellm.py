"""LiteLLM's StandardLoggingPayload: one object, an array, or one a line; each is a whole call.

Of several calls a bad one is refused alone.

Builds differ in which fields there are and of which type, so every field is optional and one of
another type counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from config.errors import PoisonRecord
from streams.decode.batch import tried
from streams.decode.body import bounded, bounded_count
from streams.decode.document import Document, Shape
from streams.decode.envelope import Attributes, parse_time_us
from streams.decode.event import Event
from streams.decode.json_body import decode_json
from streams.decode.model import Part, RequestBody, RequestRow, ResponseBody, ResponseRow
from streams.decode.reasons import poison
from streams.decode.texts import as_params, flat_text
from streams.identity import forwarded_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.decode.event import Refused
    from streams.decode.reader import BodyReader
    from streams.roles.base import Record

_SIGNS = frozenset(
    {
        "call_type",
        "custom_llm_provider",
        "hidden_params",
        "model_group",
        "model_parameters",
        "startTime",
        "status_fields",
        "trace_id",
    }
)
_ENOUGH_SIGNS = 3
_OPERATIONS = {"embedding": "embedding", "text_completion": "completion", "moderation": "predict"}
_PARAMS = frozenset(
    {
        "temperature",
        "top_p",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
        "seed",
        "stream",
        "dimensions",
        "encoding_format",
    }
)
#: What is believed of the status of all guardrails together.
_UNSAFE = frozenset({"guardrail_intervened", "not_run", "not_scanned"})
_ANSWERED, _FAILED = 200, 500
_MICRO = 1_000_000
_MAX_TIME_S = 1e11

_SCALARS = (str, int, float, bool)


class Payload(msgspec.Struct, gc=False):
    """The fields that are read."""

    id: Any = None
    call_id: Any = None
    litellm_call_id: Any = None
    trace_id: Any = None
    call_type: Any = None
    stream: Any = None
    status: Any = None
    status_fields: Any = None
    error_information: Any = None
    cache_hit: Any = None
    total_tokens: Any = None
    prompt_tokens: Any = None
    completion_tokens: Any = None
    startTime: Any = None  # noqa: N815 - the wire's names
    endTime: Any = None  # noqa: N815
    response_time: Any = None
    model: Any = None
    model_group: Any = None
    model_parameters: Any = None
    metadata: Any = None
    end_user: Any = None
    requester_ip_address: Any = None
    user_agent: Any = None
    messages: Any = None
    guardrail_information: Any = None


_PAYLOAD, _ANYTHING = Shape[Payload](Payload), Shape[Any](Any)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class LiteLlmFormat:
    """Reads the calls of a record."""

    def __init__(self, bodies: BodyReader) -> None:
        self._bodies = bodies
        self._limit = bodies.limits.identity_bytes
        self._rows = bodies.limits.rows

    def events(
        self, _record: Record, document: Document, _attributes: Attributes, /
    ) -> list[Event | Refused] | None:
        """Return one event a call; None if the first object is none of LiteLLM's."""
        items = _split(document)
        if not items or not _is_payload(items[0]):
            return None
        if len(items) > self._rows:
            raise poison("too_many_events")
        if len(items) == 1:
            return [self._event(items[0])]
        return [tried(self._event, item) for item in items]

    def single(self, value: bytes, numbers: Sequence[int], /) -> Iterator[bytes]:
        """Yield the objects of some calls."""
        items = _split(Document(value)) or []
        return (items[number].text or b"" for number in numbers)

    def _event(self, item: Document) -> Event:
        item.check()
        payload = item.read(_PAYLOAD)
        failed = payload.status == "failure"
        event_id = _text(payload.id) or _text(payload.call_id) or _text(payload.litellm_call_id)
        status, error = self._outcome(payload) if failed else (_ANSWERED, None)
        response = self._response(payload, item.member("response"), failed=failed)
        response.error = error
        who, limit = _Caller.of(payload), self._limit
        model = _text(payload.model)
        attributes = Attributes(
            client=bounded(who.client, limit),
            tenant=bounded(who.tenant, limit),
            keyid=bounded(who.key, limit),
            clientip=who.address,
            useragent=bounded(_text(payload.user_agent), limit),
            model=bounded(_text(payload.model_group) or model, limit),
            modelversion=bounded(model, limit),
            status=str(status),
            latencyus=_latency_us(payload),
        )
        return Event(
            Part.COMPLETE,
            "litellm",
            event_id or "",
            attributes,
            self._request(payload),
            response,
            _time_us(payload.startTime),
            document=item,
        )

    def _request(self, payload: Payload) -> RequestBody:
        given = _members(payload.model_parameters).items()
        asked = {name: value for name, value in given if name in _PARAMS}
        params = as_params({name: _scalar(value) for name, value in asked.items()}) or {}
        params["guardrail"] = _guardrail(payload)
        if payload.cache_hit is True:
            params["cache_hit"] = "true"
        prompt = None if payload.messages is None else flat_text(payload.messages)
        return RequestBody(_operation(payload), [RequestRow(prompt=prompt)], params=params)

    def _response(self, payload: Payload, answer: Document | None, *, failed: bool) -> ResponseBody:
        body = self._answer(answer)
        if failed:  # LiteLLM writes zeros where it does not know
            return body
        asked, answered = _whole(payload.prompt_tokens), _whole(payload.completion_tokens)
        if asked is not None:
            body.input_tokens = bounded_count(asked)
        if answered is not None:
            body.output_tokens = bounded_count(answered)
        return body

    def _answer(self, answer: Document | None) -> ResponseBody:
        if answer is None or answer.is_null():
            return ResponseBody([ResponseRow()])
        try:
            body = self._bodies.response(answer)
        except PoisonRecord:
            return ResponseBody([ResponseRow(completion=flat_text(answer.read(_ANYTHING)))])
        return body if len(body.rows) == 1 else ResponseBody([ResponseRow()])

    def _outcome(self, payload: Payload) -> tuple[int, str]:
        """Return status and error; the message may quote the prompt and is not read."""
        information = _members(payload.error_information)
        code = _text(information.get("error_code")) or ""
        name = _text(information.get("error_class")) or code or "failure"
        status = int(code) if len(code) == 3 and code.isascii() and code.isdigit() else _FAILED
        return status, name[: self._limit]


def _split(document: Document) -> list[Document] | None:
    """Return the objects; None if it is no JSON."""
    if document.parse():
        return [document]
    text = (document.text or b"").strip()
    try:
        if text.startswith(b"["):
            return [Document(bytes(raw)) for raw in decode_json(_ITEMS, text)]
        return _lines(text) if text.startswith(b"{") else None
    except PoisonRecord:
        return None


def _lines(text: bytes) -> list[Document]:
    """Return the lines, unless the line feeds lie within a single object."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        decode_json(_OBJECT, lines[0])
    except PoisonRecord:
        return [Document(text)]
    return [Document(line) for line in lines]


def _is_payload(item: Document) -> bool:
    try:
        return len(item.members().keys() & _SIGNS) >= _ENOUGH_SIGNS
    except PoisonRecord:
        return False


class _Caller(msgspec.Struct, gc=False):
    client: str | None
    tenant: str | None
    key: str | None
    address: str | None

    @classmethod
    def of(cls, payload: Payload) -> _Caller:
        """Read who called: the key's owner, else the key; what the caller says comes last."""
        said = _members(payload.metadata).get
        key = _text(said("user_api_key_hash"))
        address = _text(payload.requester_ip_address) or _text(said("requester_ip_address"))
        return cls(
            _text(said("user_api_key_user_id")) or key or _text(payload.end_user),
            _text(said("user_api_key_org_id")) or _text(said("user_api_key_team_id")),
            key,
            forwarded_address(address) if address else None,
        )


def _guardrail(payload: Payload) -> str:
    """Return the worst that guardrails say; a success proves no scan unless one tells of it."""
    listed = payload.guardrail_information
    if listed:
        listed = listed if isinstance(listed, list) else [listed]
        states = [_text(_members(item).get("guardrail_status")) for item in listed]
        told = [state for state in states if state]
        if "guardrail_intervened" in told:
            return "guardrail_intervened"
        if told:
            return next((state for state in told if state != "success"), "success")[:64]
    overall = _text(_members(payload.status_fields).get("guardrail_status"))
    return overall if overall in _UNSAFE else "not_scanned"


def _operation(payload: Payload) -> str:
    kind = (_text(payload.call_type) or "").lower()
    plain = kind.removeprefix("a") if kind.startswith(("aembed", "atext", "amoder")) else kind
    return _OPERATIONS.get(plain, "chat")


def _time_us(value: Any) -> int | None:
    if isinstance(value, str):
        return parse_time_us(value)
    if type(value) not in (int, float) or not 0 <= value < _MAX_TIME_S:
        return None
    return round(float(value) * _MICRO)


def _latency_us(payload: Payload) -> str | None:
    start, end = payload.startTime, payload.endTime
    seconds = payload.response_time
    if type(seconds) not in (int, float):
        if type(start) not in (int, float) or type(end) not in (int, float):
            return None
        seconds = end - start
    return str(round(seconds * _MICRO)) if 0 <= seconds < _MAX_TIME_S else None


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int else None


def _scalar(value: Any) -> Any:
    return value if isinstance(value, _SCALARS) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
