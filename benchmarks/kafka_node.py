"""Apache Kafka to compare with: jars from Maven Central, KRaft on one node, on a free port.

Jars are kept in the user's cache folder, so that Maven downloads them once. Needs java (17 or later) and mvn.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from streamguard.bench.broker.node import free_port

KAFKA_VERSION = "4.1.0"
START_SECONDS = 60.0

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=100
"""


def kafka_possible() -> bool:
    """Whether java and mvn are installed."""
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def jars(version: str = KAFKA_VERSION) -> Path:
    """The folder with Kafka's jars, filled by Maven the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "streamguard" / f"kafka-{version}"
    if (cache / "complete").exists():
        return cache / "lib"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "pom.xml").write_text(_POM.format(version=version))
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={cache / 'lib'}"]
    subprocess.run(command, cwd=cache, check=True, timeout=600)
    (cache / "complete").touch()
    return cache / "lib"


def java_tool(main: str, *arguments: str, heap: str = "256m", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run one of Kafka's command-line tools, with JVM settings for a short run."""
    command = [
        "java",
        f"-Xmx{heap}",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        f"{jars()}/*",
        main,
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@dataclass
class KafkaProcess:
    """One Kafka node with its controller, on `folder`. start_seconds: from its start to the first connection.
    settings: lines of server.properties, added to those above. format_options: of kafka-storage, such as --add-scram."""

    folder: Path
    settings: tuple[str, ...] = ()
    format_options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    start_seconds: float = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> KafkaProcess:
        """Format the storage, start, wait for the port. Raises RuntimeError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.properties"
        lines = _PROPERTIES.format(port=self.port, controller=free_port(), folder=self.folder)
        config.write_text("\n".join([lines, *self.settings, ""]))
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        formatted = java_tool(
            "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config), *self.format_options
        )
        if formatted.returncode:
            raise RuntimeError(formatted.stderr)
        started = time.monotonic()
        with (self.folder / "stdout").open("ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx768m", "-Xms512m", "-cp", f"{jars()}/*", "kafka.Kafka", str(config)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "stdout").read_text())
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    self.start_seconds = time.monotonic() - started
                    return self
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"Kafka does not listen within {START_SECONDS:.0f} s")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """Kill it; its data is not used again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> KafkaProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
