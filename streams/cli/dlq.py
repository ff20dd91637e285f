"""``vedette dlq``: what could not be read, why, and a way back once the cause is gone."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.settings import KafkaSettings
    from streams.letters import Filter, Letter

app = cyclopts.App(name="dlq", help="Look at dead letters and replay them.")

Topic = Annotated[str, Parameter(help="topic whose dead letters are meant, with or without .dlq")]
Reason = Annotated[str | None, Parameter(help="only of this reason, such as truncated_json")]
Stage = Annotated[str | None, Parameter(help="only of this stage, such as decode")]
Since = Annotated[str | None, Parameter(help="only since then: 2026-11-22T10:00:00Z, 15m, 2h, 7d")]

_DEFAULT_TOPIC = "vedette.events.v1"
_SHOWN_BYTES = 4096
_BATCH = 200
_BATCH_BYTES = 16 << 20


@app.command(name="list")
def list_letters(
    topic: Topic = _DEFAULT_TOPIC,
    /,
    *,
    reason: Reason = None,
    stage: Stage = None,
    since: Since = None,
    limit: Annotated[int, Parameter(help="at most so many, the newest")] = 20,
    json: Annotated[bool, Parameter(help="one JSON object a line, without payloads")] = False,
) -> None:
    """List dead letters, and how many there are of each reason.

    **Examples:**

    - `vedette dlq list --since 1h`: what was refused in the last hour.

    - `vedette dlq list seldon.prod.model.iris.inputs --reason unknown_format --json`: of another
      topic, for a script.
    """
    import asyncio
    from collections import Counter, deque

    from config.settings import load_settings
    from streams.letters import read_letters

    kafka = load_settings().kafka
    newest: deque[Letter] = deque(maxlen=limit)
    reasons: Counter[str] = Counter()

    async def read() -> None:
        async for letter in read_letters(kafka, topic, _filter(reason, stage, since)):
            newest.append(letter)
            reasons[letter.reason] += 1

    with _told_in_a_line(kafka):
        asyncio.run(read())
    if json:
        _print_json(list(newest))
    else:
        _print_table(list(newest), reasons)


@app.command
def show(
    identity: Annotated[str, Parameter(help="id of the letter, as `list` shows it")],
    /,
    *,
    value: Annotated[bool, Parameter(help="show the payload too; it may hold secrets")] = False,
    out: Annotated[Path | None, Parameter(help="write the payload to a new file")] = None,
) -> None:
    """Show one dead letter: why it was refused, its key and its headers.

    **Examples:**

    - `vedette dlq show vedette.events.v1.dlq-0-17`: all but the payload.

    - `vedette dlq show vedette.events.v1.dlq-0-17 --out payload.bin`: the payload, to a file.
    """
    import asyncio

    from rich.console import Console

    from config.settings import load_settings
    from streams.letters import read_letter
    from streams.respond.text import shown

    kafka = load_settings().kafka
    with _told_in_a_line(kafka):
        letter = asyncio.run(read_letter(kafka, identity))
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for name, text in _summary(letter).items():
        console.print(f"{name:<12} {'-' if text is None else shown(str(text), 200)}")
    for name, data in letter.headers:
        console.print(f"header       {shown(name, 64)} = {_printable(data or b'', 200)}")
    size_bytes = len(letter.value or b"")
    console.print(f"value        {size_bytes} bytes")
    if value and letter.value is not None:
        console.print(_printable(letter.value, _SHOWN_BYTES))
    if out is not None and letter.value is not None:
        with out.open("xb") as target:
            target.write(letter.value)


@app.command
def replay(
    topic: Topic = _DEFAULT_TOPIC,
    /,
    *,
    reason: Reason = None,
    stage: Stage = None,
    since: Since = None,
    limit: Annotated[
        int, Parameter(help="at most so many, the oldest first", validator=Number(gte=1))
    ] = 1000,
    dry_run: Annotated[bool, Parameter(help="count, and send nothing")] = False,
    again: Annotated[bool, Parameter(help="also those that were replayed before")] = False,
) -> None:
    """Send dead letters back to their topic, byte for byte, marked as replayed.

    The letters stay where they are, with a note that they were replayed: a later replay leaves
    them alone. So it does with the new letter of a record that failed again. `--again` sends
    both kinds once more, each record once: the last letter of a record stands for all of it.

    Killed in the midst it sends up to 200 letters again the next time.

    **Examples:**

    - `vedette dlq replay --reason too_large --dry-run`: see what it would do.

    - `vedette dlq replay --reason too_large --since 2h`: those of the last two hours.
    """
    import asyncio

    from rich.console import Console

    from config.settings import load_settings

    kafka = load_settings().kafka
    wanted = _filter(reason, stage, since)
    with _told_in_a_line(kafka):
        counts = asyncio.run(_replay(kafka, topic, wanted, limit, dry_run=dry_run, again=again))
    verb = "would be replayed" if dry_run else "replayed"
    Console().print(
        f"{counts.get('replayed', 0)} {verb}, "
        f"{counts.get('replayed_before', 0)} left alone (replayed before), "
        f"{counts.get('repeated', 0)} written twice, "
        f"{counts.get('incomplete', 0)} without their value",
        highlight=False,
        soft_wrap=True,
    )


async def _replay(
    kafka: KafkaSettings, topic: str, wanted: Filter, limit: int, *, dry_run: bool, again: bool
) -> dict[str, int]:
    from streams.dlq_replay import Replay
    from streams.letters import read_letters
    from streams.producer import Producer

    producer = None if dry_run else Producer(kafka)
    replay = Replay(producer, again=again)
    if producer is not None:
        await producer.start()
    try:
        batch: list[Letter] = []
        room_bytes = _BATCH_BYTES
        async for letter in read_letters(kafka, topic, wanted):
            batch.append(letter)
            room_bytes -= len(letter.value or b"")
            full = len(batch) == _BATCH or room_bytes <= 0
            if full or replay.counts["replayed"] + len(batch) >= limit:
                await replay.take(batch)
                batch, room_bytes = [], _BATCH_BYTES
            if replay.counts["replayed"] >= limit:
                break
        await replay.take(batch)
    finally:
        if producer is not None:
            await producer.stop()
    return dict(replay.counts)


@contextmanager
def _told_in_a_line(kafka: KafkaSettings) -> Iterator[None]:
    """Make one line of what Kafka says."""
    from aiokafka.errors import KafkaError

    from config.errors import Transient

    try:
        yield
    except KafkaError as error:
        raise Transient(
            f"the broker at {kafka.bootstrap_servers} did not do as asked "
            f"({type(error).__name__}); is it running? see `vedette broker status`"
        ) from None


def _filter(reason: str | None, stage: str | None, since: str | None) -> Filter:
    from datetime import UTC, datetime

    from streams.cli.view import parse_time
    from streams.letters import Filter

    since_us = parse_time(since, datetime.now(UTC))
    return Filter(reason, stage, None if since_us is None else since_us // 1000)


def _summary(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "failed_at": letter.failed_at,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        **({"call": letter.call} if letter.call >= 0 else {}),
        "reason": letter.reason,
        "stage": letter.stage,
        "message": letter.message,
        "replays": letter.replays,
        "replayed_at": letter.replayed_at or None,
    }


def _print_json(letters: list[Letter]) -> None:
    import sys

    import msgspec

    for letter in letters:
        line = {**_summary(letter), "value_bytes": len(letter.value or b"")}
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")


def _print_table(letters: list[Letter], reasons: dict[str, int]) -> None:
    from rich.console import Console

    from streams.cli.view import add_row, table

    total = sum(reasons.values())
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    shown = table(f"{total} dead letters", "id", "failed at", "refused", "bytes", "replayed")
    shown.columns[0].no_wrap = True  # it is copied into `show`
    for letter in letters:
        before = f"{letter.replays} before" if letter.replays else ""
        add_row(
            shown,
            letter.id,
            _second(letter.failed_at),
            f"{letter.stage}: {letter.reason}",
            len(letter.value or b""),
            _second(letter.replayed_at) or before or None,
        )
    console = Console()
    console.print(shown)
    if counts:
        console.print(counts, highlight=False)


def _second(time: str) -> str:
    """Return an ISO time in UTC to the second."""
    return time[:19].replace("T", " ")


def _printable(data: bytes, limit: int) -> str:
    """Return bytes as text that cannot steer a terminal."""
    from streams.respond.text import shown

    cut = data[:limit]
    try:
        return shown(cut.decode(), limit)
    except UnicodeDecodeError:
        return cut.hex(" ")
