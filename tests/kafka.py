"""Kafka as those run it who bring messages by it: one node, broker and controller in one process.

Jars by Maven (``tests/kafka.pom.xml``), fetched once and kept below ``build``; free ports of the
loopback. All ends with the process that began it, however that ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from machine import free_port, has_ended, is_stopped
from waiting import SECONDS, until

__all__ = ["PASSWORD", "QUIET", "USER", "Broker", "jars", "kafka"]

POM = Path(__file__).with_name("kafka.pom.xml")
KEPT = Path(__file__).parent.parent / "build/kafka"
"""Where the jars are kept, of each version, and beside them what they come to when they are loaded."""

SETTINGS: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": ",".join(
        (*("PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"), *("SASL_PLAINTEXT:SASL_PLAINTEXT", "SSL:SSL"))
    ),
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "auto.create.topics.enable": "false",
    # One node has one copy of everything.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.num.partitions": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # A broker that was killed is let in again at once.
    "broker.heartbeat.interval.ms": 200,
    "broker.session.timeout.ms": 1000,
    # What is past retention goes, and what is to be compacted is, within moments.
    "log.initial.task.delay.ms": 100,
    "log.retention.check.interval.ms": 200,
    "log.segment.delete.delay.ms": 100,
    "log.cleaner.backoff.ms": 100,
    "log.cleaner.dedupe.buffer.size": 4 * 2**20,
    "log.index.size.max.bytes": 2**20,
}

JAVA = (
    *("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
    "-XX:TieredStopAtLevel=1",  # half the processor time until it serves
    *("-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"),
    # What is wrong, and that it serves: it says all its settings four times otherwise.
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.kafka.server=info"),
)

USER, PASSWORD = "nonzero", "a secret of the tests"
"""Who may come by :attr:`Broker.sasl`."""

MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30
"""Bytes that are free where a broker's data are kept in memory."""


def version() -> str:
    """Return the version that is pinned."""
    found = ET.parse(POM).getroot().find("{*}version")
    assert found is not None
    return found.text or ""


@cache
def jars() -> str:
    """Return the class path of the broker, fetched where it is not kept; skip where it cannot be had."""
    if shutil.which("java") is None:
        pytest.skip("Java, which runs the broker, is not installed: apt-get install openjdk-17-jre-headless")
    kept = KEPT / version()
    if not kept.exists():
        with locked():
            if not kept.exists():
                fetch(kept)
    return str(kept / "*")


@cache
def options() -> tuple[str, ...]:
    """Return the options by which Java runs the broker, from classes that were loaded once: twice as fast."""
    path = ("-cp", jars())
    kept = KEPT / f"{version()}.jsa"
    if not kept.exists():
        with locked(), tempfile.TemporaryDirectory(dir=KEPT) as directory:
            if not kept.exists():
                made = Path(directory, kept.name)
                broker = Broker(Path(directory), java=(*JAVA, *path, f"-XX:ArchiveClassesAtExit={made}"))
                broker.start()
                broker.topic()
                broker.stop()
                made.rename(kept)
    return (*JAVA, *path, f"-XX:SharedArchiveFile={kept}")


@contextmanager
def locked() -> Iterator[None]:
    """Be the only one who changes what is kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(place: Path) -> None:
    """Have Maven bring the jars, all or none."""
    if shutil.which("mvn") is None:
        pytest.skip("Maven, which fetches the broker, is not installed: apt-get install maven")
    with tempfile.TemporaryDirectory(dir=place.parent) as directory:
        made = Path(directory, "jars")
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={made}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"Maven cannot fetch the broker: {done.stdout[-2000:].strip()}")
        made.rename(place)


class Broker:
    """One broker: it can be killed, stopped and begun again, and has the same port and data then.

    Parameters
    ----------
    place
        A directory of its own.
    settings
        Of the broker, beside :data:`SETTINGS`; names have underscores for dots.
    java
        The options of Java; as is quickest, unless they are given.
    certificate
        A certificate and its key, for a listener of TLS; None: there is none.

    Attributes
    ----------
    address, sasl, tls
        ``host:port`` of the listener for everybody, of the one for :data:`USER` alone, and of the one of TLS.
    certificate
        As it was given.
    """

    _names = itertools.count()

    def __init__(
        self,
        place: Path,
        settings: Mapping[str, object] = MappingProxyType({}),
        java: Sequence[str] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.place = place
        self._java = java
        self.log = place / "kafka.log"
        self.data = place / "data"
        self._settings = {**SETTINGS, **{name.replace("_", "."): value for name, value in settings.items()}}
        self._ports = dict.fromkeys(("PLAINTEXT", "CONTROLLER", "SASL_PLAINTEXT"), 0)
        self.certificate = certificate
        if certificate is not None:
            self._ports["SSL"] = 0
            store = place / "keystore.pem"
            store.write_text("".join(path.read_text() for path in reversed(certificate)))
            self._settings |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": store}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._ports['PLAINTEXT']}"

    @property
    def sasl(self) -> str:
        return f"127.0.0.1:{self._ports['SASL_PLAINTEXT']}"

    @property
    def tls(self) -> str:
        return f"127.0.0.1:{self._ports['SSL']}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    # --- its life

    def start(self) -> None:
        """Begin it, and wait until it serves."""
        assert self._process is None, "the broker runs already"
        self._forget()
        for _ in range(5):
            new = not self.data.exists()
            if new:
                self._ports = {name: free_port() for name in self._ports}
            file = self._write_settings()
            if new:
                self._format(file)
            with self.log.open("ab") as log:
                begun = log.tell()
                self._process = subprocess.Popen(
                    self._program("kafka.Kafka", file),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.place,
                    start_new_session=True,
                )

            def said(begun: int = begun) -> str:
                return self.log.read_bytes()[begun:].decode()

            until(lambda said=said: "Kafka Server started" in said() or self.has_ended())  # type: ignore[misc]
            if not self.has_ended():
                return
            self._process = None
            if not new or "Address already in use" not in said():
                break
            shutil.rmtree(self.data)  # somebody took a port meanwhile
        raise AssertionError(f"Kafka has not started: {said()[-2000:]}")

    def _write_settings(self) -> Path:
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self._ports.items())
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        settings = {
            **self._settings,
            "listeners": listeners,
            "advertised.listeners": listeners,
            "controller.quorum.voters": f"1@127.0.0.1:{self._ports['CONTROLLER']}",
            "log.dirs": self.data,
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
        }
        file = self.place / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return file

    def _format(self, file: Path) -> None:
        """Make its data directory, of one that was made once: Java takes more than a second for it."""
        template = KEPT / f"{version()}-data"
        if template.exists():
            shutil.copytree(template, self.data)
            return
        done = subprocess.run(
            self._program("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", file),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        with suppress(OSError), tempfile.TemporaryDirectory(dir=KEPT) as directory:
            # Another process may have been quicker.
            shutil.copytree(self.data, Path(directory, "data")).rename(template)

    def _program(self, *arguments: str | Path) -> list[str]:
        """Return the command of a Java program that is ended when this process ends."""
        java = options() if self._java is None else self._java
        return ["setpriv", "--pdeathsig=KILL", "--", "java", *java, *map(str, arguments)]

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """End it as who runs it would: it says so to its clients, and closes its logs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once: as a lost machine would, but for what the system has not yet written."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self.cont()
        self._process.send_signal(how)
        try:
            self._process.wait(SECONDS / 4)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(SECONDS)
        self._process = None

    def restart(self) -> None:
        """End it if it runs, and begin it again."""
        self.stop()
        self.start()

    def stop_signal(self) -> None:
        """Stop it as a machine that hangs: what connects is kept waiting."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: is_stopped(self.pid))

    def cont(self) -> None:
        """Let it go on."""
        if not has_ended(self.pid):
            os.kill(self.pid, signal.SIGCONT)

    def be_up(self) -> None:
        """Let it run, whatever was done to it."""
        if self.has_ended():
            self._process = None
            self.start()
        self.cont()

    # --- what it has

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, **QUIET})

    def topic(self, name: str | None = None, *, partitions: int = 1, **config: object) -> str:
        """Make a topic; return its name, which no other has unless it is given.

        Parameters
        ----------
        name
            Its name.
        partitions
            How many it has.
        config
            Its properties; names have underscores for dots.
        """
        name = name or f"topic-{next(self._names)}"
        properties = {key.replace("_", "."): str(value) for key, value in config.items()}
        new = NewTopic(name, partitions, 1, config=properties)
        until(lambda: self._done(self.admin.create_topics([new])[name], "TOPIC_ALREADY_EXISTS"))
        until(lambda: len(self.partitions(name)) == partitions)
        return name

    @staticmethod
    def _done(future: Any, again: str = "") -> bool:
        """Wait for what was asked for; whether it is done, and need not be tried again."""
        try:
            future.result(SECONDS)
        except KafkaException as error:
            if error.args[0].name() != again:
                raise
            return False
        return True

    def delete_topic(self, name: str) -> None:
        """Delete a topic, and wait until nobody finds it."""
        assert self._done(self.admin.delete_topics([name])[name])
        self._forget()
        until(lambda: not self.partitions(name))

    def add_partitions(self, name: str, partitions: int) -> None:
        """Let a topic have so many partitions."""
        assert self._done(self.admin.create_partitions([NewPartitions(name, partitions)])[name])
        self._forget()
        until(lambda: len(self.partitions(name)) == partitions)

    def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        """Delete a partition's records before an offset, as retention does."""
        wanted = TopicPartition(topic, partition, before)
        assert self._done(self.admin.delete_records([wanted])[wanted])

    def set_quota(self, client: str, bytes_a_second: float | None) -> None:
        """Let clients of a name fetch so many bytes a second; None: as many as they want.

        No client of Python asks for that: it is the first version of AlterClientQuotas, as bytes.
        """

        def text(value: str) -> bytes:
            return struct.pack(">h", len(value)) + value.encode()

        one = struct.pack(">i", 1)
        entity = one + one + text("client-id") + text(client)
        rate = (
            one + text("consumer_byte_rate") + struct.pack(">d?", bytes_a_second or 0, bytes_a_second is None)
        )
        request = struct.pack(">hhi", 49, 0, 1) + text("tests") + entity + rate + b"\0"
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), SECONDS) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(1024)
        # Its length and number, for how long it was held back, how many entries, and whether that failed.
        assert struct.unpack_from(">iiiih", answer)[3:] == (1, 0), answer

    def partitions(self, topic: str) -> list[int]:
        """Return the partitions of a topic that have a leader; none where it is not."""
        found = self.admin.list_topics(topic, timeout=SECONDS).topics[topic]
        return sorted(number for number, partition in found.partitions.items() if partition.leader >= 0)

    # --- what it is given

    def producer(self, **config: object) -> Producer:
        """Return a producer; names of properties have underscores for dots.

        What it sends is there once: a broker that is slow to answer is sent it again.
        """
        properties = {key.replace("_", "."): value for key, value in config.items()}
        common = {"bootstrap.servers": self.address, "linger.ms": 5, "enable.idempotence": True, **QUIET}
        return Producer({**common, **properties})

    @cached_property
    def _producer(self) -> Producer:
        return self.producer(queue_buffering_max_messages=2_000_000, message_max_bytes=2**20)

    def _forget(self) -> None:
        """Have another producer send: it knows nothing of topics as they were, and waits for nothing."""
        self.__dict__.pop("_producer", None)

    def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        keys: Iterable[bytes | None] = itertools.repeat(None),
        times: Iterable[int] = itertools.repeat(0),
        producer: Producer | None = None,
    ) -> list[int]:
        """Send messages, and wait until they are there; return their offsets.

        Parameters
        ----------
        topic, partition
            Where to.
        values, keys
            Of the messages; a value of None is a tombstone.
        times
            Milliseconds since 1970; 0 is now.
        producer
            By whom, where it is another than the broker's own.
        """
        producer = producer or self._producer
        offsets: list[int] = []

        def delivered(error: object, message: Any) -> None:
            assert error is None, error
            offsets.append(message.offset())

        for value, key, time in zip(values, keys, times, strict=False):
            producer.produce(topic, value, key, partition, delivered, timestamp=time)
            producer.poll(0)
        assert producer.flush(SECONDS) == 0
        return offsets


QUIET: Mapping[str, Any] = {"log_level": 0, "reconnect.backoff.max.ms": 200, "error_cb": lambda _: None}
"""Clients of tests do not complain while the broker is away."""


@contextmanager
def kafka(
    *, on_disk: bool = False, certificate: tuple[Path, Path] | None = None, **settings: object
) -> Iterator[Broker]:
    """Run a broker.

    Parameters
    ----------
    on_disk
        Whether its data are kept on a disk, whose speed is to be seen. Otherwise they are in memory, where
        there is room.
    certificate
        A certificate and its key, for a listener of TLS; None: there is none.
    settings
        Of the broker; names have underscores for dots.
    """
    options()
    in_memory = not on_disk and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(
        dir=MEMORY if in_memory else None, prefix="nonzero-kafka-", ignore_cleanup_errors=True
    ) as directory:
        broker = Broker(Path(directory), settings, certificate=certificate)
        try:
            broker.start()
            yield broker
        except BaseException:
            if broker.log.exists():
                sys.stderr.write(f"Kafka said at last:\n{broker.log.read_text()[-2000:]}\n")
            raise
        finally:
            broker.kill()
