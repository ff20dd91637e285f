"""A loopback webhook endpoint."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping


@contextlib.asynccontextmanager
async def listening(
    handlers: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]],
) -> AsyncIterator[int]:
    """Answer POSTs to some paths; yield the port."""
    app = web.Application()
    for path, handle in handlers.items():
        app.router.add_post(path, handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site._server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
