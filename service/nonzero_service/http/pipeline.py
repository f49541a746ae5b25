"""RequestPipeline: the requests of one connection, answered one after another as they came."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from uvicorn.server import ServerState

from nonzero_service.http.context import ServerContext
from nonzero_service.http.cycle import RequestCycle
from nonzero_service.problems import Problem


class RequestPipeline:
    """Has requests let in and answered, in order.

    Parameters
    ----------
    context
        What all connections share.
    server
        What uvicorn knows of the server: it waits for the tasks when it stops.
    loop
        The event loop.
    extra
        Whether the connection is one more than there may be.
    """

    def __init__(
        self, context: ServerContext, server: ServerState, loop: asyncio.AbstractEventLoop, *, extra: bool
    ) -> None:
        self._context = context
        self._server = server
        self._loop = loop
        self._extra = extra
        self._task: asyncio.Task[None] | None = None  # what answers the first
        self.running: RequestCycle | None = None
        """The request that is being answered."""
        self.waiting: deque[RequestCycle] = deque()
        """Requests that were sent ahead of the answers to earlier ones."""
        self.last: Problem | None = None
        """What is answered after all of these; then the connection ends."""

    def add(self, cycle: RequestCycle) -> bool:
        """Take one more request; return whether it has to wait for others."""
        if self.running is None:
            self._begin(cycle)
            return False
        self.waiting.append(cycle)
        return True

    def end_running(self) -> None:
        """Take it that the first request has been answered."""
        cycle, self.running = self.running, None
        if cycle is not None and cycle.admission is not None:
            cycle.admission.end()

    def begin_next(self) -> None:
        """Go on to the next request."""
        self._begin(self.waiting.popleft())

    def end_after_these(self) -> None:
        """Let no request follow those that are here."""
        cycle = self.waiting[-1] if self.waiting else self.running
        if cycle is not None:
            cycle.keep_alive = False

    def leave(self) -> None:
        """Take it that the client has gone: nobody reads the answers."""
        self.waiting.clear()
        cycle = self.running
        if cycle is None:
            return
        cycle.leave()
        if self._task is None:
            if cycle.admission is not None:
                cycle.admission.end()
        elif cycle.scope["target"].need.work in ("predict", "update"):  # nobody waits: it need not be done
            self._task.cancel()

    def _begin(self, cycle: RequestCycle) -> None:
        """Let a request in, and have it begin in its turn."""
        self.running = cycle
        self._task = None
        context = self._context
        need = cycle.scope["target"].need
        try:
            admission = context.guard.admit(cycle.scope, cycle.head, need, extra=self._extra)
        except Problem as problem:
            context.turn_away(cycle.scope, problem)
            if problem.status in (429, 503):
                context.rejections.add(cycle, problem, self._loop)
            else:
                cycle.answer_problem(problem)
            return
        cycle.admission = admission
        cycle.scope["hold"] = admission.hold
        if need.work == "operate":
            self._run(cycle)
        else:
            start = partial(self._start, cycle)
            context.start_queue.add(start, preferred=need.work == "predict", loop=self._loop)

    def _start(self, cycle: RequestCycle) -> None:
        if not cycle.gone:
            self._context.dispatcher.start(cycle, self._run)

    def _run(self, cycle: RequestCycle) -> None:
        """Have a task answer a request."""
        admission = cycle.admission
        assert admission is not None  # noqa: S101 - it was let in
        task = self._loop.create_task(cycle.run(self._context.dispatcher))
        self._task = task
        tasks = self._server.tasks
        tasks.add(task)

        def end(_: asyncio.Task[None]) -> None:
            admission.end()
            tasks.discard(task)

        task.add_done_callback(end)
