"""The consumer: chunks out, exact commits of acknowledged prefixes back.

What each override replaces, and why, stands at the override. The stock methods live in
``faust/transport/consumer.py``.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka.errors import KafkaError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import Consumer
from mode import Service
from mode.utils.futures import notify

from config.errors import Fatal
from streams.records import Fetched
from streams.transport.ledger import OffsetLedger
from streams.transport.message import BatchMessage
from streams.transport.thread import FetchThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = structlog.get_logger(__name__)

FETCH_TIMEOUT_S = 1.0
WATCHDOG_INTERVAL_S = 2.0
COMMIT_TIMEOUT_S = 15.0
#: A commit that finds another one under way does nothing; the last word needs our own.
MAX_FINAL_COMMITS = 3


class BatchConsumer(Consumer):  # type: ignore[misc]  # faust is untyped here
    """aiokafka consumer that delivers chunks for the batch topics of its transport."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ledgers: defaultdict[Any, OffsetLedger] = defaultdict(OffsetLedger)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    def _is_batch(self, tp: Any) -> bool:
        return tp.topic in self.transport.batch_topics

    # --- records in -------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand over what is fetched until stopped; one race with suspension per chunk."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self.sleep(0)
                records, active = await self._wait_next_records(FETCH_TIMEOUT_S)
                if not records or self.should_stop:
                    continue
                if self.flow_active:
                    await self._deliver(records, active)
                else:
                    await self._seek_back()
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
            self.log.info("The consumer was stopped.")

    async def _seek_back(self) -> None:
        """Give back records that were fetched while the flow was being suspended."""
        try:
            await self.perform_seek()
        except (AssertionError, KafkaError) as error:
            # In the middle of a rebalance nothing is assigned; its end seeks again anyway.
            self.log.info("Not seeking while rebalancing: %s", type(error).__name__)

    async def _deliver(self, records: Mapping[Any, Sequence[Any]], active: Any) -> None:
        generation_id = self.app.consumer_generation_id
        for key, batch in records.items():
            tp = ensure_TP(key)
            if not self._flows(generation_id):
                return
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            self._track_end_offset(tp)
            if self._is_batch(tp):
                await self._deliver_chunk(tp, _chunk(batch), generation_id)
            else:
                await self._deliver_records(tp, batch, generation_id)

    def _flows(self, generation_id: int) -> bool:
        same = bool(self.app.consumer_generation_id == generation_id)
        return same and bool(self.flow_active)

    def _track_end_offset(self, tp: Any) -> None:
        try:
            end_offset = self.highwater(tp)
        except (AssertionError, KafkaError):
            return  # revoked a moment ago
        self.app.monitor.track_tp_end_offset(tp, end_offset)

    async def _deliver_chunk(self, tp: Any, batch: Sequence[Any], generation_id: int) -> None:
        expected = self._read_offset[tp]
        if expected is not None and batch[0].offset < expected:
            batch = _since(batch, expected)
        if not batch:
            return
        message = BatchMessage(tp, batch, generation_id)
        self._ledgers[tp].track(message)
        handed_over = await self._hand_over(message)
        # A suspended hand-over must not move the read offset: the rebalance seeks it back.
        if handed_over and generation_id == self.app.consumer_generation_id:
            self._read_offset[tp] = message.offset + 1

    async def _deliver_records(self, tp: Any, batch: Sequence[Any], generation_id: int) -> None:
        """Deliver one by one as stock, but without counting the record after a gap as acked."""
        for record in batch:
            if not self._flows(generation_id):
                return
            last = self._read_offset[tp]
            if last is not None and record.offset < last:
                continue
            if last and record.offset - last > 1 and self.app.topics.acks_enabled_for(tp.topic):
                await self._add_gap(tp, last + 1, record.offset - 1)
            if await self._hand_over(self._to_message(tp, record)):
                self._read_offset[tp] = record.offset

    async def _hand_over(self, message: Any) -> bool:
        delivery = self.callback(message)
        result = await self.wait_first(delivery, self.suspend_flow.wait())
        return delivery in result.done

    def on_buffer_full(self, tp: Any) -> None:
        """Ignore a full buffer of a batch topic.

        The hand-over blocks by itself; stock would pause the partition and sleep for a second.
        """
        if not self._is_batch(tp):
            super().on_buffer_full(tp)

    # --- acknowledgements and commits -------------------------------------------------------

    def ack(self, message: Any) -> bool:
        """Mark a chunk; stock keeps and sorts every offset."""
        if not isinstance(message, BatchMessage):
            return bool(super().ack(message))
        message.acked = True
        self._unacked_messages.discard(message)
        self._n_acked += 1
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp, ledger in list(self._ledgers.items()):
            if ledger.pending and (topics is None or tp in topics or tp.topic in topics):
                yield tp

    def _new_offset(self, tp: Any) -> int | None:
        if self._is_batch(tp):
            return self._ledgers[tp].committable()
        offset: int | None = super()._new_offset(tp)
        return offset

    async def _commit_offsets(
        self,
        offsets: Mapping[Any, int],
        start_new_transaction: bool = True,  # noqa: FBT001, FBT002 - Faust's signature
    ) -> bool:
        """Commit, and keep owing what failed: stock counts a failed commit as done."""
        before = {tp: self._committed_offset[tp] for tp in offsets if self._is_batch(tp)}
        done = bool(
            await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        )
        for tp, offset in before.items():
            if done:
                self._ledgers[tp].committed(offsets[tp])
            else:
                self._committed_offset[tp] = offset
        return done

    # --- partitions come and go -------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Start clean, and let the membership load its state before any chunk arrives."""
        self._ledgers.clear()
        self._forget_unacked()
        membership = self.transport.membership
        partitions = {(tp.topic, tp.partition) for tp in assigned if self._is_batch(tp)}
        if membership is not None and partitions and not self.app.should_stop:
            await self._guarded(lambda: membership.assigned(partitions), "loading its state")
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Clear only after stock has waited and committed: earlier loses the last commit."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._ledgers.pop(ensure_TP(tp), None)

    async def wait_empty(self) -> None:
        """Release what is held, then wait and commit; called on revocation and on stop, twice."""
        membership = self.transport.membership
        if membership is not None:
            await self._guarded(membership.release, "releasing its partitions")
            # What release has left unacknowledged is replayed; waiting for it would never end.
            self._forget_unacked()
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await super().wait_empty()
                await self._commit_rest()
        except TimeoutError:
            self.log.warning("The last commit took too long; its records will be replayed.")

    async def _commit_rest(self) -> None:
        for _ in range(MAX_FINAL_COMMITS):
            if not any(ledger.pending for ledger in self._ledgers.values()):
                return
            await self.commit(start_new_transaction=False)

    def _forget_unacked(self) -> None:
        for message in [m for m in self._unacked_messages if isinstance(m, BatchMessage)]:
            self._unacked_messages.discard(message)

    async def _guarded(self, call: Callable[[], Any], doing: str) -> None:
        """Run a membership call; whatever goes wrong crashes the worker."""
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self.transport.release_timeout_s):
                await call()
        except TimeoutError:
            failure = Fatal(f"the role took too long {doing}")
        except Exception as error:  # noqa: BLE001 - the boundary to the role
            failure = error
        if failure is not None:
            await self.app.crash(failure)

    # --- watchdog ---------------------------------------------------------------------------

    @Service.task  # type: ignore[untyped-decorator]  # mode is untyped here
    async def _watch_coordinator(self) -> None:
        """Crash on a fatal group error.

        aiokafka parks it for a call that Faust never makes, and the worker would stay alive,
        idle and silent. A task of the consumer, because app timers start only after recovery.
        """
        while not self.should_stop:
            await self.sleep(WATCHDOG_INTERVAL_S)
            error = await self._group_error()
            if error is not None and not self.should_stop:
                log.critical("the consumer group failed", error=type(error).__name__)
                await self.app.crash(error)
                return

    async def _group_error(self) -> Exception | None:
        consumer = self._thread._consumer  # noqa: SLF001
        if consumer is None or getattr(consumer, "_coordinator", None) is None:
            return None

        async def check() -> Exception | None:
            # Futures are returned as values: an exception would crash the thread's queue.
            try:
                consumer._coordinator.check_errors()  # noqa: SLF001
            except KafkaError as error:
                found: Exception = error
                return found
            return None

        # On the consumer's own thread: its futures are not safe to touch from this one.
        found: Exception | None = await self._thread.call_thread(check)
        return found


def _chunk(batch: Sequence[Any]) -> Sequence[Any]:
    """Return what was fetched as it is, or the list of records of an old broker."""
    return batch[0] if isinstance(batch[0], Fetched) else batch


def _since(batch: Sequence[Any], offset: int) -> Sequence[Any]:
    if isinstance(batch, Fetched):
        return batch.since(offset)
    return [record for record in batch if record.offset >= offset]
