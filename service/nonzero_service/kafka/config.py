"""KafkaConfig: where the brokers are, and how the client speaks to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nonzero_service.kafka.client_log import ClientLog
from nonzero_service.kafka.errors import SourceConfigError
from nonzero_service.kafka.extra import check_client
from nonzero_service.kafka.properties import Properties, read_properties

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient

_COMMON: Final[Properties] = {
    "client.id": "nonzero",
    "socket.keepalive.enable": True,
    "socket.timeout.ms": 20_000,  # a broker that hangs is given up then
    "reconnect.backoff.max.ms": 1_000,  # one that comes back is used again soon
}

_READING: Final[Properties] = {
    # After its queue was full the client waits so long by default that it reads a third of what it could.
    "fetch.queue.backoff.ms": 1,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.max.bytes": 16 << 20,
}

_EXACTLY: Final[Properties] = {
    "group.id": "nonzero",  # the client wants one; nothing is stored there, and no other member is asked
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": False,
    # Bytes that a disk has changed would be learned from, or passed over.
    "check.crcs": True,
}

_SENDING: Final[Properties] = {
    "linger.ms": 5,
    "message.timeout.ms": 30_000,
    "message.max.bytes": 64 << 20,
    "topic.metadata.propagation.max.ms": 10_000,  # a topic that is not there then is missing
}
_ACKNOWLEDGED: Final[Properties] = {"enable.idempotence": True, "acks": "all"}

_SHORTEST: Final = 3
"""What is shorter is no secret, and stands in many words."""

_SHOWN: Final = frozenset({"security.protocol", "sasl.mechanism", "sasl.mechanisms", "client.id", "debug"})
"""Properties whose values are words that the client uses too."""

_SILENT: Final = logging.Logger("kafka", logging.CRITICAL + 1)


class KafkaConfig:
    """Where the brokers are, and how the client speaks to them. Shows none of its properties' values.

    Parameters
    ----------
    brokers
        ``HOST:PORT`` of some; these know the others.
    properties
        Of the client, as librdkafka names them.

    Raises
    ------
    SourceConfigError
        Where the client is not installed, or does not take its properties.

    Examples
    --------
    >>> KafkaConfig(["127.0.0.1:9092"], {"sasl.password": "secret"})
    KafkaConfig(127.0.0.1:9092, sasl.password)
    """

    def __init__(self, brokers: Sequence[str], properties: Mapping[str, Any] | None = None) -> None:
        self.brokers = tuple(brokers)
        self._properties = dict(properties or {})
        check_client()
        # Whatever it does not take is said now; how it gets on with brokers those say that read.
        self._consumer({"logger": _SILENT}).close()

    @classmethod
    def of(cls, brokers: Sequence[str], file: Path | None) -> KafkaConfig:
        """Return the configuration of an address and a file of properties.

        Parameters
        ----------
        brokers
            ``HOST:PORT`` of some.
        file
            TOML, or a ``name=value`` a line; None: there is none.

        Raises
        ------
        SourceConfigError
            Where anything of it cannot be used.
        """
        return cls(brokers, None if file is None else read_properties(file))

    def __repr__(self) -> str:
        return f"KafkaConfig({', '.join([*self.brokers, *sorted(self._properties)])})"

    def without_values(self, text: str) -> str:
        """Return what the client says, without the value of any property.

        Parameters
        ----------
        text
            What it says.
        """
        return _without(text, [value for name, value in self._properties.items() if name not in _SHOWN])

    def consumer(self, log: ClientLog) -> Consumer:
        """Return a consumer, which connects on its own.

        Parameters
        ----------
        log
            Is told what it says.
        """
        return self._consumer(log.callbacks)

    def producer(self, log: ClientLog) -> Producer:
        """Return a producer; what it has sent is safe when it says so.

        Parameters
        ----------
        log
            Is told what it says.
        """
        from confluent_kafka import Producer

        producer: Producer = self._made(Producer, _SENDING, _ACKNOWLEDGED, log.callbacks)
        return producer

    def admin(self) -> AdminClient:
        """Return a client that asks about topics; it says nothing of itself."""
        from confluent_kafka.admin import AdminClient

        admin: AdminClient = self._made(AdminClient, {}, {"log_level": 0, "debug": ""}, {})
        return admin

    def _consumer(self, callbacks: Mapping[str, Any]) -> Consumer:
        from confluent_kafka import Consumer

        debug = ",".join(filter(None, (ClientLog.DEBUG, str(self._properties.get("debug", "")))))
        consumer: Consumer = self._made(Consumer, _READING, {**_EXACTLY, "debug": debug}, callbacks)
        return consumer

    def _made(
        self, make: Callable[..., Any], less: Properties, more: Properties, callbacks: Mapping[str, Any]
    ) -> Any:
        from confluent_kafka import KafkaException

        properties = {
            **_COMMON,
            **less,
            **self._properties,
            **more,
            "bootstrap.servers": ",".join(self.brokers),
        }
        properties = {name: value for name, value in properties.items() if value != ""}
        try:
            return make({**properties, **callbacks})
        except (KafkaException, TypeError, ValueError) as error:
            said = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            said = _without(said, self._properties.values())
            raise SourceConfigError(
                f"the client of Kafka does not take its properties: {said}; mend the file that source_config "
                "names"
            ) from None


def _without(text: str, values: Iterable[object]) -> str:
    for value in sorted(map(str, values), key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, "...")
    return text
