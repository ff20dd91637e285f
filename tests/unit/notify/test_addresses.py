"""Requests go to public addresses only, whatever a name resolves to."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver

from streams.notify.addresses import AddressRefusedError, PublicResolver, is_public

REFUSED = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::",
    "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::", "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2606:4700::1111", "64:ff9b::909:909"])
def test_public_addresses_pass(address):
    assert is_public(address)


class Fixed(AbstractResolver):
    def __init__(self, *addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": item, "port": port, "family": family, "proto": 0, "flags": 0}
            for item in self.addresses
        ]

    async def close(self):
        pass


async def test_a_name_with_one_private_address_is_refused_as_a_whole():
    with pytest.raises(AddressRefusedError):
        await PublicResolver(Fixed("9.9.9.9", "10.0.0.1")).resolve("example.org", 443)


async def test_a_name_without_addresses_is_refused():
    with pytest.raises(AddressRefusedError):
        await PublicResolver(Fixed()).resolve("example.org", 443)


async def test_the_checked_addresses_are_the_ones_connected_to():
    (result,) = await PublicResolver(Fixed("9.9.9.9")).resolve("example.org", 443)
    assert result["host"] == "9.9.9.9"
