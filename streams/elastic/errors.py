"""What goes wrong between Vedette and Elasticsearch, without any content or URL in it."""

from __future__ import annotations

from config.errors import Fatal, VedetteError


class ElasticUnavailable(VedetteError):
    """Elasticsearch does not answer as it should; the text says what to look at."""


class NotSetUp(Fatal):
    """The templates are missing."""

    def __init__(self) -> None:
        super().__init__(
            "Elasticsearch has no template for Vedette's data streams; run `vedette elastic setup`"
        )


class AccessRefused(Fatal):
    """The API key is wrong or may too little."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"Elasticsearch refuses the API key (status {status}); `vedette elastic doctor` says "
            "what VEDETTE_ELASTIC__API_KEY may do and what it should"
        )
