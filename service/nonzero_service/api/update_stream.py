"""UpdateStream: the examples of one request on their way through the learner, and what has become of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from types import TracebackType
from typing import Any, Self

import msgspec
import xxhash
from starlette.requests import ClientDisconnect

from nonzero import Batch, LineError
from nonzero.formats import Parsed
from nonzero_service.api.idempotency import Fingerprint
from nonzero_service.api.tally import Tally
from nonzero_service.bodies.reading import Piece
from nonzero_service.bodies.spool import Spool
from nonzero_service.errors import KeyReusedError, KeyUnrecognisedError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import MAX_ERRORS, problem_of
from nonzero_service.writer.stream_pace import WINDOW, piece_bytes
from nonzero_service.writer.work import Applied, Record, StreamState


class UpdateTally(Tally):
    """What has become of a request's examples so far."""

    def __init__(self, served: ServedModel) -> None:
        super().__init__(served)
        self.errors: list[LineError] = []
        self.skipped = 0
        self.verdicts: Counter[str] = Counter()

    def accept(self, applied: Applied) -> None:
        """Count a piece that was applied."""
        self.accepted += applied.examples
        self.held += applied.held
        self.sequence = applied.sequence
        self.verdicts.update(applied.verdicts)

    def reject(self, errors: tuple[LineError, ...]) -> None:
        """Count lines that cannot be learned; the first hundred are kept."""
        self.rejected += len(errors)
        self.errors += errors[: MAX_ERRORS - len(self.errors)]

    def skip(self, examples: int) -> None:
        """Count examples that were learned from before."""
        self.skipped += examples
        self.accepted += examples

    def check_any(self) -> None:
        """Refuse a stream that has come to nothing, because of its lines.

        Raises
        ------
        Problem
            422 where lines were refused, and none was accepted or held, now or before.
        """
        if self.errors and not self.accepted and not self.held and not self.verdicts:
            problem = self.nothing_learned("line", *self.errors[0])
            problem.errors = self.errors
            raise problem

    def answer(self, *, keyed: bool) -> dict[str, Any]:
        """Return the answer to the whole body."""
        answer = {
            "model": self.model,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "errors": [{"line": line, "reason": reason} for line, reason in self.errors],
            "sequence": self.sequence,
        }
        if self.held:
            answer["held"] = self.held
        if self.verdicts:
            answer["labels"] = dict(self.verdicts)
        return answer | {"replayed": self.skipped} if keyed else answer


class UpdateStream:
    """The pieces of one stream, given to the learner at its own pace.

    Leaving the block waits for what was given, whatever happened: a repeat of the request must not begin
    before that is in the journal. What ends the stream early becomes a problem that says, as `accepted`, what
    had been learned.

    Parameters
    ----------
    served
        The model.
    progress
        Where a line goes after every commit, if anywhere.
    key, known, fingerprint
        The request's idempotency key, what is known of it, and what its bytes are held against.
    pieces
        What the stream's batches are pieces of.
    """

    def __init__(
        self,
        served: ServedModel,
        progress: Spool | None,
        key: str | None = None,
        known: KeyRecord | None = None,
        fingerprint: Fingerprint | None = None,
        pieces: StreamState | None = None,
    ) -> None:
        self.tally = UpdateTally(served)
        self.fingerprint = fingerprint
        self._known = known
        self._learner = served.learner
        self._progress = progress
        self._key = key
        self._pieces = pieces or StreamState()
        self._given = 0
        self._accepted_lines = xxhash.xxh3_64()  # their numbers, of a request with a key
        self._checked = known is None
        self._waiting: deque[tuple[asyncio.Future[Applied], int]] = deque()
        self._waiting_bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ClientDisconnect | asyncio.CancelledError):
            self._pieces.given_up = True
        if error is None:
            try:
                await self._settle(0)
            except Exception as failure:  # noqa: BLE001 - it is answered below, as any other
                error = failure
        rest = await asyncio.gather(*(future for future, _ in self._waiting), return_exceptions=True)
        if not isinstance(error, Exception) or isinstance(
            error, ClientDisconnect | KeyReusedError | KeyUnrecognisedError
        ):
            return
        for applied in rest:
            if isinstance(applied, Applied):
                self.tally.accept(applied)
        problem = problem_of(error)
        problem.members.update(self.tally.counts())
        raise problem from error

    def piece_bytes(self) -> int:
        """Return how many bytes of the stream are to become one batch."""
        return piece_bytes(self._learner)

    @property
    def replays(self) -> bool:
        """Whether all of it is known: it is only held against what came first."""
        return self._known is not None and self._known.complete

    async def give(self, parsed: Parsed, piece: Piece) -> None:
        """Give what is new of a piece's examples to the learner, when there is room.

        Parameters
        ----------
        parsed
            Those of the piece's examples that the model can learn from.
        piece
            The piece.

        Raises
        ------
        KeyUnrecognisedError
            Where other examples than before are acceptable: nothing of this request is learned from.
        QueueFullError
            Where there is no room, and nothing of the stream was given yet.
        """
        batch = self._new(parsed)
        if not len(batch):
            return
        await self._wait_for_room(batch)
        self._given += len(batch)
        record = self._record(piece, self.tally.skipped + self._given)
        log_loss = self._progress is not None
        future = self._learner.submit(batch, record=record, log_loss=log_loss, stream=self._pieces)
        self._waiting.append((future, batch.nbytes))
        self._waiting_bytes += batch.nbytes
        if self._learner.gathers:  # see stream_pace.SMALL_PIECE
            await self._settle(0)

    async def _wait_for_room(self, batch: Batch) -> None:
        """Wait until the learner has few enough pieces of this stream, and room for one more."""
        await self._settle(WINDOW - batch.nbytes)
        if self._given:  # once begun it waits for room; until then it is refused, as any request is
            await self._learner.room(batch.nbytes)

    def _new(self, parsed: Parsed) -> Batch:
        """Return the examples of a piece but for those of the lines that are known with the key.

        They are told by their lines, not counted off: which lines are acceptable may have changed since.
        """
        known, fingerprint, lines = self._known, self.fingerprint, parsed.lines
        if fingerprint is None:
            return parsed.batch
        n = len(parsed.batch)
        old = 0
        if known is not None:
            old = n
            if fingerprint.recognised:
                old = int(lines.searchsorted(fingerprint.known_lines, "right"))
            self.tally.skip(old)
            self._accepted_lines.update(lines[:old].tobytes())
            if fingerprint.recognised and not self._checked:
                self._checked = True
                accepted = self._accepted_lines.hexdigest()
                # As many lines may be acceptable as before, and be others. Older records do not tell.
                if self.tally.skipped != known.rows or known.answer.get("lines", accepted) != accepted:
                    raise fingerprint.unrecognised(self.tally.skipped)
        self._accepted_lines.update(lines[old:].tobytes())
        return parsed.batch.rows(old, n) if old else parsed.batch

    async def _settle(self, limit: int) -> None:
        """Wait until at most `limit` bytes, or nothing, are with the learner; take what it has given back."""
        while self._waiting and (self._waiting_bytes > limit or self._waiting[0][0].done()):
            future, nbytes = self._waiting[0]
            applied = await asyncio.shield(future)
            self._waiting.popleft()
            self._waiting_bytes -= nbytes
            self.tally.accept(applied)
            if self._progress is not None:
                line = msgspec.json.encode(self.tally.counts() | {"log_loss": applied.log_loss})
                self._progress.write(line + b"\n")

    def _record(self, piece: Piece, rows: int) -> Record | None:
        """Return the maker of the record that a stream with a key has come so far."""
        key = self._key
        if key is None:
            return None
        answer = {"lines": self._accepted_lines.hexdigest()}
        return lambda first, _: KeyRecord(key, piece.digest, piece.offset, first, rows, False, answer)
