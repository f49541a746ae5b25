"""Update: learn from examples, in order; the answer comes when they are durable and applied."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero import Batch, LineError
from nonzero.examples import usable
from nonzero_service.answers import send_json, send_stream
from nonzero_service.bodies import check_examples
from nonzero_service.headers import JSON, NDJSON, STREAMS, Headers, headers_of, unknown_type
from nonzero_service.idempotency import Fingerprint
from nonzero_service.learner import Applied
from nonzero_service.models import ServedModel
from nonzero_service.problems import MAX_ERRORS, Problem, problem_of
from nonzero_service.service import Service
from nonzero_service.spool import Spool
from nonzero_service.storage.keys import KeyRecord

__all__ = ["Update"]

WINDOW: Final = 2
"""So many pieces of one stream may be with the learner: one applied, one waiting; the queue is for all."""


class Tally:
    """What has become of a request's examples so far.

    Parameters
    ----------
    served
        The model.
    known
        What is known of the request's idempotency key: its examples are accepted, and not learned from again.
    """

    def __init__(self, served: ServedModel, known: KeyRecord | None = None) -> None:
        self.model = served.name
        self.accepted = 0
        self.rejected = 0
        self.errors: list[LineError] = []
        self.sequence = served.model.examples
        self.skipped = 0
        self._known = 0 if known is None else known.rows

    def accept(self, applied: Applied) -> None:
        """Count a piece that was applied."""
        self.accepted += applied.examples
        self.sequence = applied.sequence

    def reject(self, errors: tuple[LineError, ...]) -> None:
        """Count lines that cannot be learned; the first hundred are kept."""
        self.rejected += len(errors)
        self.errors += errors[: MAX_ERRORS - len(self.errors)]

    def skip(self, batch: Batch) -> Batch:
        """Count the examples that were learned from before; return the others."""
        known = min(self._known - self.skipped, len(batch))
        self.skipped += known
        self.accepted += known
        return batch.rows(known, len(batch)) if known else batch

    def answer(self, *, keyed: bool) -> dict[str, Any]:
        """Return the answer to the whole body."""
        answer = {
            "model": self.model,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "errors": [{"line": line, "reason": reason} for line, reason in self.errors],
            "sequence": self.sequence,
        }
        return answer | {"replayed": self.skipped} if keyed else answer


class Update:
    """``POST /v1/models/{model}/update``, as a plain ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get(scope["path_params"]["model"])
        headers = headers_of(scope)
        strict = _strict(scope)
        if headers.media == JSON:
            answer = await self._json(served, headers, receive)
            await send_json(send, msgspec.json.encode(answer))
        elif headers.media not in STREAMS:
            raise unknown_type(headers.media, JSON, *STREAMS)
        elif NDJSON in headers.accept:

            async def write(spool: Spool) -> None:
                await self._progress(scope, served, headers, receive, spool, strict)

            await send_stream(send, self.service.spool(), write)
        else:
            answer = await self._stream(served, headers, receive, strict, None)
            await send_json(send, msgspec.json.encode(answer))

    # -- JSON bodies -----------------------------------------------------------------------------------

    async def _json(self, served: ServedModel, headers: Headers, receive: Receive) -> dict[str, Any]:
        """Learn from all examples of a body, or from none; once, where it has a key."""
        body = await self.service.bodies.json(headers, receive)
        if headers.key is None:
            return await self._learn_body(served, body, None)
        async with served.turns.turn(headers.key):
            known = await self._known(served, headers.key)
            fingerprint = Fingerprint(JSON, known)
            fingerprint.update(body)
            fingerprint.finish()
            if known is not None:
                return known.answer | {"replayed": known.rows}

            def record(first: int, answer: dict[str, Any], examples: int) -> KeyRecord:
                return KeyRecord(
                    headers.key or "", fingerprint.digest(), fingerprint.offset, first, examples, True, answer
                )

            return await self._learn_body(served, body, record)

    async def _learn_body(
        self,
        served: ServedModel,
        body: bytes,
        record: Callable[[int, dict[str, Any], int], KeyRecord] | None,
    ) -> dict[str, Any]:
        batch = await self.service.bodies.json_batch(body)
        check_examples(batch, served.model.bits, labelled=True)
        tally = Tally(served)
        if record is None:
            if len(batch):
                tally.accept(await served.learner.submit(batch))
            return tally.answer(keyed=False)

        def make(first: int) -> KeyRecord:
            tally.accept(Applied(len(batch), first + len(batch), None))
            return record(first, tally.answer(keyed=True), len(batch))

        await served.learner.submit(batch, record=make)
        return tally.answer(keyed=True)

    # -- streams ---------------------------------------------------------------------------------------

    async def _progress(
        self,
        scope: Scope,
        served: ServedModel,
        headers: Headers,
        receive: Receive,
        spool: Spool,
        strict: bool,
    ) -> None:
        """Learn from a stream, writing a line after every commit; the answer, or a problem, comes last."""
        try:
            last = msgspec.json.encode(await self._stream(served, headers, receive, strict, spool))
        except Exception as error:
            if isinstance(error, ClientDisconnect) or not spool.begun:
                raise
            last = problem_of(error).body(scope)
        spool.write(last + b"\n")

    async def _stream(
        self, served: ServedModel, headers: Headers, receive: Receive, strict: bool, progress: Spool | None
    ) -> dict[str, Any]:
        """Learn from a stream of lines; once, where it has a key."""
        if headers.key is None:
            tally = Tally(served)
            await self._learn_stream(served, headers, receive, strict, progress, tally)
            return tally.answer(keyed=False)
        async with served.turns.turn(headers.key):
            known = await self._known(served, headers.key)
            tally = Tally(served, known)
            fingerprint = Fingerprint(headers.media, known)
            await self._learn_stream(served, headers, receive, strict, progress, tally, fingerprint)
            if known is not None and known.complete:
                return known.answer | {"replayed": known.rows}
            # An empty row says that the request has come to its end, and how it was answered.
            answer = tally.answer(keyed=True)

            def record(first: int) -> KeyRecord:
                key, digest = headers.key or "", fingerprint.digest()
                return KeyRecord(key, digest, fingerprint.offset, first, tally.accepted, True, answer)

            await served.learner.submit(Batch.empty(), record=record)
            return answer

    async def _learn_stream(
        self,
        served: ServedModel,
        headers: Headers,
        receive: Receive,
        strict: bool,
        progress: Spool | None,
        tally: Tally,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        """Learn from a stream of lines, as fast as the learner does.

        Raises
        ------
        Problem
            Where the body breaks off; `accepted` says what was learned before.
        """
        waiting: deque[asyncio.Future[Applied]] = deque()
        given = tally.accepted

        async def settle(limit: int) -> None:
            """Wait until at most `limit` pieces are with the learner."""
            while len(waiting) > limit:
                applied = await waiting.popleft()
                tally.accept(applied)
                if progress is not None:
                    progress.write(_progress_line(tally, applied))

        try:
            async with aclosing(self.service.bodies.stream(headers, receive, fingerprint)) as pieces:
                async for piece in pieces:
                    parsed = usable(piece.parsed, served.model.bits, labelled=True)
                    tally.reject(parsed.errors)
                    if parsed.errors:
                        self.service.metrics.rejected(served.name, len(parsed.errors))
                    if strict and parsed.errors:
                        raise _refused(parsed.errors)
                    batch = tally.skip(parsed.batch)
                    if not len(batch):
                        continue
                    await settle(WINDOW - 1)
                    if given:  # once begun it waits for room; until then it is refused, as any request is
                        await served.learner.room(batch)
                    given += len(batch)
                    record = _record(headers.key, piece.digest, piece.offset, tally.skipped + given)
                    waiting.append(served.learner.submit(batch, record=record, log_loss=progress is not None))
        except Problem as problem:
            await settle(0)
            problem.members.update(accepted=tally.accepted, rejected=tally.rejected, sequence=tally.sequence)
            raise
        finally:  # a repeat must not begin before what this one gave is in the journal
            await asyncio.gather(*waiting, return_exceptions=True)
        await settle(0)

    async def _known(self, served: ServedModel, key: str) -> KeyRecord | None:
        """Return what the journal knows of a key."""
        return await self.service.bodies.aside(lambda: served.kept.journal.lookup(key))


def _record(key: str | None, digest: bytes, offset: int, rows: int) -> Callable[[int], KeyRecord] | None:
    """Return the maker of the record that a stream with a key has come so far."""
    if key is None:
        return None
    return lambda first: KeyRecord(key, digest, offset, first, rows, False, {})


def _strict(scope: Scope) -> bool:
    query = scope["query_string"]
    if not query:
        return False
    value = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("strict", ["false"])[-1]
    if value not in ("true", "false"):
        raise Problem(422, f"strict is true or false, not {value!r}")
    return bool(value == "true")


def _refused(errors: tuple[LineError, ...]) -> Problem:
    return Problem(
        422,
        f"line {errors[0].line} cannot be learned: {errors[0].reason}. With strict=true the stream was "
        "stopped before the part that it stands in; `accepted` examples had been learned",
        errors=errors[:MAX_ERRORS],
    )


def _progress_line(tally: Tally, applied: Applied) -> bytes:
    line = {
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "sequence": tally.sequence,
        "log_loss": applied.log_loss,
    }
    return msgspec.json.encode(line) + b"\n"
