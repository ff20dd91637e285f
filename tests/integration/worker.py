"""Runs one role as a worker: ``python -m tests.integration.worker respond``."""

from __future__ import annotations

import importlib
import sys

from config.settings import load_settings
from streams.runtime import run_role


def main(role: str) -> int:
    settings = load_settings()
    return run_role(importlib.import_module(f"streams.roles.{role}").make(settings), settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
