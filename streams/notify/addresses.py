"""Protection against forged requests: only public addresses, checked after resolving.

The address that was checked is the one that is connected to, so a name that resolves
differently the second time gains nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

if TYPE_CHECKING:
    Address = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefusedError(OSError):
    """A webhook's host is, or resolves to, an address that is not public."""

    def __init__(self) -> None:
        super().__init__("the host resolves to an address that is not public")


def is_public(text: str) -> bool:
    """Tell whether an address is a public unicast one, looking through IPv6 wrappings.

    Examples
    --------
    >>> is_public("9.9.9.9"), is_public("::ffff:10.0.0.1"), is_public("169.254.169.254")
    (True, False, False)
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if address in _NAT64:
        # Where there is only IPv6, this is how every IPv4 host looks.
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    return all(_public(item) for item in (address, *_embedded(address)))


def _public(address: Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _embedded(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return []
    found: list[Address] = [
        item for item in (address.ipv4_mapped, address.sixtofour) if item is not None
    ]
    found.extend(address.teredo or ())
    return found


class PublicResolver(AbstractResolver):
    """Resolves names, refusing those with any address that is not public."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve ``host``.

        Raises
        ------
        AddressRefusedError
            If one of its addresses is not public.
        """
        inner = self._inner = self._inner or ThreadedResolver()
        results = await inner.resolve(host, port, family)
        if not results or not all(is_public(result["host"]) for result in results):
            raise AddressRefusedError
        return results

    async def close(self) -> None:
        """Close the inner resolver."""
        if self._inner is not None:
            await self._inner.close()
