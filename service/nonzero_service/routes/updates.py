"""Update: learn from examples, in order; the answer comes when they are applied."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero import LineError
from nonzero_service.answers import send_json, send_stream
from nonzero_service.bodies import check_examples, usable
from nonzero_service.headers import JSON, NDJSON, STREAMS, Headers, headers_of, unknown_type
from nonzero_service.learner import Applied
from nonzero_service.models import ServedModel
from nonzero_service.problems import MAX_ERRORS, Problem, problem_of
from nonzero_service.service import Service
from nonzero_service.spool import Spool

__all__ = ["Update"]

WINDOW: Final = 2
"""So many pieces of one stream may be with the learner: one applied, one waiting; the queue is for all."""


class Tally:
    """What has become of a stream's lines so far."""

    def __init__(self, served: ServedModel) -> None:
        self.model = served.name
        self.accepted = 0
        self.rejected = 0
        self.errors: list[LineError] = []
        self.sequence = served.model.examples

    def accept(self, applied: Applied) -> None:
        """Count a piece that was applied."""
        self.accepted += applied.examples
        self.sequence = applied.sequence

    def reject(self, errors: tuple[LineError, ...]) -> None:
        """Count lines that cannot be learned; the first hundred are kept."""
        self.rejected += len(errors)
        self.errors += errors[: MAX_ERRORS - len(self.errors)]

    def answer(self) -> dict[str, Any]:
        """Return the answer to the whole body."""
        return {
            "model": self.model,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "errors": [{"line": line, "reason": reason} for line, reason in self.errors],
            "sequence": self.sequence,
        }


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
            await self._json(served, headers, receive, send)
        elif headers.media not in STREAMS:
            raise unknown_type(headers.media, JSON, *STREAMS)
        elif NDJSON in headers.accept:

            async def write(spool: Spool) -> None:
                await self._progress(scope, served, headers, receive, spool, strict)

            await send_stream(send, self.service.spool(), write)
        else:
            tally = await self._learn(served, headers, receive, strict, None)
            await send_json(send, msgspec.json.encode(tally.answer()))

    async def _json(self, served: ServedModel, headers: Headers, receive: Receive, send: Send) -> None:
        """Learn from all examples of a body, or from none."""
        batch = await self.service.bodies.json_batch(headers, receive)
        check_examples(batch, served.model.bits, labelled=True)
        tally = Tally(served)
        if len(batch):
            tally.accept(await served.learner.submit(batch))
        await send_json(send, msgspec.json.encode(tally.answer()))

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
            tally = await self._learn(served, headers, receive, strict, spool)
            last = msgspec.json.encode(tally.answer())
        except Exception as error:
            if isinstance(error, ClientDisconnect) or not spool.begun:
                raise
            last = problem_of(error).body(scope)
        spool.write(last + b"\n")

    async def _learn(
        self, served: ServedModel, headers: Headers, receive: Receive, strict: bool, progress: Spool | None
    ) -> Tally:
        """Learn from a stream of lines, as fast as the learner does.

        Raises
        ------
        Problem
            Where the body breaks off; `accepted` says what was learned before.
        """
        tally = Tally(served)
        waiting: deque[asyncio.Future[Applied]] = deque()
        begun = False

        async def settle(limit: int) -> None:
            """Wait until at most `limit` pieces are with the learner."""
            while len(waiting) > limit:
                applied = await waiting.popleft()
                tally.accept(applied)
                if progress is not None:
                    progress.write(_progress_line(tally, applied))

        try:
            async with aclosing(self.service.bodies.stream(headers, receive)) as pieces:
                async for parsed, _ in pieces:
                    parsed = usable(parsed, served.model.bits, labelled=True)
                    tally.reject(parsed.errors)
                    if parsed.errors:
                        self.service.metrics.rejected(served.name, len(parsed.errors))
                    if strict and parsed.errors:
                        raise _refused(parsed.errors)
                    if len(parsed.batch):
                        await settle(WINDOW - 1)
                        if begun:
                            await served.learner.room(parsed.batch)
                        begun = (
                            True  # once begun it waits for room; until then it is refused, as any request is
                        )
                        waiting.append(served.learner.submit(parsed.batch, log_loss=progress is not None))
        except Problem as problem:
            await settle(0)
            problem.members.update(accepted=tally.accepted, rejected=tally.rejected, sequence=tally.sequence)
            raise
        await settle(0)
        return tally


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
