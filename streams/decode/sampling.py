"""What a chat request asks for beyond its text, whichever of the APIs it is written for.

Asking for log-probabilities, biases or many samples is itself a sign of extraction and of
membership inference. All formats read all of it, so that a member that makes a body look like
another format's does not hide it.
"""

from __future__ import annotations

from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

_LOGIT_BIAS_DIGITS = 16
_PARAM_CHARS = 64
_PARAMS = (
    "temperature",
    "top_p",
    "top_k",
    "n",
    "best_of",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "logprobs",
    "top_logprobs",
    "echo",
    "seed",
    "stream",
    "store",
    "frequency_penalty",
    "presence_penalty",
    "dimensions",
    "encoding_format",
    "reasoning_effort",
)
_values = attrgetter(*_PARAMS)
_NOTHING = (None,) * len(_PARAMS)


class Sampling(msgspec.Struct, gc=False):
    """Members that all chat requests share."""

    temperature: int | float | None = None
    top_p: int | float | None = None
    top_k: int | None = None
    n: int | None = None
    best_of: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    echo: bool | None = None
    seed: int | None = None
    stream: bool | None = None
    store: bool | None = None
    frequency_penalty: int | float | None = None
    presence_penalty: int | float | None = None
    logit_bias: dict[str, float] | None = None
    dimensions: int | None = None
    encoding_format: str | None = None
    reasoning_effort: str | None = None
    tools: list[Any] | None = None

    def params(self) -> dict[str, str] | None:
        """Return what is given, as texts; a bias only as a hash, None if nothing is given."""
        values = _values(self)
        params: dict[str, str] = {}
        if values != _NOTHING:
            for name, value in zip(_PARAMS, values, strict=True):
                if value is not None:
                    text = str(value).lower() if isinstance(value, bool) else str(value)
                    params[name] = text[:_PARAM_CHARS]
        if self.tools:
            params["tools"] = str(len(self.tools))
        if self.logit_bias:
            bias = msgspec.json.encode(sorted(self.logit_bias.items()))
            params["logit_bias"] = sha256(bias).hexdigest()[:_LOGIT_BIAS_DIGITS]
        return params or None
