"""Flow: what is read of topics on its way through the learner, from one beginning to the first failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Final, Protocol

from nonzero_service.bodies.reading import Bodies
from nonzero_service.kafka.answered import Answered
from nonzero_service.kafka.lag import Lag
from nonzero_service.kafka.records import Chunk
from nonzero_service.streams.pieces import Lines, cut, halves
from nonzero_service.streams.refusals import RefusedLines
from nonzero_service.streams.state import SourceState
from nonzero_service.streams.taking import TakenPiece, Taker
from nonzero_service.streams.totals import Totals
from nonzero_service.writer.learner import ModelLearner
from nonzero_service.writer.origins import Origin, Run, Skip
from nonzero_service.writer.stream_pace import WINDOW, piece_bytes
from nonzero_service.writer.work import Applied, StreamState, retrieved

PAUSE_SECONDS: Final = 0.1
"""So often it is looked whether learning goes on."""

MOVE_SECONDS: Final = 10.0
"""So long a position may be ahead of the journal where nothing was learned on the way: behind aborted
transactions, or what was compacted. Each would be a commit of its own; to pass them again costs little."""

PIECE_BYTES: Final = 1 << 12
"""What a piece counts for beside its examples: it may have none, and there may be many."""

TOO_LARGE: Final = (
    "it has more examples and features than one row of the journal takes; send several messages"
)


class ReadsTopics(Protocol):
    """What reads topics: :class:`nonzero_service.kafka.topic_reader.TopicReader` does."""

    async def next(self) -> list[Chunk]:
        """Return what comes next, at least one chunk; wait for it."""

    def pause(self) -> None:
        """Fetch nothing more."""

    def resume(self) -> None:
        """Fetch again."""

    @property
    def answered(self) -> Answered | None:
        """When brokers have answered; None: they have not yet."""

    @property
    def is_up(self) -> bool:
        """Whether brokers answer, and partitions are read."""

    def lags(self) -> Mapping[tuple[str, int], Lag]:
        """Return how far each partition is behind, by topic and number."""

    async def close(self) -> None:
        """End it."""


class KeepsPoison(Protocol):
    """What keeps messages that cannot be read: :class:`nonzero_service.kafka.poison.PoisonTopic` does."""

    async def send(self, chunk: Chunk, reasons: Mapping[int, str]) -> None:
        """Keep the messages of some offsets, and why; return when they are safe."""

    async def close(self) -> None:
        """Wait no longer for what is not safe yet."""


class Flow:
    """The messages of one source between its reader and its learner. Used on the event loop.

    Parameters
    ----------
    learner
        What learns.
    reader
        What reads.
    takers
        By topic, what becomes of its messages.
    bodies
        Has pieces parsed.
    state, totals, refusals
        What is told of it.
    poison
        Keeps what was refused; None: it is counted and named.
    came
        Told when anything has come, and is in the journal.
    """

    def __init__(
        self,
        learner: ModelLearner,
        reader: ReadsTopics,
        takers: Mapping[str, Taker],
        bodies: Bodies,
        state: SourceState,
        totals: Totals,
        refusals: RefusedLines,
        poison: KeepsPoison | None = None,
        came: Callable[[], object] = lambda: None,
    ) -> None:
        self._learner = learner
        self._reader = reader
        self._takers = takers
        self._bodies = bodies
        self._state = state
        self._totals = totals
        self._refusals = refusals
        self._poison = poison
        self._came = came
        self._stream = StreamState()
        self._in_flight: set[asyncio.Future[Applied]] = set()
        self._in_flight_bytes = 0
        self._less = asyncio.Event()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moves: dict[tuple[str, int], Chunk] = {}
        self._moved_at = 0.0
        self._gave_all = True  # that comes before those

    async def run(self) -> None:
        """Read and learn until :meth:`stop`, or until something fails, which is raised."""
        reading: asyncio.Future[list[Chunk]] | None = None
        try:
            while not self._over.done():
                await self._until_learning()
                if reading is None:
                    reading = asyncio.ensure_future(self._reader.next())
                wait = MOVE_SECONDS if self._moves else None
                await asyncio.wait((reading, self._over), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                chunks: list[Chunk] = []
                if reading.done():
                    chunks, reading = reading.result(), None
                if not self._over.done():
                    self._gave_all = False
                    await self._give_all(self._worthwhile(chunks))
                    self._gave_all = not self._over.done()
            await self._over
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    @property
    def passed(self) -> Mapping[tuple[str, int], int]:
        """By topic and partition, where it is ahead of the journal, as there was nothing to learn."""
        return {(chunk.topic, chunk.partition): chunk.next for chunk in self._moves.values()}

    def stop(self) -> None:
        """Read no more; what is with the learner is learned from."""
        if not self._over.done():
            self._over.set_result(None)

    async def end(self) -> None:
        """Wait for what is with the learner; and have the journal know what was passed over, if it may."""
        await self._settle(0)
        # Behind messages that the learner was not given, a position would say that it was.
        if self._moves and self._gave_all and not self._stream.failure and self._is_well():
            piece, self._moves = [Lines(chunk) for chunk in self._moves.values()], {}
            self._submit(piece, next(iter(self._takers.values())).take(piece))
            await self._settle(0)

    def _is_well(self) -> bool:
        return not self._over.done() or self._over.exception() is None

    async def _until_learning(self) -> None:
        """Wait while learning is paused: what was given by now is held, and nothing more is read."""
        pause = self._learner.pause
        if pause.since is None:
            return
        self._reader.pause()
        self._state.stand("paused", "learning is paused by the circuit breaker; POST .../resume ends that")
        try:
            while pause.since is not None and not self._over.done():
                await asyncio.wait((self._over,), timeout=PAUSE_SECONDS)
        finally:
            self._reader.resume()
        self._state.stand("reading")

    def _worthwhile(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Return the chunks that are to be written of; those without messages wait for others."""
        worthwhile: list[Chunk] = []
        for chunk in chunks:
            key = (chunk.topic_id, chunk.partition)
            moved = self._moves.pop(key, None)
            if moved is not None and chunk.lost is None:
                chunk = chunk._replace(first=moved.first)
            elif moved is not None:
                worthwhile.append(moved)
            # One that goes nowhere says where a partition was begun: at its end, which no other start finds.
            if chunk.values or chunk.lost is not None or chunk.first == chunk.next:
                worthwhile.append(chunk)
            else:
                if not self._moves:
                    self._moved_at = time.monotonic()
                self._moves[key] = chunk
        if self._moves and time.monotonic() >= self._moved_at + MOVE_SECONDS:
            worthwhile += self._moves.values()
            self._moves = {}
        return worthwhile

    async def _give_all(self, chunks: Sequence[Chunk]) -> None:
        """Give chunks to the learner, in pieces."""
        for topic, run in groupby(chunks, key=lambda chunk: chunk.topic):
            for piece in cut(run, piece_bytes(self._learner)):
                if self._over.done():
                    return
                await self._until_learning()
                await self._give(piece, self._takers[topic])

    async def _give(self, piece: Sequence[Lines], taker: Taker) -> None:
        """Give a piece to the learner, when it is parsed and there is room."""
        size = sum(lines.size for lines in piece)
        taken = await self._bodies.offload(size, taker.take, piece)
        if taken.is_too_large:
            chunks = [lines.chunk for lines in piece]
            if len(chunks) > 1:
                for chunk in chunks:
                    await self._give([Lines(chunk)], taker)
                return
            if len(chunks[0].values) > 1:
                for chunk in halves(chunks[0]):
                    await self._give([Lines(chunk)], taker)
                return
            taken = taker.refuse(piece, TOO_LARGE)
        if taken.refusals:
            await self._refuse(piece, taken)
        await self._settle(WINDOW - taken.nbytes - PIECE_BYTES)
        await self._learner.room(taken.nbytes)
        if not self._is_well():
            return
        self._submit(piece, taken)
        if self._learner.gathers:  # see stream_pace.SMALL_PIECE
            await self._settle(0)

    def _submit(self, piece: Sequence[Lines], taken: TakenPiece) -> None:
        """Give the learner what a piece came to, and where it came from."""
        nbytes = taken.nbytes + PIECE_BYTES
        runs = tuple(
            _run_of(lines.chunk, refused, examples)
            for lines, refused, examples in zip(piece, taken.refused, taken.examples, strict=True)
            if lines.chunk.lost is None
        )
        skipped = tuple(_skip_of(lines.chunk) for lines in piece if lines.chunk.lost is not None)
        future = taken.submit(Origin(runs, skipped=skipped), self._stream)
        self._in_flight.add(future)
        self._in_flight_bytes += nbytes
        newest_ms = {
            (chunk.topic, chunk.partition): int(chunk.times[-1])
            for chunk in (lines.chunk for lines in piece)
            if chunk.values
        }
        future.add_done_callback(lambda done: self._given_back(done, nbytes, runs, newest_ms))

    async def _refuse(self, piece: Sequence[Lines], taken: TakenPiece) -> None:
        """Tell of what was refused, before it is passed over for ever."""
        self._refusals.add(taken.refusals)
        if self._poison is None:
            return
        reasons: dict[tuple[int, int], str] = {}
        for one in taken.refusals:
            reasons.setdefault((one.partition, one.offset), f"line {one.line}: {one.reason}")
        for lines, refused in zip(piece, taken.refused, strict=True):
            if refused:
                chunk = lines.chunk
                of_chunk = {
                    offset: reason
                    for (partition, offset), reason in reasons.items()
                    if partition == chunk.partition and chunk.first <= offset < chunk.next
                }
                await self._poison.send(chunk, of_chunk)

    async def _settle(self, limit: int) -> None:
        """Wait until at most `limit` bytes, or nothing, are with the learner."""
        while self._in_flight and (self._in_flight_bytes > limit or limit <= 0):
            self._less.clear()
            await self._less.wait()

    def _given_back(
        self,
        future: asyncio.Future[Applied],
        nbytes: int,
        runs: Sequence[Run],
        newest_ms: Mapping[tuple[str, int], int],
    ) -> None:
        """Take note of what became of a piece."""
        self._in_flight.discard(future)
        self._in_flight_bytes -= nbytes
        self._less.set()
        error = retrieved(future)
        if error is None:
            self._totals.add(runs, newest_ms)
            self._came()
        elif not self._over.done() and not future.cancelled():
            self._over.set_exception(error)


def _run_of(chunk: Chunk, refused: int, examples: int) -> Run:
    return Run(
        chunk.topic,
        chunk.topic_id,
        chunk.partition,
        chunk.first,
        chunk.next,
        chunk.epoch,
        len(chunk.values),
        refused,
        examples,
    )


def _skip_of(chunk: Chunk) -> Skip:
    assert chunk.lost is not None  # noqa: S101 - who asks has looked
    return Skip(chunk.topic_id, chunk.partition, *chunk.lost)
