"""What surrounds every request: its id, its log line, its metrics, and a problem for every error."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import cached_property
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nonzero_service import tracing
from nonzero_service.http.head import Head
from nonzero_service.http.routing import UNKNOWN_TARGET
from nonzero_service.incidental import incidentally
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem, problem_of
from nonzero_service.tracing.tracer import Tracer

GONE: Final = 499
"""The status in log and metrics of a request whose client went before its answer."""


SPAN: Final = "span"
"""In the scope of a request: its span, where spans are made."""


class Accounting:
    """Counts, logs and traces requests, and makes problems of what is raised.

    Parameters
    ----------
    counts
        Where requests are counted.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._log = structlog.get_logger("requests")
        self._tracer = tracing.tracer()

    def begin(self, scope: Scope) -> Any:
        """Have a request be the one that is answered from now on; return what :meth:`pause` takes."""
        if self._tracer is None:
            return None
        if SPAN not in scope:
            incidentally(self._trace, self._tracer, scope)
        return tracing.current_span.set(scope.get(SPAN))

    @staticmethod
    def _trace(tracer: Tracer, scope: Scope) -> None:
        head: Head = scope["head"]
        scope[SPAN] = tracer.begin_request(scope["method"], scope["target"].pattern, head.trace_context())

    @staticmethod
    def pause(begun: Any) -> None:
        """Let no request be answered any more in this turn of the event loop, or in this task."""
        if begun is not None:
            tracing.current_span.reset(begun)

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have an application answer a request, whose :class:`Head` is in its scope."""
        started = time.perf_counter()
        request_id = name_request(scope)
        begun = self.begin(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or GONE
        except asyncio.CancelledError:
            status = status or GONE
            raise
        except Exception as error:  # every error is a problem, and none ends the connection before its answer
            problem = self.problem_of(scope, error)
            if status:  # too late for another answer; cutting the connection says that this one is not whole
                raise
            status = problem.status
            headers, body = problem.answer(scope)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self.pause(begun)
            self.ended(scope, status, started)

    async def refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with an error, and count it without its route."""

        async def failing(*_: object) -> None:
            raise error

        await self.answer(failing, {**scope, "target": UNKNOWN_TARGET}, receive, send)

    def problem_of(self, scope: Scope, error: Exception) -> Problem:
        """Return how an error is answered; one that nobody expects is logged."""
        problem = problem_of(error)
        if problem.status >= 500 and not problem.says_all:
            incidentally(
                self._log.error,
                "the service failed",
                request_id=scope["request_id"],
                path=scope["path"],
                **trace_ids(scope),
                exc_info=error,
            )
        return problem

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
        pattern = scope["target"].pattern
        method = scope["method"]
        self._counts.observe(pattern, method if pattern != "none" else "any", status, seconds)
        if self._tracer is not None and SPAN in scope:
            self._tracer.end_request(scope[SPAN], status, **_model_in(scope))
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
            **trace_ids(scope),
        )


def _model_in(scope: Scope) -> dict[str, str]:
    """Return what a span says of the model that a path names."""
    name: str | None = scope["path_params"].get("model")
    return {} if name is None else {"nonzero.model": name}


def trace_ids(scope: Scope) -> dict[str, str]:
    """Return what a request's lines in the log say of its trace; nothing, where it is of none."""
    making, span = tracing.tracer(), scope.get(SPAN)
    if making is not None and span is not None:
        return making.ids(span)
    head: Head = scope["head"]
    context = head.trace_context()
    return {} if context is None else {"trace_id": context.trace_id, "span_id": context.span_id}


def name_request(scope: Scope) -> bytes:
    """Note a request's id in its scope, and return it."""
    head: Head = scope["head"]
    request_id = head.request_id()
    scope["request_id"] = request_id.decode("ascii")
    return request_id
