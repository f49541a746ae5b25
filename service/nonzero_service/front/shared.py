"""Front: what all connections of a service share."""

from __future__ import annotations

import structlog

from nonzero_service.front.answering import Lines
from nonzero_service.front.exchange import STATUS_LINES
from nonzero_service.front.limits import Limits
from nonzero_service.front.watch import Watch
from nonzero_service.metrics import Metrics
from nonzero_service.problems import Problem
from nonzero_service.requests import made_request_id
from nonzero_service.settings import Settings

__all__ = ["Front"]


class Front:
    """What all connections of a service share.

    Parameters
    ----------
    settings
        The bounds.
    metrics
        Where what was refused is counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.limits = Limits.of(settings)
        self.watch = Watch(self.limits)
        self.lines = Lines(encrypted=False)
        self._metrics = metrics
        self._log = structlog.get_logger("requests")

    def refusal(self, problem: Problem) -> bytes:
        """Return the answer to what is no request, after which the connection ends; it is counted."""
        request_id = made_request_id()
        self._metrics.observe("none", "any", problem.status, 0)
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
