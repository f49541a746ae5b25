#!/usr/bin/env bash
# confluent-kafka 2.16.1 with librdkafka 2.16.0, and Kafka 4.4.0 (Python 3.11, Java 17), seen 2026-11-30:
# What a consumer tells beside its records, by `error_cb` and `logger`, waits in one queue with the records that it has fetched.
# So who reads more slowly than the client fetches hears that the broker is away when all is handed out that was fetched
# before: here when the broker has been back for seconds. Nothing tells when it was, and that it is over is not told at all. The
# callbacks are documented to be served by a poll; a reader would expect a complaint at the next one. To ask the broker by
# another client tells what is so; a complaint is news only where no record waited before it.
#
# Seen:
#   the broker is away for 3 seconds, in which 10 of 5000 records are polled: nothing is told
#   it is back, as another client finds; 10 more are polled: nothing is told
#   all the others are polled: that it is away is told behind record 5000
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
"$work/venv/bin/python" - "$work" "127.0.0.1:$port" <<'PYTHON'
import atexit
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

work, address = sys.argv[1:]
java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{work}/jars/*"]
properties = f"{work}/server.properties"
quiet = {"bootstrap.servers": address, "log_level": 0}
records = 5000
handed_out, told = 0, []


def start():
    process = subprocess.Popen([*java, "kafka.Kafka", properties], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    admin, ended = AdminClient(quiet), time.monotonic() + 60
    while True:
        try:
            admin.list_topics(timeout=1)
            return process, admin
        except KafkaException:
            assert process.poll() is None and time.monotonic() < ended


def poll(count):
    """Poll until so many records were handed out; return what the client has told."""
    global handed_out
    begun = len(told)
    ended = time.monotonic() + 30
    while count and time.monotonic() < ended:
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            handed_out += 1
            count -= 1
    while handed_out == records and not told and time.monotonic() < ended:
        consumer.poll(0.1)
    return told[begun:]


format = [*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", properties]
subprocess.run(format, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
broker, admin = start()
admin.create_topics([NewTopic("clicks", 1, 1)])["clicks"].result(10)
producer = Producer(quiet)
for number in range(records):
    producer.produce("clicks", b"%d" % number, partition=0)
assert producer.flush(30) == 0
callback = {"error_cb": lambda error: told.append((error.name(), handed_out))}
consumer = Consumer(quiet | callback | {"group.id": "findings", "enable.auto.commit": False})
consumer.assign([TopicPartition("clicks", 0, 0)])
assert poll(100) == []
time.sleep(2)  # the client fetches all that there is
broker.kill()
broker.wait()
time.sleep(3)
away = poll(10)
print(f"the broker is away for 3 seconds, in which 10 of {records} records are polled:", away or "nothing is told")
broker, admin = start()
time.sleep(2)
back = poll(10)
print("it is back, as another client finds; 10 more are polled:", back or "nothing is told")
name, behind = poll(records - handed_out)[0]
assert name in ("_TRANSPORT", "_ALL_BROKERS_DOWN"), name
print(f"all the others are polled: that it is away is told behind record {behind}")
assert not away and not back and behind == records, "it behaves otherwise now"
PYTHON
