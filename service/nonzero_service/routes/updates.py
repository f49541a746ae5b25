"""Update: learn from examples, in order; the answer comes when they are durable and applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero import Batch, LineError
from nonzero.formats.json_bodies import is_list
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.learning.flows import Flow, Tally
from nonzero_service.learning.idempotency import Fingerprint
from nonzero_service.learning.teachable import teachable
from nonzero_service.learning.work import Applied, Pieces, until_ended
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import MAX_ERRORS, Problem, problem_of
from nonzero_service.requests import Quick
from nonzero_service.service import Service
from nonzero_service.wire.answers import send_json, send_stream, updated
from nonzero_service.wire.bodies import check_examples
from nonzero_service.wire.headers import (
    JSON,
    STREAMS,
    Headers,
    headers_of,
    is_plain_json,
    unknown_type,
)
from nonzero_service.wire.queries import flag_of
from nonzero_service.wire.spool import Spool

__all__ = ["Update"]

ALONE: Final = "alone"
"""In the scope of a request: its body could not be read with others and has to be read by itself."""


class Update:
    """``POST /v1/models/{model}/update``, as a plain ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def at_once(self, quick: Quick) -> bool:
        """Have a request of one example gathered with others, and answer it without a task."""
        body = quick.body
        if len(body) > self.service.bodies.quick or is_list(body) or not is_plain_json(quick.scope):
            return False
        served = self.service.models.get(quick.scope["path_params"]["model"])
        served.learner.check_room()
        served.names.look(JSON, body)
        single = _Single(quick, served.name)
        quick.take()  # before it is queued: nobody else may answer what may be learned from
        served.learner.gather_for(single, body)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get(scope["path_params"]["model"])
        served.learner.check_room()
        headers = headers_of(scope)
        strict = flag_of(scope, "strict")
        if headers.media == JSON:
            body = await self.service.bodies.json(headers, receive)
            gathers = headers.key is None and len(body) <= self.service.bodies.quick and not is_list(body)
            if gathers and ALONE not in scope:
                served.names.look(JSON, body)
                applied = await served.learner.gather(body)
                if applied is not None:
                    await send_json(send, updated(served.name, applied), 202 if applied.held else 200)
                    return
            answer = await self._json(served, headers, body)
            await send_json(send, msgspec.json.encode(answer), 202 if "held" in answer else 200)
        elif headers.media not in STREAMS:
            raise unknown_type(headers.media, JSON, *STREAMS)
        elif headers.wants_lines:

            async def write(spool: Spool) -> None:
                await self._progress(scope, served, headers, receive, spool, strict)

            await send_stream(send, self.service.spool(), write)
        else:
            answer = await self._stream(served, headers, receive, strict, None)
            await send_json(send, msgspec.json.encode(answer), 202 if "held" in answer else 200)

    # -- JSON bodies -----------------------------------------------------------------------------------

    async def _json(self, served: ServedModel, headers: Headers, body: bytes) -> dict[str, Any]:
        """Learn from all examples of a body, or from none; once, where it has a key."""
        if headers.key is None:
            return await self._learn_body(served, body, None)
        async with served.turns.turn(headers.key) as pieces:
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

            return await self._learn_body(served, body, record, pieces)

    async def _learn_body(
        self,
        served: ServedModel,
        body: bytes,
        record: Callable[[int, dict[str, Any], int], KeyRecord] | None,
        pieces: Pieces | None = None,
    ) -> dict[str, Any]:
        batch = await self.service.bodies.json_batch(body, served.model.schema)
        served.names.look(JSON, body)
        most = self.service.settings.max_weight
        check_examples(batch, served.model.bits, labelled=True, max_weight=most)
        tally, pieces = Tally(served), pieces or Pieces()
        met = await served.attribution.meet(batch)
        tally.verdicts = Counter(met.verdicts)
        if record is None:
            if len(batch):
                submitted = served.attribution.submit(met, pieces=pieces)
                tally.accept(await until_ended(submitted, pieces))
            return tally.answer(keyed=False)

        def make(first: int, held: int) -> KeyRecord:
            learned = len(met.batch) - held
            tally.accept(Applied(learned, first + learned, None, held))
            return record(first, tally.answer(keyed=True), len(batch))

        await until_ended(served.attribution.submit(met, record=make, pieces=pieces), pieces)
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
            flow = Flow(served, progress)
            await self._learn_stream(served, headers, receive, strict, flow)
            flow.tally.check_any()
            return flow.tally.answer(keyed=False)
        async with served.turns.turn(headers.key) as pieces:
            known = await self._known(served, headers.key)
            fingerprint = Fingerprint(headers.media, known)
            flow = Flow(served, progress, headers.key, known, fingerprint, pieces)
            await self._learn_stream(served, headers, receive, strict, flow)
            if known is not None and known.complete:
                return known.answer | {"replayed": known.rows}
            flow.tally.check_any()
            # An empty row says that the request has come to its end, and how it was answered.
            answer = flow.tally.answer(keyed=True)
            rows = flow.tally.accepted + flow.tally.held
            if not rows:  # nothing that a repeat could do twice: the key stays free
                return answer

            def record(first: int, _: int) -> KeyRecord:
                key, digest = headers.key or "", fingerprint.digest()
                return KeyRecord(key, digest, fingerprint.offset, first, rows, True, answer)

            await served.learner.room(Batch.empty())
            await until_ended(served.learner.submit(Batch.empty(), record=record, pieces=pieces), pieces)
            return answer

    async def _learn_stream(
        self, served: ServedModel, headers: Headers, receive: Receive, strict: bool, flow: Flow
    ) -> None:
        """Learn from a stream of lines, as fast as the learner does."""
        async with (
            flow,
            aclosing(
                self.service.bodies.stream(
                    headers, receive, served.model.schema, flow.fingerprint, served.names, flow.piece_bytes
                )
            ) as pieces,
        ):
            async for piece in pieces:
                if flow.replays:
                    continue
                most = self.service.settings.max_weight
                parsed = teachable(piece.parsed, served.model.bits, most, labelled=True)
                if parsed.errors:
                    flow.tally.reject(parsed.errors)
                    self.service.metrics.rejected(served.name, len(parsed.errors))
                    if strict:
                        raise _refused(parsed.errors)
                await flow.give(parsed, piece)

    async def _known(self, served: ServedModel, key: str) -> KeyRecord | None:
        """Return what the journal knows of a key."""
        return await self.service.bodies.aside(lambda: served.kept.journal.lookup(key))


class _Single:
    """A request of one example, which waits for what comes of it."""

    __slots__ = ("_model", "_quick")

    def __init__(self, quick: Quick, model: str) -> None:
        self._quick = quick
        self._model = model

    def done(self) -> bool:
        return self._quick.over

    def set_result(self, applied: Applied | None) -> None:
        if applied is None:
            self._quick.scope[ALONE] = True
            self._quick.go_on()
        else:
            self._quick.answer(202 if applied.held else 200, updated(self._model, applied))

    def set_exception(self, error: BaseException) -> None:
        self._quick.fail(error)


def _refused(errors: tuple[LineError, ...]) -> Problem:
    return Problem(
        422,
        f"line {errors[0].line} cannot be learned: {errors[0].reason}. With strict=true the stream was "
        "stopped before the part that it stands in; `accepted` examples had been learned",
        errors=errors[:MAX_ERRORS],
    )
