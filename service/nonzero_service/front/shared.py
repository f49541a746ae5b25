"""Front: what all connections of a service share."""

from __future__ import annotations

import time
from typing import Final

import structlog
from starlette.types import Scope

from nonzero_service.front.answering import Lines
from nonzero_service.front.exchange import STATUS_LINES
from nonzero_service.front.guard import Guard
from nonzero_service.front.limits import Limits
from nonzero_service.front.refusing import Refusals
from nonzero_service.front.turns import Turns
from nonzero_service.front.watch import Watch
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import Problem
from nonzero_service.requests import AtOnce, made_request_id, request_id_of
from nonzero_service.settings import Settings

__all__ = ["Front"]

QUIET_SECONDS: Final = 60.0
"""How long nothing more is logged of requests that are refused because there is too much to do."""


class Front:
    """What all connections of a service share.

    Parameters
    ----------
    settings
        The bounds.
    counts
        Where what was refused is counted.
    at_once
        Answers a request that is whole without a task, or takes it on; False where the application has to.
    """

    def __init__(self, settings: Settings, counts: Counts, at_once: AtOnce) -> None:
        self.at_once = at_once
        self.limits = Limits.of(settings)
        self.watch = Watch(self.limits)
        self.lines = Lines(encrypted=settings.ssl_certfile is not None)
        self.guard = Guard(settings)
        self.turns = Turns()
        self.refusals = Refusals()
        self._counts = counts
        self._quiet_until = 0.0
        self._log = structlog.get_logger("requests")

    def turn_away(self, scope: Scope, problem: Problem) -> None:
        """Count a request that is not let in, and log it; of what there is too much of, once in a while."""
        scope["request_id"] = request_id_of(scope).decode("ascii")
        self._counts.observe("none", "any", problem.status, 0)
        about = {"status": problem.status, "path": scope["path"], "reason": problem.detail}
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
        body = problem.body({"path": "", "request_id": request_id.decode()})
        return (
            b"%bcontent-type: application/problem+json\r\ncontent-length: %d\r\n%bx-request-id: %b\r\n%b%b"
            % (
                STATUS_LINES[problem.status],
                len(body),
                b"connection: close\r\n",
                request_id,
                self.lines(),
                body,
            )
        )
