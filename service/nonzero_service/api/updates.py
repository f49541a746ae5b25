"""Update: learn from examples, in order; the answer comes when they are durable and applied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero import Batch, LineError
from nonzero.formats.json_bodies import is_list
from nonzero_service.api.examples import check_examples, look_at
from nonzero_service.api.idempotency import Fingerprint, KeyLocks
from nonzero_service.api.queries import check_query, read_flag
from nonzero_service.api.update_stream import UpdateStream, UpdateTally
from nonzero_service.bodies.answers import send_json, send_stream
from nonzero_service.bodies.content import Content, content_of, is_plain_json, unknown_type
from nonzero_service.bodies.reading import SMALL
from nonzero_service.bodies.spool import Spool
from nonzero_service.bodies.tables import TableQuery, table_query
from nonzero_service.http.dispatch import InlineEndpoint
from nonzero_service.http.inline import InlineRequest
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.media_types import ARROW, JSON, STREAMS
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import MAX_ERRORS, Problem, problem_of
from nonzero_service.service import Service
from nonzero_service.writer.teachable import teachable
from nonzero_service.writer.work import Applied, StreamState, until_ended

ALONE: Final = "alone"
"""In the scope of a request: its body could not be read with others and has to be read by itself."""


class _Request(NamedTuple):
    """A request, as it is to be learned from."""

    served: ServedModel
    content: Content
    receive: Receive
    strict: bool
    """Whether a stream is stopped at its first bad line."""
    columns: TableQuery | None
    """What was said of the columns of a table; None for any other body."""

    @property
    def read_as(self) -> str:
        """How the body is read: what a repeat with the same key must say too."""
        return self.content.media + ("" if self.columns is None else self.columns.said)


class Update(InlineEndpoint):
    """``POST /v1/models/{model}/update``, as a plain ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._locks = KeyLocks()

    def answer_inline(self, request: InlineRequest) -> bool:
        """Have a request of one example gathered with others, and answer it without a task."""
        body = request.body
        if len(body) > self.service.bodies.small or is_list(body) or not is_plain_json(request.scope):
            return False
        served = self.service.models.get(request.scope["path_params"]["model"])
        served.learner.check_room()
        served.names.look(JSON, body)
        request.wait()
        served.learner.gather_for(_Waiter(request, served.name), body)
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        served = self.service.models.get(scope["path_params"]["model"])
        served.learner.check_room()
        content = content_of(scope)
        query = check_query(scope, ("strict", *TableQuery._fields))
        columns = table_query(query, content)
        strict = read_flag("strict", query.get("strict", "false"))
        request = _Request(served, content, receive, strict, columns)
        if content.media in (JSON, ARROW):
            await self._whole(request, send, alone=ALONE in scope)
        elif content.media not in STREAMS:
            raise unknown_type(content.media, scope["target"].route.accepts)
        elif content.wants_lines:
            await send_stream(send, self.service.spool(), partial(self._progress, scope, request))
        else:
            await _send(send, await self._stream(request))

    # -- bodies that are read whole --------------------------------------------------------------------

    async def _whole(self, request: _Request, send: Send, *, alone: bool) -> None:
        """Learn from a body of JSON or Arrow; `alone`: it cannot be read with others."""
        served, content = request.served, request.content
        bodies = self.service.bodies
        body = await bodies.json(content, request.receive)
        one = content.media == JSON and len(body) <= bodies.small and not is_list(body)
        if content.key is None and one and not alone:
            served.names.look(JSON, body)
            applied = await served.learner.gather(body)
            if applied is not None:
                await send_json(send, _updated(served.name, applied), 202 if applied.held else 200)
                return
        if content.key is None:
            answer = await self._learn_body(request, body, None, StreamState())
        else:
            answer = await self._learn_keyed_body(request, body, content.key)
        await _send(send, answer)

    async def _learn_keyed_body(self, request: _Request, body: bytes, key: str) -> dict[str, Any]:
        """Learn from all examples of a body, or from none; once."""
        served = request.served
        async with self._locks.hold(served, key) as pieces:
            known = await self._known(served, key)
            fingerprint = Fingerprint(request.read_as, known)
            fingerprint.update(body, 0)
            fingerprint.finish()
            if known is not None:
                return known.answer | {"replayed": known.rows}

            def record(first: int, answer: dict[str, Any], examples: int) -> KeyRecord:
                return KeyRecord(key, fingerprint.digest(), fingerprint.offset, first, examples, True, answer)

            return await self._learn_body(request, body, record, pieces)

    async def _learn_body(
        self,
        request: _Request,
        body: bytes,
        record: Callable[[int, dict[str, Any], int], KeyRecord] | None,
        pieces: StreamState,
    ) -> dict[str, Any]:
        served, bodies = request.served, self.service.bodies
        weight = len(body) if request.columns is None else len(body) + SMALL  # pyarrow takes long to import
        batch = await bodies.offload(weight, bodies.batch_of, body, served.model.schema, request.columns)
        served.names.look(request.content.media, body)
        most = self.service.settings.max_weight
        check_examples(batch, served.model.bits, labelled=True, max_weight=most)
        tally = UpdateTally(served)
        if record is None:
            if len(batch):
                tally.accept(await until_ended(served.learner.submit(batch, stream=pieces), pieces))
            return tally.answer(keyed=False)

        def make(first: int, came: Applied) -> KeyRecord:
            tally.accept(came)
            return record(first, tally.answer(keyed=True), len(batch))

        await until_ended(served.learner.submit(batch, record=make, stream=pieces), pieces)
        return tally.answer(keyed=True)

    # -- streams ---------------------------------------------------------------------------------------

    async def _progress(self, scope: Scope, request: _Request, spool: Spool) -> None:
        """Learn from a stream, writing a line after every commit; the answer, or a problem, comes last."""
        try:
            last = msgspec.json.encode(await self._stream(request, spool))
        except Exception as error:
            if isinstance(error, ClientDisconnect) or not spool.begun:
                raise
            last = problem_of(error).body(scope)
        spool.write(last + b"\n")

    async def _stream(self, request: _Request, progress: Spool | None = None) -> dict[str, Any]:
        """Learn from a stream of lines; once, where it has a key."""
        served, key = request.served, request.content.key
        if key is None:
            stream = UpdateStream(served, progress)
            await self._learn_stream(request, stream)
            stream.tally.check_any()
            return stream.tally.answer(keyed=False)
        async with self._locks.hold(served, key) as pieces:
            known = await self._known(served, key)
            fingerprint = Fingerprint(request.read_as, known)
            stream = UpdateStream(served, progress, key, known, fingerprint, pieces)
            await self._learn_stream(request, stream)
            if known is not None and known.complete:
                return known.answer | {"replayed": known.rows}
            stream.tally.check_any()
            # An empty row says that the request has come to its end, and how it was answered.
            answer = stream.tally.answer(keyed=True)
            rows = stream.tally.accepted + stream.tally.held
            if not rows:  # nothing that a repeat could do twice: the key stays free
                return answer

            def record(first: int, _: Applied) -> KeyRecord:
                return KeyRecord(key, fingerprint.digest(), fingerprint.offset, first, rows, True, answer)

            await served.learner.room(0)
            await until_ended(served.learner.submit(Batch.empty(), record=record, stream=pieces), pieces)
            return answer

    async def _learn_stream(self, request: _Request, stream: UpdateStream) -> None:
        """Learn from a stream of lines, as fast as the learner does."""
        served, content, receive, strict, columns = request
        settings = self.service.settings
        look = partial(look_at, served.names, content.media, columns)
        fingerprint, most = stream.fingerprint, stream.piece_bytes
        pieces_of = self.service.bodies.stream(
            content, receive, served.model, columns, fingerprint, look, most, labelled=True
        )
        async with stream, aclosing(pieces_of) as pieces:
            async for piece in pieces:
                if stream.replays:
                    continue
                parsed = teachable(piece.parsed, served.model.bits, settings.max_weight, labelled=True)
                if parsed.errors:
                    stream.tally.reject(parsed.errors)
                    self.service.metrics.rejected(served.name, len(parsed.errors))
                    if strict:
                        raise _refused(parsed.errors)
                await stream.give(parsed, piece)

    async def _known(self, served: ServedModel, key: str) -> KeyRecord | None:
        """Return what the journal knows of a key."""
        return await self.service.bodies.aside(lambda: served.stored.journal.lookup(key))


async def _send(send: Send, answer: dict[str, Any]) -> None:
    await send_json(send, msgspec.json.encode(answer), 202 if "held" in answer else 200)


class _Waiter:
    """Answers a request of one example with what comes of it."""

    __slots__ = ("_model", "_request")

    def __init__(self, request: InlineRequest, model: str) -> None:
        self._request = request
        self._model = model

    def done(self) -> bool:
        return self._request.over

    def set_result(self, applied: Applied | None) -> None:
        if applied is None:
            self._request.scope[ALONE] = True
            self._request.defer()
        else:
            self._request.answer(202 if applied.held else 200, _updated(self._model, applied))

    def set_exception(self, error: BaseException) -> None:
        self._request.fail(error)


def _updated(model: str, applied: Applied) -> bytes:
    """Return the answer to a JSON body of one example, as a tally would give it."""
    held = f',"held":{applied.held}' if applied.held else ""
    return (
        f'{{"model":"{model}","accepted":{applied.examples},"rejected":0,"errors":[],'
        f'"sequence":{applied.sequence}{held}}}'
    ).encode()


def _refused(errors: tuple[LineError, ...]) -> Problem:
    return Problem(
        422,
        f"line {errors[0].line} cannot be learned: {errors[0].reason}. With strict=true the stream was "
        "stopped before the part that it stands in; `accepted` examples had been learned",
        errors=errors[:MAX_ERRORS],
    )
