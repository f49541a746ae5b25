"""Inline: a request that is answered without a task, by who has its bytes or who learned from them."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from nonzero_service.http.accounting import GONE, Accounting, name_request
from nonzero_service.http.cycle import RequestCycle
from nonzero_service.incidental import incidentally


class InlineRequest:
    """A request whose body is whole, on its way to an answer without a task.

    It is answered once: by :meth:`answer`, by :meth:`fail` or by the task that :meth:`defer` begins. What is
    said after that is not sent.

    Parameters
    ----------
    cycle
        The request.
    accounting
        What it is counted by.
    run
        Has a task answer it.
    """

    __slots__ = ("_accounting", "_answered", "_cycle", "_run", "_started", "body", "scope")

    def __init__(
        self, cycle: RequestCycle, accounting: Accounting, run: Callable[[RequestCycle], object]
    ) -> None:
        self._cycle = cycle
        self._accounting = accounting
        self._run = run
        self._started = time.perf_counter()
        self._answered = False
        self.scope = cycle.scope
        self.body = cycle.body

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more: it was given, or the client has gone."""
        return self._answered or self._cycle.gone

    def wait(self) -> None:
        """Say that the answer comes later: before the request is handed to who will answer it."""
        self._cycle.on_leave = self._leave

    def answer(self, status: int, body: bytes) -> None:
        """Answer with JSON."""
        if not self.over:
            self._end(status, self._cycle.answer_json, status, body, name_request(self.scope))

    def fail(self, error: BaseException) -> None:
        """Answer with the problem that an error is; where it is to end the process, with none."""
        if not isinstance(error, Exception):
            self._end(0, self._cycle.cut)
            return
        if not self._answered:
            name_request(self.scope)
        problem = self._accounting.problem_of(self.scope, error)
        if not self.over:
            self._end(problem.status, self._cycle.answer_problem, problem)

    def defer(self) -> None:
        """Have a task answer after all."""
        if not self.over:
            self._end(0, self._run, self._cycle)

    def _end(self, status: int, send: Callable[..., object], *arguments: object) -> None:
        """Answer, and count that unless the status is 0; where it fails, end the connection."""
        self._answered = True
        self._cycle.on_leave = None  # they would hold each other
        try:
            send(*arguments)
        except Exception:  # noqa: BLE001 - those who are answered after it must be
            self._cycle.cut()
            log = structlog.get_logger("requests")
            incidentally(log.exception, "the service failed", path=self.scope["path"])
        else:
            if status:
                self._accounting.ended(self.scope, status, self._started)

    def _leave(self) -> None:
        """Count a request whose client has gone before its answer."""
        if not self._answered:
            name_request(self.scope)
            self._accounting.ended(self.scope, GONE, self._started)
