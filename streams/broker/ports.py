"""Ports on loopback: which are free, which answer."""

from __future__ import annotations

import random
import socket

from streams.broker.errors import BrokerError

LOOPBACK = "127.0.0.1"
_OURS = {LOOPBACK, "localhost"}
#: Below the range from which Linux takes the ports of outgoing connections: one of those could
#: take a port between the moment it was found free and the moment a broker binds it.
_CHOICE = range(20_000, 32_000)
_ATTEMPTS = 100


def is_embedded(bootstrap_servers: str) -> bool:
    """Tell whether the address is one that the embedded broker can serve."""
    host, colon, port = bootstrap_servers.strip().rpartition(":")
    return bool(colon) and host in _OURS and port.isdigit()


def split_address(bootstrap_servers: str) -> tuple[str, int]:
    """Return host and port of an embedded broker's address.

    Raises
    ------
    BrokerError
        If it is not one address on loopback.
    """
    if not is_embedded(bootstrap_servers):
        raise BrokerError(
            "The embedded broker only listens on 127.0.0.1:PORT, "
            f"and VEDETTE_KAFKA__BOOTSTRAP_SERVERS is {bootstrap_servers}."
        )
    host, _, port = bootstrap_servers.strip().rpartition(":")
    return host, int(port)


def free_port() -> int:
    """Pick a port that nobody listens on.

    Raises
    ------
    BrokerError
        If none was found.
    """
    for port in random.sample(_CHOICE, _ATTEMPTS):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise BrokerError(
        f"No free port was found from {_CHOICE.start} to {_CHOICE.stop}; "
        "stop a program that listens there."
    )


def is_open(port: int) -> bool:
    """Tell whether somebody listens on ``port``."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0
