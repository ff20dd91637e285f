"""The members by which the formats of JSON bodies are told apart, looked for once a body."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

_Raw = msgspec.Raw | UnsetType


class Signs(msgspec.Struct, gc=False):
    """What a body has of the members that tell its format, unread."""

    # Open Inference Protocol V2
    inputs: _Raw = UNSET
    outputs: _Raw = UNSET
    # V1
    instances: _Raw = UNSET
    predictions: _Raw = UNSET
    # OpenAI and Anthropic
    messages: _Raw = UNSET
    prompt: _Raw = UNSET
    input: _Raw = UNSET
    model: _Raw = UNSET
    choices: _Raw = UNSET
    object: _Raw = UNSET
    error: _Raw = UNSET
    type: _Raw = UNSET
    system: _Raw = UNSET
    anthropic_version: _Raw = UNSET
    stop_sequences: _Raw = UNSET
    # the Responses API
    output: _Raw = UNSET
    instructions: _Raw = UNSET
    max_output_tokens: _Raw = UNSET
    previous_response_id: _Raw = UNSET
    # Seldon Core v1
    data: _Raw = UNSET
    strData: _Raw = UNSET  # noqa: N815 - the wire's name
    status: _Raw = UNSET
