"""Blocks and unblocks the customers of a LiteLLM proxy.

LiteLLM knows customers by name, Vedette by pseudonym: the proxy's list of customers is asked for,
and each name's pseudonym looked up. Only who was blocked from here is unblocked from here: a
block that somebody set by hand stays.

References
----------
docs.litellm.ai: ``GET /customer/list``, ``POST /customer/block`` and ``/customer/unblock``
with ``{"user_ids": [...]}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import msgspec
import structlog

from streams.notify.addresses import PublicResolver
from streams.notify.http import checked_url, failure_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from config.respond import LiteLLMSettings

log = structlog.get_logger(__name__)

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 << 20
MAX_BATCH = 500


class _Customer(msgspec.Struct):
    user_id: str
    blocked: bool = False


class LiteLLMAdapter:
    """Keeps the proxy's blocks equal to the verdicts.

    Parameters
    ----------
    settings
        Where the proxy is; its key never appears in logs.
    pseudonym
        Turns a customer's name into the pseudonym that verdicts use.
    memory
        File that remembers whom this adapter has blocked.
    """

    def __init__(
        self, settings: LiteLLMSettings, pseudonym: Callable[[str, str], str], memory: Path
    ) -> None:
        self._url = checked_url("litellm", settings.url, allow_private=settings.allow_private)
        self._key = settings.key
        self._private = settings.allow_private
        self._pseudonym = pseudonym
        self._memory = memory
        self._ours: set[str] = set(_read(memory))
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def sync(self, blocked: Collection[str]) -> bool:
        """Make the proxy block exactly these pseudonyms; false if it has to be tried again."""
        try:
            await self._sync(frozenset(blocked))
        except (aiohttp.ClientError, OSError) as error:
            log.warning("litellm did not follow, will retry", reason=failure_reason(error))
            return False
        except msgspec.DecodeError:
            log.warning("litellm did not follow, will retry", reason="bad_answer")
            return False
        return True

    async def _sync(self, blocked: frozenset[str]) -> None:
        customers = await self._customers()
        names = {customer.user_id for customer in customers}
        wanted = {name for name in names if self._pseudonym("client", name) in blocked}
        held = {customer.user_id for customer in customers if customer.blocked}
        # Ours before the call: who is blocked by a call that we did not survive must be lifted.
        await self._remember(self._ours | (wanted - held))
        await self._post("block", wanted - held)
        over = (self._ours & held) - wanted
        await self._post("unblock", over)
        await self._remember(self._ours & wanted)

    async def _remember(self, ours: set[str]) -> None:
        if ours != self._ours:
            self._ours = ours
            _write(self._memory, ours)

    async def _customers(self) -> list[_Customer]:
        async with self._opened().get(
            self._url / "customer/list", headers=self._headers(), allow_redirects=False
        ) as response:
            response.raise_for_status()
            data = await response.content.read(MAX_ANSWER_BYTES)
        return msgspec.json.decode(data, type=list[_Customer])

    async def _post(self, verb: str, names: set[str]) -> None:
        ordered = sorted(names)
        for start in range(0, len(ordered), MAX_BATCH):
            async with self._opened().post(
                self._url / f"customer/{verb}",
                headers=self._headers(),
                json={"user_ids": ordered[start : start + MAX_BATCH]},
                allow_redirects=False,
            ) as response:
                response.raise_for_status()
        if names:
            log.info("litellm customers changed", verb=verb, customers=len(names))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = None if self._private else PublicResolver()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key.get_secret_value()}"}


def _read(path: Path) -> list[str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def _write(path: Path, names: set[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.encode(sorted(names)))
    temporary.replace(path)
