"""Poller: the thread that asks the client for records, and sees to it that they are the ones that are meant.

What it hands out of a partition begins where the chunk before it ended, and ends at the client's position:
the offsets of markers, of aborted records and of those that were compacted away are passed over on the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from nonzero_service.kafka.backlog import Backlog
from nonzero_service.kafka.client_log import ClientLog
from nonzero_service.kafka.errors import (
    LogTruncatedError,
    OffsetLostError,
    RecordsDamagedError,
    SourceError,
    TopicRemadeError,
)
from nonzero_service.kafka.gathering import WAIT_SECONDS, RecordGatherer
from nonzero_service.kafka.leaders import hear_of_leaders
from nonzero_service.kafka.plan import PartitionReading, Plan
from nonzero_service.kafka.records import Chunk, Lost, RecordSplitter
from nonzero_service.kafka.topic_watch import TopicWatch
from nonzero_service.kafka.topics import (
    ANSWER_SECONDS,
    Partition,
    TopicQueries,
    description_of,
    id_text,
    refused,
    text_of,
    unanswered,
)

if TYPE_CHECKING:
    from confluent_kafka import Message

    from nonzero_service.kafka.config import KafkaConfig

_CUT: Final = "log truncation"
"""Stands in what the client says where the leader's epoch tells; the code is that of any lost position."""

WHY_LOST: Final = "retention has passed them, or somebody deleted them, before they were read"


class Poller:
    """Reads topics into a backlog.

    Parameters
    ----------
    config
        How brokers are spoken to.
    plan
        What is read.
    backlog
        Where it goes.
    times
        Whether the times of records are wanted.
    """

    def __init__(self, config: KafkaConfig, plan: Plan, backlog: Backlog, *, times: bool) -> None:
        from confluent_kafka import KafkaError, TopicPartition

        self.readings: Mapping[Partition, PartitionReading] = {}
        """What is read; another mapping takes its place where a partition is added."""
        self.log = ClientLog(config.without_values, self._topic_changed)
        self._brokers = ",".join(config.brokers)
        self._plan = plan
        self._backlog = backlog
        self._ids: dict[str, str] = {}
        self._remade: TopicRemadeError | None = None
        self._partition, self._errors = TopicPartition, KafkaError
        self._consumer = config.consumer(self.log)
        self._gatherer = RecordGatherer(self._consumer, len(plan.topics), times=times)
        self._queries = TopicQueries(config.admin(), plan.topics)
        self.watch = TopicWatch(self._queries, self._ids, self.log, self._brokers)
        self._assigned: list[Any] = []

    def run(self) -> None:
        """Read until the backlog is closed, or something is wrong, which whoever takes from it is told."""
        try:
            try:
                if self._begin():
                    while not self._backlog.is_closed:
                        self._turn()
            finally:
                self._consumer.close()
                self._queries.close()  # not when a cycle is found: each try has a reader of its own
        except BaseException as error:  # noqa: BLE001 - whoever waits for records is told
            self._backlog.fail(error)

    # --- the beginning

    def _begin(self) -> bool:
        """Find the topics, and where to read; wait for brokers. Whether it is not closed meanwhile."""
        topics = self._answers(self._queries.describe)
        if topics is None:
            return False
        found = {topic: description_of(topic, answer) for topic, answer in topics.items()}
        for topic, description in found.items():
            self._plan.check_id(topic, description.topic_id)
            self._ids[topic] = description.topic_id
        partitions = [(topic, number) for topic in found for number in found[topic].partitions]
        starts = self._answers(lambda: self._queries.starts(partitions))
        ends = starts and self._answers(lambda: self._queries.ends(partitions))
        stable = ends and self._answers(lambda: self._queries.stable_ends(partitions))
        if not starts or not ends or not stable:
            return False
        readings = {}
        begun: list[Chunk] = []
        for partition in partitions:
            latest = stable[partition].offset
            # What a topic that was read before has beside that is new.
            from_start = self._plan.from_start or self._plan.has_read(self._ids[partition[0]])
            start = starts[partition].offset if from_start else latest
            reading = readings[partition] = self._reading(*partition, start)
            if not from_start:
                begun.append(RecordSplitter.moved(*self._place(reading), start, -1))
                reading.begun = True
            reading.told(ends[partition].offset, latest)
        self._assign(readings)
        if begun:  # otherwise a stop before the first record would begin at another end
            self._backlog.put(begun, 0)
        for key, reading in readings.items():  # named at once, and not when the client finds out
            if reading.begun and not starts[key].offset <= reading.next <= ends[key].offset:
                self._passed(reading, starts[key].offset, ends[key].offset)
        self.watch.begin()
        return True

    def _reading(self, topic: str, number: int, start: int) -> PartitionReading:
        topic_id = self._ids[topic]
        position = self._plan.positions.get((topic_id, number))
        if position is None:
            return PartitionReading(topic, topic_id, number, start, -1, begun=False)
        offset, epoch = position
        return PartitionReading(topic, topic_id, number, offset, epoch, begun=True)

    def _answers(self, ask: Any) -> dict[Any, Any] | None:
        """Ask until all is answered; None where it is closed before."""
        while True:
            asked = ask()
            until = time.monotonic() + 2 * ANSWER_SECONDS
            while not all(future.done() for future in asked.values()) and time.monotonic() < until:
                self._rest(WAIT_SECONDS / 10)
                self._check()
                if self._backlog.is_closed:
                    return None
            answers = {}
            for key, future in asked.items():
                error = future.exception() if future.done() else TimeoutError("the brokers do not answer")
                if error is None:
                    answers[key] = future.result()
                    continue
                topic = key if isinstance(key, str) else key[0]
                meant = unanswered(topic, error)
                if meant is not None:
                    raise meant
                self.log.away(f"{self._brokers}: {text_of(error)}")
            if len(answers) == len(asked):
                return answers
            # A partition's leader may be another by now, of which the client hears only with the topic.
            self._queries.describe()
            self._rest(WAIT_SECONDS)

    def _rest(self, seconds: float) -> None:
        """Wait a little, and hear what the client complains of, where it can give no record meanwhile."""
        if self._assigned:
            time.sleep(seconds)
        else:
            self._consumer.poll(seconds)

    def _assign(self, readings: Mapping[Partition, PartitionReading]) -> None:
        """Have partitions read too, each from where it is."""
        self._consumer.incremental_assign([self._at(reading) for reading in readings.values()])
        self.readings = {**self.readings, **readings}
        self._assigned = [self._partition(*partition) for partition in self.readings]
        hear_of_leaders(self._consumer, readings, lambda: self._backlog.is_closed)

    def _at(self, reading: PartitionReading) -> Any:
        """Return the place of a reading, by which the client also finds whether the log was cut since."""
        place = self._partition(reading.topic, reading.number, reading.next)
        if reading.epoch >= 0:
            place = self._partition(place.topic, place.partition, place.offset, leader_epoch=reading.epoch)
        return place

    # --- one turn

    def _turn(self) -> None:
        if self._backlog.room(WAIT_SECONDS):
            wrong = self._gatherer.gather(self._backlog.left)
            self._check()
            self._hand_out()
            for message in wrong:
                self._mend(message)
            if self._gatherer.took_all:
                self.log.heard_all()
        # Whatever a new partition has has come since: it is read from its start.
        added = {key: self._reading(*key, 0) for key in self.watch.look(self.readings)}
        if added:
            self._assign(added)
            self.watch.soon()  # where these end nobody has told yet

    def _check(self) -> None:
        """Raise what the client has told beside records; what it gave with that is not handed out."""
        if self._remade is not None:
            raise self._remade
        if self.log.failure is not None:
            raise self.log.failure

    def _topic_changed(self, topic: str, topic_id: str) -> None:
        """Take note of the id by which the client reads a topic from now on: it does not ask for leave."""
        was, now = self._ids.get(topic), id_text(topic_id)
        if was is not None and was != now:
            self._remade = TopicRemadeError(topic, was, now)

    def _hand_out(self) -> None:
        """Hand out what was gathered, and how far the positions have moved without anything."""
        chunks: list[Chunk] = []
        found = self._gatherer.take()
        for position in self._consumer.position(self._assigned):
            key = (position.topic, position.partition)
            reading = self.readings[key]
            own = found.get(key)
            last = reading.next if own is None else (own.last.offset() or 0) + 1
            to = max(position.offset, last)  # no position is known after a failure
            if own is not None:
                chunk = own.chunk(*self._place(reading), to)
                reading.epoch, reading.newest_ms = chunk.epoch, own.last.timestamp()[1]
            elif to > reading.next:
                if position.leader_epoch is not None:
                    reading.epoch = position.leader_epoch
                chunk = RecordSplitter.moved(*self._place(reading), to, reading.epoch)
            else:
                continue
            reading.next, reading.begun = to, True
            chunks.append(chunk)
        if chunks:
            self._backlog.put(chunks, self._gatherer.nbytes)

    @staticmethod
    def _place(reading: PartitionReading) -> tuple[str, str, int, int]:
        return reading.topic, reading.topic_id, reading.number, reading.next

    # --- what goes wrong

    def _mend(self, message: Message) -> None:
        """See to what the client says of a partition instead of a record."""
        error = message.error()
        reading = self.readings.get((message.topic() or "", message.partition() or 0))
        if error is None or reading is None:
            return
        code, said = error.code(), error.str()
        if code == self._errors._LOG_TRUNCATION or _CUT in said:
            raise LogTruncatedError(reading.topic, reading.number, reading.next, None)
        if code in (self._errors._AUTO_OFFSET_RESET, self._errors.OFFSET_OUT_OF_RANGE):
            self._find_again(reading)
        elif code == self._errors.TOPIC_AUTHORIZATION_FAILED:
            raise refused(reading.topic, said)
        elif code in (
            self._errors._BAD_MSG,
            self._errors._BAD_COMPRESSION,
            self._errors._UNSUPPORTED_FEATURE,
        ):
            raise RecordsDamagedError(reading.topic, reading.number, reading.next, said)
        elif code in (self._errors.UNKNOWN_TOPIC_OR_PART, self._errors._UNKNOWN_PARTITION):
            self.watch.soon()  # is it gone?
        elif not error.retriable():
            raise SourceError(f"topic {reading.topic!r}, partition {reading.number}: {said} ({error.name()})")
        else:
            self.log.away(said)

    def _find_again(self, reading: PartitionReading) -> None:
        """See why a position is not there, and go on where that may be."""
        key = (reading.topic, reading.number)
        starts = self._answers(lambda: self._queries.starts([key]))
        ends = starts and self._answers(lambda: self._queries.ends([key]))
        if starts and ends:
            self._passed(reading, starts[key].offset, ends[key].offset)

    def _passed(self, reading: PartitionReading, start: int, end: int) -> None:
        """Go on in a partition that has not, or had not, the offset that is wanted."""
        first = reading.next
        if first > end:
            raise LogTruncatedError(reading.topic, reading.number, first, end)
        if first < start:
            if reading.begun and not self._plan.skip:
                raise OffsetLostError(reading.topic, reading.number, first, start)
            reading.next = start
            if not reading.begun:
                reading.start = start
            else:
                lost = Lost(first, start, WHY_LOST)
                place = (reading.topic, reading.topic_id, reading.number, start)
                self._backlog.put([RecordSplitter.moved(*place, start, reading.epoch, lost)], 0)
        self._consumer.incremental_unassign([self._partition(reading.topic, reading.number)])
        self._consumer.incremental_assign([self._at(reading)])
