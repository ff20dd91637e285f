"""Content on its whole way: said, kept, read on record, shredded, and the trail still verified."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from config.errors import VedetteError
from streams.cli import main
from streams.cli.view import audit_reader, names_of
from streams.store.search import Query
from streams.topics import AUDIT
from tests.integration.ingesting import create_topics
from tests.integration.killing import role_process
from tests.integration.test_respond import everything
from tests.unit.decode.records import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.store.search import Document

CALLS = 3
TENANT = "acme"


def chat(text: str) -> bytes:
    """Return a call of a chat model with its answer."""
    return json.dumps(
        {
            "request": {"model": "assistant", "messages": [{"role": "user", "content": text}]},
            "response": {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1_790_000_000,
                "model": "assistant",
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": f"so {text} it is"},
                    }
                ],
            },
        }
    ).encode()


class Keeping:
    """An installation whose tenant allows content to be kept.

    Parameters
    ----------
    environment
        Of its roles; this process has it too.
    broker, topic
        Where producers write.
    capsys
        What commands print.
    """

    def __init__(
        self,
        environment: dict[str, str],
        broker: str,
        topic: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.environment = environment
        self._broker = broker
        self._topic = topic
        self._capsys = capsys

    def tell(self, client: str, text: str) -> None:
        """Let a client say something to a model, several times."""

        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self._broker) as producer:
                for number in range(CALLS):
                    changes = {
                        "id": uuid.uuid4().hex,
                        "time": datetime.now(UTC).isoformat(),
                        "client": client,
                        "tenant": TENANT,
                        "model": "assistant",
                    }
                    await producer.send_and_wait(
                        self._topic,
                        chat(f"{text} {number}"),
                        key=client.encode(),
                        headers=headers_of(changes),
                    )

        asyncio.run(send())

    @contextlib.contextmanager
    def running(self, *roles: str) -> Iterator[None]:
        """Run roles."""
        with contextlib.ExitStack() as stack:
            for role in roles:
                stack.enter_context(role_process(role, self.environment))
            yield

    def documents(self, **wanted: Any) -> list[Document]:
        """Return what the store holds: the tenant's calls, or what else is wanted."""
        wanted = wanted or {"tenant": names_of("tenant", TENANT)[0]}
        try:
            with audit_reader() as reader:
                return reader.search(Query(limit=1000, **wanted))
        except VedetteError:  # there is none yet, or it is being made
            return []

    def until(self, count: int, **wanted: Any) -> list[Document]:
        """Wait until the store holds so many documents."""
        deadline_s = time.monotonic() + 90
        while len(found := self.documents(**wanted)) < count:
            assert time.monotonic() < deadline_s, f"{len(found)} of {count} documents"
            time.sleep(0.3)
        return found

    def until_accesses(self, *actions: str) -> None:
        """Wait until accesses of these kinds are documents of the trail."""
        deadline_s = time.monotonic() + 60
        while not set(actions) <= set(self.accesses()):
            assert time.monotonic() < deadline_s, self.accesses()
            time.sleep(0.3)

    def accesses(self) -> list[str]:
        """Return the kinds of accesses that this home's users made, in their order."""
        found = [
            json.loads(item.body)["event"] for item in self.documents(text="asked for the content")
        ]
        return [event["action"] for event in found if str(event.get("reason")) in REASONS]

    def say(self, *arguments: str) -> str:
        """Run a command that has to succeed; return what it prints."""
        code, out, err = self._run(*arguments)
        assert not code, err
        return out

    def refused(self, *arguments: str) -> str:
        """Run a command that has to fail; return what it says."""
        code, out, err = self._run(*arguments)
        assert code, out
        return err

    def topic_holds(self, text: str) -> bool:
        """Say whether any audit frame of the topic holds a text in the clear."""
        return any(text.encode() in value for value in asyncio.run(everything(self._broker, AUDIT)))

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main.main(list(arguments))
        found = self._capsys.readouterr()
        return int(stopped.value.code or 0), found.out, found.err


#: Unique, because the topic of accesses is one for all tests.
REASONS = tuple(f"{name} {uuid.uuid4().hex}" for name in ("ticket", "inquiry"))


def make_keeping(broker, tmp_path, monkeypatch, capsys, **more: str) -> Keeping:
    """Return an installation of its own on the shared broker."""
    topic = f"it.content.{uuid.uuid4().hex[:12]}"
    asyncio.run(create_topics(broker, topic))
    environment = {
        "VEDETTE_HOME": str(tmp_path),
        "VEDETTE_KAFKA__BOOTSTRAP_SERVERS": broker,
        "VEDETTE_KAFKA__SESSION_TIMEOUT_S": "6",
        "VEDETTE_KAFKA__HEARTBEAT_INTERVAL_S": "1",
        "VEDETTE_INGEST__TOPICS": msgspec.json.encode([topic]).decode(),
        "VEDETTE_CONTENT__TENANTS": msgspec.json.encode([TENANT]).decode(),
        "VEDETTE_INDEX__CHECKPOINT_INTERVAL_S": "1",
        **more,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "250")
    return Keeping(environment, broker, topic, capsys)


def read_and_shred(kept: Keeping) -> None:
    """Follow content from a client's mouth to its shredding."""
    reading = ("--content", "--reason", REASONS[0])
    secret = {name: f"what {name} told {uuid.uuid4().hex}" for name in ("ann", "bob")}
    with kept.running("ingest", "detect", "index"):
        for name, text in secret.items():
            kept.tell(name, text)
        found = kept.until(2 * CALLS)
        ids = {}
        for document in found:
            shown = kept.say("audit", "show", document.event_id, *reading)
            (name,) = [name for name, text in secret.items() if text in shown]
            assert f"so {secret[name]}" in shown
            ids[name] = document
        searched = kept.say(
            "audit", "search", "--content", secret["bob"], "--reason", REASONS[1], "--json"
        )
        assert len(searched.splitlines()) == CALLS
        kept.until_accesses("content-access", "content-search")
    for text in secret.values():
        assert not kept.topic_holds(text)
        assert not any(text.encode() in item.body for item in kept.documents())
    kept.say("audit", "verify")
    kept.say("audit", "erase", "--client", "ann", "--yes")
    assert secret["ann"] not in kept.refused("audit", "show", ids["ann"].event_id, *reading)
    assert secret["bob"] in kept.say("audit", "show", ids["bob"].event_id, *reading)
    kept.say("audit", "erase", "--tenant", TENANT, "--yes")
    kept.refused("audit", "show", ids["bob"].event_id, *reading)
    with kept.running("index"):
        kept.until(1, text="destroyed keys of content")
    kept.say("audit", "verify")
