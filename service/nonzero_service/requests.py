"""What surrounds every request: its id, its log line, its metrics, and a problem for every error.

One middleware, plain ASGI, cheap enough for requests that take tens of microseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import (
    DiskFullError,
    JournalBusyError,
    JournalClosedError,
    JournalFailedError,
    NoDescriptorsError,
    StorageError,
)
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import problem_of, send_problem

if TYPE_CHECKING:
    from nonzero_service.front.exchange import Exchange

__all__ = ["AtOnce", "Quick", "Requests", "made_request_id", "request_id_of"]

REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")
"""An X-Request-ID that is taken over: printable ASCII."""

_made_ids: Final = itertools.count(secrets.randbits(63))
"""Requests without an id of their own are numbered, from where no other process does."""

GONE: Final = 499
"""The status in log and metrics of a request whose client went before its answer."""


AtOnce: TypeAlias = "Callable[[Exchange], bool]"
"""Answers a request whose whole body is there without a task, or takes it on; or says that it does not."""


class Requests:
    """ASGI middleware.

    Parameters
    ----------
    app
        The application.
    counts
        Where requests are counted.
    """

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self.app = app
        self.counts = counts
        self._log = structlog.get_logger("requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope)
        scope["request_id"] = request_id.decode("ascii")
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or GONE
        except asyncio.CancelledError:
            status = status or GONE
            raise
        except Exception as error:  # every error is a problem, and none ends the connection before its answer
            problem = problem_of(error)
            if problem.status >= 500 and not _is_expected(error):
                incidentally(
                    self._log.exception,
                    "the service failed",
                    request_id=scope["request_id"],
                    path=scope["path"],
                )
            if status:  # too late for another answer; cutting the connection says that this one is not whole
                raise
            await send_problem(scope, send_with_id, problem)
        finally:
            self.ended(scope, status, started)

    def at_once(self, exchange: Exchange, handler: Callable[[Quick], bool]) -> bool:
        """Have `handler` answer a request without a task.

        What it raises the application meets again, and answers; but not where the request was taken on: then
        it may be learned from already, and what was raised is the answer.
        """
        quick: Quick | None = None
        try:
            quick = Quick(self, exchange)
            return handler(quick)
        except Exception as error:  # noqa: BLE001 - it is answered
            taken = quick is not None and quick.taken
            if quick is not None and taken and not quick.over:
                quick.fail(error)
            return taken or exchange.begun

    def ended(self, scope: Scope, status: int, started: float) -> None:
        """Count a request that was answered so, and log it: neither undoes the answer."""
        try:
            self._ended(scope, status, time.perf_counter() - started)
        except Exception:  # noqa: BLE001 - as above
            incidentally(self._log.exception, "a request could not be counted", path=scope["path"])

    @cached_property
    def _tells_all(self) -> bool:
        """Whether requests that went well are logged: asked once, when logging is set up."""
        return bool(self._log.is_enabled_for(logging.DEBUG))

    def _ended(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        pattern = getattr(route, "path", "none")
        method = scope["method"]
        self.counts.observe(pattern, method if route is not None else "any", status, seconds)
        if status >= 500 and status != 503:
            log = self._log.error
        elif status >= 400 or method in ("PUT", "DELETE"):
            log = self._log.info
        elif self._tells_all:
            log = self._log.debug
        else:
            return
        log(
            "request",
            request_id=scope["request_id"],
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 3),
        )


class Quick:
    """A request that is answered without a task: by the code that has its bytes, or that learned from them.

    Parameters
    ----------
    requests
        What it is counted by.
    exchange
        The request, its body whole.
    """

    __slots__ = ("_answered", "_exchange", "_request_id", "_requests", "_started", "body", "scope", "taken")

    def __init__(self, requests: Requests, exchange: Exchange) -> None:
        self._requests = requests
        self._exchange = exchange
        self._started = time.perf_counter()
        self._answered = False
        self.scope = exchange.scope
        self.body = exchange.body
        self.taken = False
        """Whether it was taken on."""

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more: it was given, or the client has gone."""
        return self._answered or self._exchange.gone

    def take(self) -> None:
        """Take the request on: it will be answered later, and by nobody else."""
        self.taken = True
        self._exchange.on_leave = self._left

    def answer(self, status: int, body: bytes) -> None:
        """Answer with JSON."""
        self._answered = True
        try:
            self._exchange.answer_json(status, body, self._named())
        except Exception:  # noqa: BLE001 - those who are answered after it must be
            self._cut()
        else:
            self._requests.ended(self.scope, status, self._started)

    def go_on(self) -> None:
        """Have the application answer, after the request was taken on."""
        self._answered = True
        try:
            self._exchange.go_on()
        except Exception:  # noqa: BLE001 - as above
            self._cut()

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""

        async def failing(*_: object) -> None:
            raise error

        self._answered = True
        try:
            self._exchange.go_on(Requests(failing, self._requests.counts))
        except Exception:  # noqa: BLE001 - as above
            self._cut()

    def _cut(self) -> None:
        """End the connection, because the answer failed."""
        self._exchange.cut()
        incidentally(
            structlog.get_logger("requests").exception, "the service failed", path=self.scope["path"]
        )

    def _left(self) -> None:
        self._named()
        self._requests.ended(self.scope, GONE, self._started)

    def _named(self) -> bytes:
        request_id = request_id_of(self.scope)
        self.scope["request_id"] = request_id.decode("ascii")
        return request_id


def _is_expected(error: Exception) -> bool:
    """Whether an error that is answered 5xx says all that there is to say: no disk space, not now."""
    if isinstance(error, StorageError):
        expected = (
            DiskFullError,
            JournalBusyError,
            JournalFailedError,
            JournalClosedError,
            NoDescriptorsError,
        )
        return isinstance(error, expected)
    return problem_of(error).status in (503, 507)


def request_id_of(scope: Scope) -> bytes:
    """Return a request's own id where it has one that is taken over, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if REQUEST_ID.fullmatch(value):
                taken: bytes = value
                return taken
            break
    return made_request_id()


def made_request_id() -> bytes:
    """Return an id for a request that has none."""
    return b"%016x" % next(_made_ids)
