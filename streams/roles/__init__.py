"""The roles, and how one is found by its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from config.errors import ConfigError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.roles.base import Role

#: Role name to the module whose ``make(settings)`` builds it; imported only when it runs.
ROLES = {
    "ingest": "streams.roles.ingest",
    "serve": "streams.roles.serve",
    "detect": "streams.roles.detect",
    "respond": "streams.roles.respond",
    "index": "streams.roles.index",
}


def load_role(name: str, settings: Settings) -> Role:
    """Build the role called ``name``.

    Raises
    ------
    ConfigError
        If there is no such role.
    """
    module = ROLES.get(name)
    if module is None:
        raise ConfigError(f"there is no role {name!r}; there are {', '.join(ROLES)}")
    role: Role = import_module(module).make(settings)
    return role
