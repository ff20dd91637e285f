"""Blocks and unblocks the customers and the virtual keys of a LiteLLM proxy.

LiteLLM knows who calls by name, Vedette by pseudonym: the proxy's lists are asked for, and each
name's pseudonym is looked up. The name of a key is that of its user, else its hash, as `decode`
reads it. Only who was blocked from here is unblocked from here: a block that somebody set by hand
stays.

A blocked key is refused by every proxy. A blocked customer is refused only where the proxy has the
callback ``blocked_user_check``; ``/customer/unblock`` empties that callback's own list and not the
table, so customers are unblocked by ``/customer/update``.

References
----------
litellm 1.108.7, ``proxy/management_endpoints``: ``customer_endpoints.py``,
``key_management_endpoints.py``; BerriAI/litellm issues 35564 and 41575.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import aiohttp
import msgspec
import structlog

from streams.notify.addresses import PublicResolver
from streams.notify.http import checked_url, failure_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from config.respond import LiteLLMSettings

log = structlog.get_logger(__name__)

TIMEOUT_S = 15.0
MAX_ANSWER_BYTES = 64 << 20
_PART_BYTES = 64 << 10
MAX_BATCH = 500
#: What one page of ``/key/list`` holds at most.
KEYS_A_PAGE = 100
MAX_PAGES = 1000


class _Customer(msgspec.Struct):
    user_id: str
    blocked: bool = False


class _Key(msgspec.Struct):
    token: str
    user_id: str | None = None
    blocked: bool | None = None


class _KeyPage(msgspec.Struct):
    keys: list[_Key]
    total_pages: int | None = None


class _Caller(NamedTuple):
    """Somebody whom the proxy can block; ``client`` is the name that ingest sees."""

    kind: Literal["customer", "key"]
    identity: str
    client: str
    blocked: bool

    @property
    def name(self) -> str:
        """Name in the adapter's memory."""
        return f"{self.kind} {self.identity}"


class LiteLLMAdapter:
    """Keeps the proxy's blocks equal to the verdicts.

    Parameters
    ----------
    settings
        Where the proxy is; its key never appears in logs.
    pseudonyms
        Turns a customer's name into the pseudonyms that verdicts may use.
    memory
        File that remembers whom this adapter has blocked.
    """

    def __init__(
        self,
        settings: LiteLLMSettings,
        pseudonyms: Callable[[str, str], tuple[str, ...]],
        memory: Path,
    ) -> None:
        self._url = checked_url("litellm", settings.url, allow_private=settings.allow_private)
        self._key = settings.key
        self._private = settings.allow_private
        self._pseudonyms = pseudonyms
        self._memory = memory
        self._ours: set[str] = set(_read(memory))
        # A client who shares the adapter's own key cannot be blocked by it.
        self._own_key = hashlib.sha256(settings.key.get_secret_value().encode()).hexdigest()
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
        callers = [*await self._customers(), *await self._keys()]
        wanted = {
            caller.name
            for caller in callers
            if not blocked.isdisjoint(self._pseudonyms("client", caller.client))
            and caller.identity != self._own_key
        }
        held = {caller.name for caller in callers if caller.blocked}
        # Ours before the call: who is blocked by a call that we did not survive must be lifted.
        await self._remember(self._ours | (wanted - held))
        await self._change("block", wanted - held)
        await self._change("unblock", (self._ours & held) - wanted)
        await self._remember(self._ours & wanted)

    async def _remember(self, ours: set[str]) -> None:
        if ours != self._ours:
            self._ours = ours
            _write(self._memory, ours)

    async def _customers(self) -> list[_Caller]:
        found = msgspec.json.decode(await self._get("customer/list"), type=list[_Customer])
        return [_Caller("customer", item.user_id, item.user_id, item.blocked) for item in found]

    async def _keys(self) -> list[_Caller]:
        callers: list[_Caller] = []
        for number in range(1, MAX_PAGES + 1):
            query = {"page": number, "size": KEYS_A_PAGE, "return_full_object": "true"}
            page = msgspec.json.decode(await self._get("key/list", query), type=_KeyPage)
            callers += [
                _Caller("key", key.token, key.user_id or key.token, key.blocked is True)
                for key in page.keys
            ]
            if number >= (page.total_pages or 0):
                break
        return callers

    async def _get(self, path: str, query: dict[str, Any] | None = None) -> bytes:
        async with self._opened().get(
            self._url / path, params=query, headers=self._headers(), allow_redirects=False
        ) as response:
            response.raise_for_status()
            data = bytearray()
            async for part in response.content.iter_chunked(_PART_BYTES):
                data += part
                if len(data) > MAX_ANSWER_BYTES:
                    raise aiohttp.ClientPayloadError("the answer is too long")
            return bytes(data)

    async def _change(self, verb: Literal["block", "unblock"], names: set[str]) -> None:
        for path, body in _calls(verb, names):
            async with self._opened().post(
                self._url / path, headers=self._headers(), json=body, allow_redirects=False
            ) as response:
                response.raise_for_status()
        if names:
            log.info("litellm changed", verb=verb, callers=len(names))

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


def _calls(
    verb: Literal["block", "unblock"], names: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and body of each call that blocks or unblocks these names."""
    customers: list[str] = []
    for name in sorted(names):
        kind, _, identity = name.partition(" ")
        if kind == "key":
            yield f"key/{verb}", {"key": identity}
        elif verb == "unblock":
            yield "customer/update", {"user_id": identity, "blocked": False}
        else:
            customers.append(identity)
    for start in range(0, len(customers), MAX_BATCH):
        yield "customer/block", {"user_ids": customers[start : start + MAX_BATCH]}


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
