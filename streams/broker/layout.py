"""Where the embedded broker keeps its files, and the two files that configure it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Enough threads for one laptop; the broker's own defaults are for a server.
_TUNING = """\
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=134217728
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=1
offsets.retention.minutes=10080
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
"""

_SINGLE_NODE = """\
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""

_LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="{log}" filePattern="{log}.%i">
      <PatternLayout pattern="%d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %-5p %m (%c)%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10MB"/></Policies>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="file"/></Root></Loggers>
</Configuration>
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The directory of one embedded broker."""

    root: Path

    @property
    def data(self) -> Path:
        """Kafka's log directory."""
        return self.root / "data"

    @property
    def meta(self) -> Path:
        """Exists once the data directory is formatted."""
        return self.data / "meta.properties"

    @property
    def properties(self) -> Path:
        """The broker's configuration."""
        return self.root / "server.properties"

    @property
    def log4j(self) -> Path:
        """The log configuration."""
        return self.root / "log4j2.xml"

    @property
    def log(self) -> Path:
        """What the broker logs."""
        return self.root / "logs" / "server.log"

    @property
    def output(self) -> Path:
        """What the Java process prints, which is little."""
        return self.root / "logs" / "console.log"

    @property
    def pid(self) -> Path:
        """Which process is the broker."""
        return self.root / "broker.pid"

    @property
    def controller_port(self) -> Path:
        """The port of the KRaft controller, picked once."""
        return self.root / "controller.port"

    @property
    def lock(self) -> Path:
        """Held while the broker is started or stopped."""
        return self.root / "lock"


def write_configuration(layout: Layout, *, host: str, port: int, controller_port: int) -> None:
    """Write ``server.properties`` and ``log4j2.xml``."""
    lines = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={layout.data}
"""
    layout.properties.write_text(lines + _SINGLE_NODE + _TUNING, encoding="utf-8")
    layout.log4j.write_text(_LOG4J.format(log=layout.log), encoding="utf-8")
