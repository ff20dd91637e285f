"""Sends dead letters back to where they came from, each one once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from streams.dlq import REPLAYED_HEADER
from streams.dlq_marks import mark_headers, refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.letters import Letter
    from streams.sender import Sender


class Replay:
    """Sends letters back to their topics, byte for byte, with a mark on the record.

    Once the broker has them, a mark among the letters says so: a later replay leaves them alone,
    and also the new letter of a record that failed again, so that nothing goes round for ever.
    Killed between the two it sends those of its last call again.

    Parameters
    ----------
    producer
        Without one, letters are only counted.
    again
        Send also what was sent before. A letter that came back as a newer one stays: the newer
        one is the same record.

    Attributes
    ----------
    counts
        ``replayed``, ``replayed_before`` (left alone), ``repeated`` (a second letter of the same
        refusal, as a killed worker leaves it), ``incomplete`` (its value was left out).
    """

    def __init__(self, producer: Sender | None, *, again: bool = False) -> None:
        self._producer = producer
        self._again = again
        self._chosen: set[bytes] = set()
        self.counts: Counter[str] = Counter()

    async def take(self, letters: Iterable[Letter]) -> None:
        """Replay letters, and return once the broker has them and their marks."""
        chosen: dict[bytes, Letter] = {}
        for letter in letters:
            refusal = refusal_of(letter)
            verdict = self._verdict(letter, refusal)
            self.counts[verdict] += 1
            if verdict == "replayed":
                self._chosen.add(refusal)
                chosen[refusal] = letter
        if self._producer is not None and chosen:
            await self._send_all(self._producer, chosen)

    def _verdict(self, letter: Letter, refusal: bytes) -> str:
        if not letter.has_value:
            return "incomplete"
        if refusal in self._chosen:
            return "repeated"
        known = bool(letter.replays or letter.replayed_at)
        return "replayed_before" if letter.returned or (known and not self._again) else "replayed"

    async def _send_all(self, producer: Sender, letters: Mapping[bytes, Letter]) -> None:
        pending = [await _send(producer, letter) for letter in letters.values()]
        outcomes = await asyncio.gather(*pending, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        there = [
            item
            for item, outcome in zip(letters.items(), outcomes, strict=True)
            if not isinstance(outcome, BaseException)
        ]
        await _mark(producer, there)
        if failures:
            raise failures[0]


async def _send(producer: Sender, letter: Letter) -> asyncio.Future[object]:
    mark = (REPLAYED_HEADER, str(letter.replays + 1).encode())
    return await producer.send(
        letter.topic,
        letter.value,
        key=letter.key,
        partition=letter.partition if letter.partition >= 0 else None,
        headers=[*letter.headers, mark],
        timestamp_ms=letter.timestamp_ms if letter.timestamp_ms > 0 else None,
    )


async def _mark(producer: Sender, letters: Iterable[tuple[bytes, Letter]]) -> None:
    """Write down beside letters that they were sent back."""
    refusals: defaultdict[tuple[str, int], list[bytes]] = defaultdict(list)
    for refusal, letter in letters:
        refusals[letter.place.topic, letter.place.partition].append(refusal)
    marks = [
        await producer.send(topic, None, partition=partition, headers=mark_headers(names))
        for (topic, partition), names in refusals.items()
    ]
    await asyncio.gather(*marks)
