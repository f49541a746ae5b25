"""PoisonTopic: messages of which nothing could be learned, in a topic of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nonzero_service.kafka.client_log import ClientLog
from nonzero_service.kafka.errors import BrokerUnreachableError, SourceError, TopicMissingError
from nonzero_service.kafka.records import Chunk
from nonzero_service.kafka.topics import refused

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

    from nonzero_service.kafka.config import KafkaConfig

_REASON: Final = 2_000
"""So many characters of a reason are sent."""


class PoisonTopic:
    """Sends what was refused to a topic, where people look at it. Used on an event loop.

    A message is there at least once: it is sent before it is passed over for ever, and a stop between the two
    sends it again. Its key is then the same, ``TOPIC_ID/PARTITION/OFFSET``. Its headers ``nonzero-topic``,
    ``nonzero-topic-id``, ``nonzero-partition``, ``nonzero-offset`` and ``nonzero-reason`` say where it came
    from and what was wrong. One that the topic does not take, since it is too large, goes there without
    its value, with a header ``nonzero-value`` that says so.

    Parameters
    ----------
    config
        Where the brokers are.
    topic
        The topic's name.
    """

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._config = config
        self._topic = topic
        self._log = ClientLog(config.without_values)
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    async def send(self, chunk: Chunk, reasons: Mapping[int, str]) -> None:
        """Send messages; return when they are safe.

        Parameters
        ----------
        chunk
            Has them.
        reasons
            By their offsets, what is wrong with them.

        Raises
        ------
        TopicMissingError, SourceRefusedError, BrokerUnreachableError
            Where they could not be sent. Some may be there all the same.
        """
        if reasons:
            await asyncio.to_thread(self._send, chunk, reasons)

    async def close(self) -> None:
        """Let go of the brokers, and wait no longer for what they have not taken. It may be used again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    def _send(self, chunk: Chunk, reasons: Mapping[int, str]) -> None:
        with self._lock:
            producer = self._producer = self._producer or self._config.producer(self._log)
            offsets = np.fromiter(reasons, np.int64, len(reasons))
            places = np.searchsorted(chunk.offsets, offsets)
            wanted = {
                int(offset): (chunk.values[place], reasons[int(offset)])
                for offset, place in zip(offsets, places, strict=True)
            }
            failed = self._deliver(producer, chunk, wanted)
            for offset in [offset for offset, error in failed.items() if _is_too_large(error)]:
                # Those that were sent with it were refused with it.
                del failed[offset]
                value, reason = wanted[offset]
                alone = self._deliver(producer, chunk, {offset: (value, reason)})
                if alone and _is_too_large(alone[offset]):
                    left_out = ("nonzero-value", b"too large")
                    alone = self._deliver(producer, chunk, {offset: (None, reason)}, left_out)
                failed |= alone
            if failed:
                raise self._failure(next(iter(failed.values())))
            self._log.failure = None
            self._log.answered()
            self._log.heard_all()

    def _deliver(
        self,
        producer: Producer,
        chunk: Chunk,
        messages: Mapping[int, tuple[bytes | None, str]],
        *more: tuple[str, str | bytes | None],
    ) -> dict[int, KafkaError]:
        """Send messages, and wait; return what has become of those that are not there."""
        from confluent_kafka import KafkaException

        failed: dict[int, Any] = {}
        for offset, (value, reason) in messages.items():
            headers: list[tuple[str, str | bytes | None]] = [
                ("nonzero-topic", chunk.topic.encode()),
                ("nonzero-topic-id", chunk.topic_id.encode()),
                ("nonzero-partition", b"%d" % chunk.partition),
                ("nonzero-offset", b"%d" % offset),
                ("nonzero-reason", reason[:_REASON].encode()),
                *more,
            ]
            key = f"{chunk.topic_id}/{chunk.partition}/{offset}"

            def delivered(error: KafkaError | None, _message: Message, offset: int = offset) -> None:
                if error is not None:
                    failed[offset] = error

            while True:
                try:
                    producer.produce(self._topic, value, key.encode(), on_delivery=delivered, headers=headers)
                except BufferError:
                    producer.poll(1)
                    continue
                except KafkaException as error:
                    failed[offset] = error.args[0]
                break
            producer.poll(0)
        producer.flush()
        return failed

    def _failure(self, error: KafkaError) -> SourceError:
        from confluent_kafka import KafkaError

        if self._log.failure is not None:
            failure, self._log.failure = self._log.failure, None
            return failure
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            return TopicMissingError(self._topic)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return refused(self._topic, error.str())
        return BrokerUnreachableError(
            f"a message that cannot be read could not be sent to topic {self._topic!r}: {error.str()}; see "
            "whether the brokers run, and take it"
        )


def _is_too_large(error: KafkaError) -> bool:
    """Whether a message, or those that were sent with it, is more than the topic takes."""
    return error.code() in (error.MSG_SIZE_TOO_LARGE, error.INVALID_MSG_SIZE, error.RECORD_LIST_TOO_LARGE)
