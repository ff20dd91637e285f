"""What can go wrong with the embedded broker, and what to do about it."""

from __future__ import annotations

from config.errors import Fatal

REMEDY = (
    "Or use a broker of your own: set VEDETTE_KAFKA__BOOTSTRAP_SERVERS=host:port, "
    "or run `docker compose up kafka`."
)


class BrokerError(Fatal):
    """The embedded broker cannot be had; the text says why and names the alternatives."""

    def __init__(self, message: str) -> None:
        super().__init__(f"{message} {REMEDY}")
