"""An intake whose broker never acknowledges, for a test to flood: prints its port, and waits."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from config.settings import IntakeSettings, Settings
from streams.intake.door import Door
from streams.intake.server import Intake
from tests.unit.intake.test_server import Broker


async def main(max_body_bytes: int, max_waiting_bytes: int) -> None:
    settings = IntakeSettings(
        port=0,
        max_body_bytes=max_body_bytes,
        max_waiting_bytes=max_waiting_bytes,
        acknowledge_timeout_s=600,
        max_connections_per_address=1024,
    )
    broker = Broker()
    broker.gate.clear()
    intake = Intake(Settings(intake=settings), broker)
    await intake.open()
    runner = web.AppRunner(intake.application(), access_log=None)
    await runner.setup()
    assert runner.server is not None
    sys.stdout.write(f"{Door(settings, runner.server).open()}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
