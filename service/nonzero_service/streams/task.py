"""TopicSource: has one model learn from its topics, for as long as it is written here.

How far the topics were read stands in the journal, in the transactions of what was learned. So whatever
fails, reading begins again where the journal says, and each message is learned from once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from nonzero.errors import NonzeroError
from nonzero_service.bodies.reading import Bodies
from nonzero_service.errors import ClosedError, NotWritingError
from nonzero_service.incidental import incidentally
from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.errors import (
    LogTruncatedError,
    OffsetLostError,
    RecordsDamagedError,
    SourceConfigError,
    TopicRemadeError,
)
from nonzero_service.kafka.lag import Lag
from nonzero_service.logs import described
from nonzero_service.models.served import ServedModel
from nonzero_service.settings.source_url import SourceUrl
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.flow import Flow, KeepsPoison, ReadsTopics
from nonzero_service.streams.refusals import RefusedLines
from nonzero_service.streams.state import SourceState
from nonzero_service.streams.taking import Taker
from nonzero_service.streams.totals import Totals
from nonzero_service.streams.watermark import Place
from nonzero_service.writer.origins import PartitionRead, Position, newest_partitions_of, partitions_of

AGAIN_SECONDS: Final = 0.25
LATER_SECONDS: Final = 10.0
"""So long after something failed it is tried again: at first, and at last."""

TRYING_SECONDS: Final = 60.0
"""A try that has not failed by then goes well, though nothing is learned. To send away what cannot be read
may take half of that."""

CLOSE_SECONDS: Final = 5.0
"""So long what is not with the learner yet may take where it is closed; the next start reads it again."""

FOR_GOOD: Final = (
    TopicRemadeError,
    OffsetLostError,
    LogTruncatedError,
    RecordsDamagedError,
    SourceConfigError,
)
"""What no waiting mends: somebody has to say what is to be done."""

ENDS: Final = (ClosedError, NotWritingError)
"""What is raised where the model is written here no more."""


OpenReader = Callable[[SourceUrl, Mapping[tuple[str, int], Position], Mapping[str, str]], ReadsTopics]
"""Begins to read the topics of a source, at positions, and given by which id each topic was last read."""


class TopicSource:
    """Has a model learn from topics. Used on the event loop.

    Parameters
    ----------
    url
        What is read, and how.
    served
        The model, which is written here.
    open_reader
        Begins to read.
    new_takers
        Returns, by topic, what becomes of its messages. They count what they have read, and where one fails
        on the way they count wrong: so each time that reading is begun it is by new ones.
    bodies
        Has messages parsed.
    poison
        Keeps what was refused; None: it is counted and named.
    event_time
        What its topics have reached, where windows end by that.
    """

    def __init__(
        self,
        url: SourceUrl,
        served: ServedModel,
        open_reader: OpenReader,
        new_takers: Callable[[], Mapping[str, Taker]],
        bodies: Bodies,
        poison: KeepsPoison | None = None,
        event_time: EventTime | None = None,
    ) -> None:
        self.url = url
        self.event_time = event_time
        self.state = SourceState()
        self.totals = Totals()
        self.refusals = RefusedLines(served.name)
        self._served = served
        self._open_reader = open_reader
        self._new_takers = new_takers
        self._bodies = bodies
        self._poison = poison
        self._reader: ReadsTopics | None = None
        self._begun_at = self._began_at = time.monotonic()  # reading, this time; and the source
        self._known: Mapping[Place, Lag] = {}  # what the readers before this one knew
        self._flow: Flow | None = None
        self._closing = asyncio.Event()
        self._said: set[str] = set()  # why it could not be read since it last was, where the log has that
        self._log = structlog.get_logger("source").bind(model=served.name, source=str(url))
        incidentally(self._log.info, "learning from topics", topics=url.topics)
        self._task = asyncio.create_task(self._run())

    @property
    def is_up(self) -> bool:
        """Whether its topics can be read, or could be if learning were not paused."""
        reads = self.state.standing in ("reading", "paused")
        return reads and self._reader is not None and self._reader.is_up and not self.is_trying

    @property
    def is_trying(self) -> bool:
        """Whether it reads again after a failure, which may come again: some wait, and none was learned."""
        return (
            self.state.standing == "reading"
            and self.state.trouble is not None
            and time.monotonic() < self._begun_at + TRYING_SECONDS
            and any(lag.behind_records != 0 for lag in self.lags().values())
        )

    @property
    def answered(self) -> Answered | None:
        """When brokers have answered what reads now; None: they have not yet."""
        return None if self._reader is None else self._reader.answered

    @property
    def partitions(self) -> Sequence[PartitionRead]:
        """What was read of each partition, as the model has it."""
        return partitions_of(self._served.model.notes)

    @property
    def newest_partitions(self) -> Sequence[PartitionRead]:
        """The same of topics as they are now, where some were made anew."""
        return newest_partitions_of(self._served.model.notes)

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        """Return how far each partition is behind: what is read is not learned yet.

        Of a partition that the journal knows something is told always, also before any broker has answered.
        """
        learned = {(read.topic, read.partition): read.next for read in self.newest_partitions}
        passed = {} if self._flow is None else self._flow.passed
        found = self._read()
        topics = {topic for topic, _ in found}
        for (topic, partition), position in learned.items():
            if topic in self.url.topics and topic not in topics:
                found[topic, partition] = Lag(position, position, None, None, self._began_at)
        learned |= passed
        return {place: self._learned(place, lag, learned.get(place)) for place, lag in found.items()}

    def _read(self) -> dict[Place, Lag]:
        """Return how far reading is behind; of a topic that is not read yet, how far it was before."""
        found = {} if self._reader is None else dict(self._reader.lags())
        topics = {topic for topic, _ in found}
        for place, known in self._known.items():
            if place[0] not in topics:
                found[place] = known
            elif place in found and found[place].newest_ms < 0:
                found[place] = found[place]._replace(newest_ms=known.newest_ms)
        return found

    def _learned(self, place: Place, lag: Lag, position: int | None) -> Lag:
        """Return how far a partition is behind that was learned up to a position."""
        newest_ms = lag.newest_ms
        if position is None:
            position = lag.begun
        if position <= lag.position:
            lag = lag._replace(position=position)
            if place in self.totals.of and self.totals.of[place].newest_ms >= 0:
                newest_ms = self.totals.of[place].newest_ms
        if newest_ms < 0:  # what waits has done so since it was begun, at least
            newest_ms = int(1000 * (time.time() - (time.monotonic() - self._began_at)))
        return lag._replace(newest_ms=newest_ms)

    async def close(self) -> None:
        """Read no more, and return when what is with the learner is learned from. May be called again."""
        self._closing.set()
        if self._flow is not None:
            self._flow.stop()
        await asyncio.wait((self._task,), timeout=CLOSE_SECONDS)
        if self._poison is not None:
            await self._poison.close()
        self._task.cancel()  # it waits for a broker; what is with the learner is waited for all the same
        await asyncio.wait((self._task,))
        self.refusals.say()

    async def _run(self) -> None:
        """Read and learn until it is closed, or something fails for good."""
        wait = AGAIN_SECONDS
        while not self._closing.is_set():
            begun, begun_at = self.totals.messages, time.monotonic()
            try:
                await self._read_on()
            except ENDS as error:  # it is closed next, and begun where the model is written
                self.state.stand("waiting", described(error))
            except FOR_GOOD as error:
                self.state.failures += 1
                self.state.stand("stopped", described(error))
                self._say(error, "the source has stopped")
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the journal knows where to begin again
                went_well = self.answered is not None and time.monotonic() > begun_at + LATER_SECONDS
                again = not went_well and self.totals.messages == begun
                self.state.fail(described(error), again=again)
                self._say(error, "the source cannot be read; it is tried again")
            if self.totals.messages > begun:
                wait = AGAIN_SECONDS
            await self._rest(wait)
            wait = min(2 * wait, LATER_SECONDS)

    async def _read_on(self) -> None:
        """Read from where the journal says, until it is closed or something fails."""
        known = {read.topic: read.topic_id for read in self.newest_partitions}
        positions = self._served.learner.source_positions
        reader = self._reader = self._open_reader(self.url, positions, known)
        self._begun_at = time.monotonic()
        try:
            flow = self._flow = Flow(
                self._served.learner,
                reader,
                self._new_takers(),
                self._bodies,
                self.state,
                self.totals,
                self.refusals,
                self._poison,
                self._came,
            )
            if self._closing.is_set():
                flow.stop()
            try:
                self.state.stand("reading")
                await flow.run()
            finally:
                await flow.end()
        finally:
            self._flow = None
            await reader.close()
            self._known = self._read()

    def _came(self) -> None:
        """Take note that topics are read, and learned from: a disk that is full lets them be read alone."""
        self.state.trouble = None
        if self._said:
            self._said.clear()
            incidentally(self._log.info, "the source is read again")

    def _say(self, error: Exception, event: str) -> None:
        """Say why nothing is read, each reason once until something is read."""
        reason = described(error)
        if reason in self._said:
            return
        self._said.add(reason)
        known = isinstance(error, NonzeroError | OSError)
        incidentally(self._log.error, event, reason=reason, exc_info=None if known else error)

    async def _rest(self, seconds: float) -> None:
        """Wait for some seconds, or until it is closed."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
