"""Rules that are edited under a running respond are taken over, and mistakes are not."""

from __future__ import annotations

import asyncio
import itertools
import urllib.request
import uuid

import msgspec
import pytest

from streams.metrics.server import OFFSETS
from streams.rules.load import BUILT_IN
from streams.topics import FINDINGS
from tests.integration.killing import produce, role_process
from tests.integration.test_respond import environment, receiving
from tests.unit.respond.samples import finding

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BURST = (BUILT_IN / "burst.yaml").read_text()


async def test_edited_rules_hold_within_seconds_and_a_mistake_keeps_the_old_ones(
    broker, tmp_path, unused_tcp_port
):
    run, numbers = uuid.uuid4().hex[:8], itertools.count()
    rules = tmp_path / "rules"
    rules.mkdir()
    file = rules / "mine.yaml"

    def write(title):
        file.write_text(BURST.replace("title: Request burst", f"title: {title}"))

    write("First words")
    async with receiving() as receiver:
        receiver.dice.random = lambda: 1.0
        env = {
            **environment(broker, tmp_path, receiver.port),
            "VEDETTE_RESPOND__RULES_DIR": str(rules),
            "VEDETTE_METRICS__ENABLED": "true",
            "VEDETTE_METRICS__PORT": str(unused_tcp_port - OFFSETS["respond"]),
        }

        async def title_now():
            """Let something be found, and return the words of its alert."""
            model = f"m-{run}-{next(numbers)}"
            item = finding(id=model, kind="burst", model=model)
            await produce(broker, FINDINGS, [msgspec.json.encode(item)])

            def told():
                bodies = itertools.chain.from_iterable(receiver.ids.values())
                titles = [msgspec.json.decode(body)["data"]["title"] for body in bodies]
                return next((title for title in titles if title.endswith(model)), None)

            await role.until(lambda: told() is not None)
            return told().removesuffix(f" on {model}")

        def reloads(result):
            url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
            with urllib.request.urlopen(url, timeout=5) as answer:
                text = answer.read().decode()
            sample = f'vedette_rules_reload_total{{result="{result}"}} '
            return float(text.partition(sample)[2].split()[0])

        async def reloaded(result, count):
            for _ in range(100):
                if await asyncio.to_thread(reloads, result) == count:
                    return
                await asyncio.sleep(0.1)
            pytest.fail("the rules were not looked at")

        with role_process("respond", env) as role:
            assert await title_now() == "First words"
            write("Second words")
            await reloaded("ok", 1)
            assert await title_now() == "Second words"
            file.write_text(BURST.replace("kinds: [burst]", "kinds: [drift]"))
            await reloaded("error", 1)
            assert await title_now() == "Second words"
            write("Third words")
            await reloaded("ok", 2)
            assert await title_now() == "Third words"
