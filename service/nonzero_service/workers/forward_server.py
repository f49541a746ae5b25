"""The writer's side of what workers and other nodes forward: the application answers it as it answers all.

Who forwards a request has checked it, and adds to its answer what everyone's answers say.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeAlias, cast

import numpy as np
import structlog
from numpy.typing import NDArray
from starlette.types import ASGIApp, Message, Scope

from nonzero import Batch
from nonzero.batches.ids import Ids
from nonzero_service.bodies.reading import Bodies
from nonzero_service.errors import ChannelError
from nonzero_service.http.admission import Admission, Capacity
from nonzero_service.http.dispatch import NOT_WRITING, PASSED_ON, TOO_LATE
from nonzero_service.journal.codec import decode_batch
from nonzero_service.models.served_models import ServedModels
from nonzero_service.problems import problem_of
from nonzero_service.settings import Settings
from nonzero_service.workers import request_messages as messages
from nonzero_service.workers.message_stream import MessageStream

Stream: TypeAlias = MessageStream[messages.FromForwarder]

FACTS: Final = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "root_path": "",
    PASSED_ON: True,
}
"""What the scope of every request says."""


class ForwardServer:
    """Answers what comes over the connections of workers and other nodes.

    Parameters
    ----------
    app
        The application.
    models
        The writer's, whose impressions workers predict with an id.
    bodies
        Runs what takes long beside the event loop.
    tasks
        Has the tasks of requests in flight: a stop waits for them.
    settings
        How much the bodies of all of them may hold: what is packed in one only this process sees.
    writes
        Whether this process writes just now, and is not stopping; else what comes is refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        models: ServedModels,
        bodies: Bodies,
        tasks: set[asyncio.Task[None]],
        settings: Settings,
        writes: Callable[[], bool] = lambda: True,
    ) -> None:
        self._app = app
        self._models = models
        self._bodies = bodies
        self._tasks = tasks
        self._writes = writes
        # How many there are each worker bounds for itself.
        self._capacity = Capacity(settings.model_copy(update={"max_requests": sys.maxsize}))
        self._log = structlog.get_logger("workers")

    async def serve(self, sock: socket.socket) -> None:
        """Answer the requests that come over a connection, until it ends."""
        try:
            stream: Stream = await MessageStream.open(sock, messages.FromForwarder)
        except OSError:  # the worker has gone meanwhile
            self._log.debug("a connection of a worker was lost", exc_info=True)
            return
        await self.answer(stream)

    async def answer(self, stream: Stream) -> None:
        """Answer the requests that come over a stream, one after another, until it ends."""
        task = cast(asyncio.Task[None], asyncio.current_task())
        try:
            while True:
                message = await stream.read()
                if self._writes():  # a stop does not wait for what comes after it began
                    self._tasks.add(task)
                await self._answer(stream, message)
                self._tasks.discard(task)
        except ConnectionError:  # the other end has closed it, or has ended
            pass
        except ChannelError as error:
            self._log.error("a forwarded request cannot be understood", reason=str(error))
        finally:
            self._tasks.discard(task)
            stream.abort()

    async def _answer(self, stream: Stream, message: messages.FromForwarder) -> None:
        match message:
            case messages.ForwardedRequest():
                if not self._writes():
                    message.scope[TOO_LATE] = True
                self._capacity.enter(None, 0, preferred=True)
                admission = Admission(self._capacity, None, 0)
                try:
                    await _ForwardedCycle(stream, message, admission.hold).run(self._app)
                finally:
                    admission.end()
            case messages.KeepAll(impressions):
                kept = await asyncio.gather(*map(self.keep, impressions))  # together they are one commit
                await stream.write(messages.AllKept(kept))
            case messages.BodyPart():
                raise ChannelError("a part of a body came without a request")

    async def keep(self, impressions: messages.KeepImpressions) -> messages.ImpressionsKept:
        """Keep the impressions of one request, as durably as they, or the settings, ask for."""
        if not self._writes():
            return messages.ImpressionsKept(503, NOT_WRITING)

        def keep() -> None:
            if impressions.shown:
                served.names.look(impressions.media, impressions.shown)
            keeper.keep(*_decoded(impressions))

        try:
            served = self._models.get(impressions.model)
            keeper = served.impressions.request(handed_on=impressions.handed_on)
            await self._bodies.offload(len(impressions.batch), keep)
            await keeper.synced()
        except Exception as error:  # noqa: BLE001 - the worker's client gets it
            problem = problem_of(error)
            return messages.ImpressionsKept(problem.status, problem.detail)
        return messages.ImpressionsKept(200)


class _ForwardedCycle:
    """One request and its answer, as the application sees them (ASGI)."""

    def __init__(
        self, stream: Stream, request: messages.ForwardedRequest, hold: Callable[[int], None]
    ) -> None:
        self._stream = stream
        self._scope: Scope = FACTS | request.scope | {"hold": hold}
        self._unasked = request.expects_continue
        self._more = True  # of the body
        self._start: messages.AnswerStart | None = None
        self._answered = False
        self._error: ChannelError | None = None

    async def run(self, app: ASGIApp) -> None:
        """Have the application answer; where it does not, end the connection.

        Raises
        ------
        ConnectionError, ChannelError
            Where the connection has ended, or is of no more use.
        """
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - it ends this request alone
            self._stream.abort()
            structlog.get_logger("workers").exception("a request failed beyond its answer")
        if self._error is not None:
            raise self._error
        if not self._answered:
            self._stream.abort()
        while self._more:  # what the application has not read; a worker that holds some back ends instead
            self._take(await self._stream.read())

    async def _receive(self) -> Message:
        try:
            if self._unasked:
                self._unasked = False
                await self._stream.write(messages.BodyWanted())
            part = self._take(await self._stream.read())
        except ConnectionError:
            return {"type": "http.disconnect"}
        except ChannelError as error:
            self._error = error
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part.body, "more_body": part.more}

    def _take(self, message: messages.FromForwarder) -> messages.BodyPart:
        if not isinstance(message, messages.BodyPart) or not self._more:
            raise ChannelError(f"{type(message).__name__} came before the last request was answered")
        self._more = message.more
        return message

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = messages.AnswerStart(message["status"], list(message.get("headers", ())))
            return  # it is written with what follows: a system call less
        part = messages.AnswerPart(message.get("body", b""), message.get("more_body", False))
        start, self._start = self._start, None
        self._answered = not part.more
        with suppress(ConnectionError):  # nobody waits for it any more
            await (self._stream.write(part) if start is None else self._stream.write(start, part))


def _decoded(impressions: messages.KeepImpressions) -> tuple[Batch, NDArray[np.float32]]:
    """Return the batch, with its ids, and what was predicted."""
    ids = Ids(
        impressions.text,
        np.frombuffer(impressions.ends, np.int64),
        np.frombuffer(impressions.given, np.bool_),
    )
    batch = replace(decode_batch(impressions.batch), ids=ids)
    return batch, np.frombuffer(impressions.probabilities, np.float32)
