#!/usr/bin/env bash
# confluent-kafka 2.16.1 with librdkafka 2.16.0, and Kafka 4.4.0 (Python 3.11, Java 17), seen 2026-11-30:
# A topic is deleted and made anew under its name while a consumer is paused, as one is that gets more than it can take. When
# it goes on, it goes on at the old topic's offset in the new one, where that has as many messages: those before it are never
# read, and neither an error nor `auto.offset.reset=error` says so. Only where the new topic is still shorter an error comes,
# "offset out of range". Topics have had ids since Kafka 2.8, and the client's admin shows both. A reader would expect an
# error, or the new topic from its beginning. Who must not miss messages compares the ids by himself.
#
# Seen:
#   the old topic: 5 messages, read at offsets [0, 1, 2, 3, 4]
#   made anew, with 8 messages; its id is another: True
#   then: read b'new 5' b'new 6' b'new 7', at offsets [5, 6, 7], errors: none
set -euo pipefail
work=$(mktemp -d)
broker=
leave() {
  if [[ -n $broker ]]; then kill "$broker" && wait "$broker" || true; fi
  rm -rf "$work"
}
trap leave EXIT
cat >"$work/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>findings</groupId>
  <artifactId>broker</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
mvn --quiet --batch-mode --file "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$work/jars" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1
read -r port controller < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))')
cat >"$work/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
auto.create.topics.enable=false
PROPERTIES
java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$work/jars/*")
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAQACAAAAAAAAAAQ -c "$work/server.properties" >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
"${java[@]}" kafka.Kafka "$work/server.properties" >"$work/log" 2>&1 &
broker=$!
until grep --quiet 'Kafka Server started' "$work/log"; do
  kill -0 "$broker" || { cat "$work/log"; exit 1; }
  sleep 0.2
done
"$work/venv/bin/python" - "127.0.0.1:$port" <<'PYTHON'
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

server = {"bootstrap.servers": sys.argv[1]}
admin = AdminClient(server)


def until(done):
    ended = time.monotonic() + 60
    while not done():
        assert time.monotonic() < ended
        time.sleep(0.1)


def topic_id():
    try:
        return str(admin.describe_topics(TopicCollection(["clicks"]))["clicks"].result(10).topic_id)
    except KafkaException:
        return None


def make(messages, word):
    admin.create_topics([NewTopic("clicks", 1, 1)])["clicks"].result(10)
    until(topic_id)
    producer = Producer(server)
    for number in range(messages):
        producer.produce("clicks", f"{word} {number}".encode(), partition=0)
    assert producer.flush(30) == 0
    return topic_id()


def read(messages):
    """Return so many messages, or what came within ten seconds, and the errors."""
    found, errors = [], []
    ended = time.monotonic() + 10
    while len(found) < messages and time.monotonic() < ended:
        message = consumer.poll(0.2)
        if message is not None and message.error():
            errors.append(message.error().name())
        elif message is not None:
            found.append(message)
    return found, errors


old = make(5, "old")
consumer = Consumer(server | {"group.id": "findings", "enable.auto.commit": False, "auto.offset.reset": "error"})
consumer.assign([TopicPartition("clicks", 0, 0)])
first, errors = read(5)
assert not errors
print("the old topic: 5 messages, read at offsets", [message.offset() for message in first])
consumer.pause([TopicPartition("clicks", 0)])
admin.delete_topics(["clicks"])["clicks"].result(10)
until(lambda: topic_id() is None)
new = make(8, "new")
print("made anew, with 8 messages; its id is another:", new != old)
consumer.resume([TopicPartition("clicks", 0)])
then, errors = read(8)
offsets = [message.offset() for message in then]
print("then: read", *(message.value() for message in then), end=", ")
print(f"at offsets {offsets}, errors: {', '.join(errors) or 'none'}")
consumer.close()
assert offsets == [5, 6, 7] and then[0].value() == b"new 5" and not errors, "it behaves otherwise now"
PYTHON
