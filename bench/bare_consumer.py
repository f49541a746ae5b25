"""The bare consumer that a source is held against: it reads a topic to an offset, and does nothing with it.

``python -m bench.bare_consumer BROKER TOPIC MESSAGES`` says the seconds between its first message
and its last, and how many came between.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

AT_ONCE = 500
WAIT_SECONDS = 0.1


def main() -> None:
    broker, topic, messages = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # Its best of those tried: see docs/decisions/kafka-throughput.md.
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": "bare",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 1,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 64 * 1024,
            "fetch.max.bytes": 16 << 20,
            "max.partition.fetch.bytes": 4 << 20,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    first = seen = read = 0
    begun = 0.0
    while seen < messages:
        values = list(map(Message.value, consumer.consume(AT_ONCE, WAIT_SECONDS)))
        seen += len(values)
        read += sum(map(len, filter(None, values)))
        if seen and not first:
            begun, first = time.perf_counter(), seen
    seconds = time.perf_counter() - begun
    consumer.close()
    sys.stdout.write(json.dumps({"seconds": seconds, "messages": seen - first, "bytes": read}))


if __name__ == "__main__":
    main()
