"""Runs a role: a Faust worker whose agents hand whole chunks to the role."""

from __future__ import annotations

import asyncio
import gc
import time
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mode.loop

# The loop must be chosen before Faust is imported; later it would be ignored in silence.
mode.loop.use("uvloop")

import faust  # noqa: E402
import structlog  # noqa: E402
import uvloop  # noqa: E402

from config.errors import Fatal  # noqa: E402
from streams.allocator import keep_freed_memory  # noqa: E402
from streams.failure import describe, frames_of  # noqa: E402
from streams.kafka import sasl_credentials, tls_context  # noqa: E402
from streams.logs import configure_logs  # noqa: E402
from streams.metrics.catalogue import EVENT_LAG, RECORDS  # noqa: E402
from streams.metrics.pulse import beat  # noqa: E402
from streams.metrics.server import MetricsServer  # noqa: E402
from streams.roles.base import Chunk, Partition  # noqa: E402
from streams.selfwatch.vitals import report  # noqa: E402
from streams.transport import BatchSchema, BatchTransport  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from config.settings import KafkaSettings, Settings
    from streams.roles.base import Role

log = structlog.get_logger(__name__)

VERSION = version("vedette")
BUFFERED_CHUNKS = 16
REBALANCE_TIMEOUT_S = 60.0


def run_role(role: Role, settings: Settings) -> int:
    """Run ``role`` in this process until SIGTERM or SIGINT.

    Returns
    -------
    int
        0 after a clean stop, otherwise non-zero: nothing that failed was acknowledged, and a
        new worker replays it.
    """
    configure_logs(settings.log_level, role=role.name)
    keep_freed_memory()
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    runner = RoleRunner(role)
    app = make_app(role, settings, runner)
    worker = faust.Worker(
        app,
        _RoleService(runner, settings),
        loop=loop,
        quiet=True,
        override_logging=False,
        redirect_stdouts=False,
    )
    worker.spinner = None  # it writes to the terminal
    log.info("starting", loop=type(loop).__module__, topics=role.topics)
    code = _execute(worker)
    if runner.failure is not None:
        code = code or 1
    log.info("stopped", exit_code=code)
    return code


def make_app(role: Role, settings: Settings, runner: RoleRunner) -> Any:
    """Build the Faust app of a role: batch transport, one agent a topic, nothing else."""
    kafka = settings.kafka
    data = settings.home / "faust" / role.name
    data.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"vedette-{role.name}",
        broker=[f"aiokafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        broker_commit_interval=kafka.commit_interval_s,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.heartbeat_interval_s,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
        broker_request_timeout=kafka.session_timeout_s + 30.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=kafka.fetch_max_bytes,
        producer_compression_type="lz4",
        producer_request_timeout=60.0,
        stream_buffer_maxsize=BUFFERED_CHUNKS,
        stream_wait_empty=True,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        datadir=str(data),
    )
    # Before the first agent: declaring one builds the conductor from the transport.
    transport = partial(BatchTransport, app=app, batch_topics=role.topics, membership=runner)
    app.transport = transport(app.conf.broker_consumer)
    app.producer_transport = transport(app.conf.broker_producer)
    runner.crash = app.crash
    for name in role.topics:
        for result in ("processed", "failed"):
            RECORDS.labels(name, result)
        topic = app.topic(name, schema=BatchSchema(), value_type=bytes, value_serializer="raw")
        app.agent(topic, name=f"{role.name}.{name}")(_agent(runner))
    if app.conf.web_enabled:
        raise Fatal("the web server of Faust must stay off: it has no authentication")
    return app


class RoleRunner:
    """Stands between Faust's agents and the role, and keeps the order of its calls.

    No chunk enters the role before `assigned` has returned, after `release` has begun, or after
    a failure: state that lacks a chunk must never be saved under the offset of a later one.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.failure: BaseException | None = None
        self.crash: Callable[[BaseException], Awaitable[None]] | None = None
        self._owned: set[Partition] = set()
        self._open = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def assigned(self, partitions: set[tuple[str, int]]) -> None:
        """Let the role load the state of its partitions, then open the gate."""
        if self.failure is not None:
            return
        owned = {Partition(topic, number) for topic, number in partitions}
        log.info("partitions assigned", partitions=sorted(map(_label, owned)))
        await self._settled(self.role.assigned(owned))
        self._owned = owned
        self._open = True

    async def release(self) -> None:
        """Close the gate, wait for the chunks inside, and let the role settle."""
        self._open = False
        await self._idle.wait()
        owned, self._owned = self._owned, set()
        if not owned or self.failure is not None:
            return
        await self._settled(self.role.release(owned))
        log.info("partitions released", partitions=sorted(map(_label, owned)))

    async def _settled(self, call: Awaitable[None]) -> None:
        try:
            await call
        except Exception as error:  # noqa: BLE001 - the boundary to the role
            self.failure = self.failure or Fatal(describe(error))
            raise Fatal(describe(error)) from None

    async def handle(self, event: Any) -> None:
        """Pass one chunk to the role; anything that escapes it crashes the worker."""
        message = event.message
        source = Partition(message.topic, message.partition)
        if not self._open or source not in self._owned:
            return  # not acknowledged: the next owner reads it again
        reason = None
        self._running += 1
        self._idle.clear()
        try:
            await self.role.process(Chunk(source, event.value, _acknowledge_once(event)))
            _count(source.topic, event.value)
        except Exception as error:  # noqa: BLE001 - the boundary of the agent
            reason = self._fail(error, message)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
        if reason is not None and self.crash is not None:
            # Outside the handler: Faust logs the exception being handled, with its text.
            await self.crash(reason)

    def _fail(self, error: Exception, message: Any) -> Fatal:
        self._open = False
        RECORDS.labels(message.topic, "failed").inc()
        reason = Fatal(describe(error))
        self.failure = self.failure or reason
        log.critical(
            "a chunk failed; the worker stops without acknowledging it",
            error=str(reason),
            topic=message.topic,
            partition=message.partition,
            first_offset=message.first_offset,
            last_offset=message.offset,
            where=frames_of(error),
        )
        return reason


def _count(topic: str, records: Any) -> None:
    RECORDS.labels(topic, "processed").inc(len(records))
    if records[-1].timestamp:
        EVENT_LAG.labels(topic).set(time.time() - records[-1].timestamp / 1000)


def _acknowledge_once(event: Any) -> Callable[[], None]:
    """Return the acknowledgement of a chunk; a second call or a late one does nothing."""
    done = False

    def acknowledge() -> None:
        nonlocal done
        if not done:
            done = True
            event.ack()

    return acknowledge


def _agent(runner: RoleRunner) -> Callable[[Any], Awaitable[None]]:
    async def process_chunks(stream: Any) -> None:
        # A plain `async for` on the stream would acknowledge by itself, also on exceptions.
        async for event in stream.noack().events():
            await runner.handle(event)

    return process_chunks


class _RoleService(mode.Service):  # type: ignore[misc]  # mode is untyped here
    """Starts the role before the app and stops it after."""

    def __init__(self, runner: RoleRunner, settings: Settings, **kwargs: Any) -> None:
        self._runner = runner
        self._settings = settings
        self._metrics = MetricsServer(settings.metrics, runner.role.name, VERSION)
        self._signs: list[asyncio.Task[None]] = []
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        self._metrics.open()
        name = self._runner.role.name
        self._signs = [
            asyncio.create_task(beat(self._settings.home, name)),
            asyncio.create_task(report(name, self._settings.kafka)),
        ]
        await self._runner.role.start()
        gc.collect()
        gc.freeze()  # each rebalance collects: not what lives for ever

    async def on_stop(self) -> None:
        for sign in self._signs:
            sign.cancel()
        await asyncio.gather(*self._signs, return_exceptions=True)
        await asyncio.to_thread(self._metrics.close)
        try:
            await self._runner.role.stop()
        except Exception as error:  # noqa: BLE001 - the boundary to the role
            self._runner.failure = self._runner.failure or error
            log.critical("the role failed to stop", error=describe(error))


def _execute(worker: Any) -> int:
    try:
        worker.execute_from_commandline()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def _credentials(kafka: KafkaSettings) -> Any:
    """Return Faust's broker credentials; SASL always comes with a TLS context."""
    context = tls_context(kafka)
    credentials = sasl_credentials(kafka)
    if credentials is None:
        return context
    if context is None:
        raise Fatal("SASL needs TLS")
    username, password = credentials
    return faust.SASLCredentials(
        username=username,
        password=password,
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )


def _label(partition: Partition) -> str:
    return f"{partition.topic}-{partition.partition}"
