"""ServerContext: what all connections of a service share."""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.types import Scope

from nonzero_service.http.accounting import name_request, trace_ids
from nonzero_service.http.cycle import STATUS_LINES
from nonzero_service.http.default_headers import DefaultHeaders
from nonzero_service.http.dispatch import Dispatcher
from nonzero_service.http.guard import Guard
from nonzero_service.http.head import made_request_id
from nonzero_service.http.rejections import DelayedRejections
from nonzero_service.http.start_queue import StartQueue
from nonzero_service.http.timeouts import TimeoutMonitor
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

QUIET_SECONDS: Final = 60.0
"""How long nothing more is logged of requests that are refused because there is too much to do."""


class ServerContext:
    """What all connections of a service share.

    Parameters
    ----------
    settings
        The bounds.
    counts
        Where what was refused is counted, and what is in flight is asked for.
    dispatcher
        What has requests answered.
    """

    def __init__(self, settings: Settings, counts: Counts, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.settings = settings
        self.timeouts = TimeoutMonitor(settings)
        self.default_headers = DefaultHeaders(encrypted=settings.ssl_certfile is not None)
        self.guard = Guard(settings)
        counts.in_flight = self.guard.in_flight
        self.start_queue = StartQueue()
        self.rejections = DelayedRejections()
        self._counts = counts
        self._quiet_until = 0.0
        self._log = structlog.get_logger("requests")

    def turn_away(self, scope: Scope, problem: Problem) -> None:
        """Count a request that is not let in, and log it; of what there is too much of, once in a while."""
        name_request(scope)
        self._counts.observe("none", "any", problem.status, 0)
        about = {"status": problem.status, "path": scope["path"], "reason": problem.detail}
        about |= trace_ids(scope)
        if problem.status not in (429, 503):
            self._log.info("refused", request_id=scope["request_id"], **about)
        elif time.monotonic() > self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            self._log.warning("there is too much to do, and requests are refused", **about)

    def refusal(self, problem: Problem) -> bytes:
        """Return the answer to what is no request, after which the connection ends; it is counted."""
        request_id = made_request_id()
        self._counts.observe("none", "any", problem.status, 0)
        self._log.info(
            "refused", request_id=request_id.decode(), status=problem.status, reason=problem.detail
        )
        headers, body = problem.answer({"path": "", "request_id": request_id.decode()})
        lines = [STATUS_LINES[problem.status], *(b"%b: %b\r\n" % header for header in headers)]
        return b"".join((*lines, b"connection: close\r\n", self.default_headers(), body))
