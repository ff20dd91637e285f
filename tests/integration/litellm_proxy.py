"""LiteLLM's own endpoints for customers and keys, over tables in memory: ``PORT`` is the argument.

Run by a Python that has ``litellm[proxy]``; nothing of Vedette is imported. Only the database and
the check of the caller's key are replaced.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI
from litellm.proxy import proxy_server
from litellm.proxy._types import (
    LiteLLM_EndUserTable,
    LiteLLM_VerificationToken,
    LitellmUserRoles,
    UserAPIKeyAuth,
)
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth
from litellm.proxy.management_endpoints import customer_endpoints, key_management_endpoints


class Table:
    """Rows by their key, with the calls that the endpoints make."""

    def __init__(self, model, key, *rows):
        self.model, self.key = model, key
        self.rows = {getattr(row, key): row for row in rows}

    async def find_many(self, *_, skip=0, take=None, **__):
        return list(self.rows.values())[skip:][:take]

    async def find_first(self, *, where, **_):
        return self.rows.get(where[self.key])

    find_unique = find_first

    async def count(self, *_, **__):
        return len(self.rows)

    async def update(self, *, where, data, **_):
        row = self.rows[where[self.key]]
        self.rows[where[self.key]] = made = row.model_copy(update=data)
        return made

    async def upsert(self, *, where, data):
        if where[self.key] in self.rows:
            return await self.update(where=where, data=data["update"])
        self.rows[where[self.key]] = made = self.model(**data["create"])
        return made


customers = Table(
    LiteLLM_EndUserTable,
    "user_id",
    *(LiteLLM_EndUserTable(user_id=name, blocked=False) for name in ("alice", "mallory")),
)
keys = Table(
    LiteLLM_VerificationToken,
    "token",
    *(
        LiteLLM_VerificationToken(token=f"{number:064x}", user_id=f"user-{number}")
        for number in range(120)
    ),
)
proxy_server.prisma_client = SimpleNamespace(
    db=SimpleNamespace(litellm_endusertable=customers, litellm_verificationtoken=keys)
)
app = FastAPI()
app.include_router(customer_endpoints.router)
app.include_router(key_management_endpoints.router)
app.dependency_overrides[user_api_key_auth] = lambda: UserAPIKeyAuth(
    user_role=LitellmUserRoles.PROXY_ADMIN, user_id="admin"
)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
