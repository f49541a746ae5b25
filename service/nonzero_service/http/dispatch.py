"""Dispatch: the one way of a request to what answers it.

Its route is looked up once, when its head has come. What is whole and small enough is answered inline, by the
code that has its bytes; a task of the event loop would take as long as a prediction. All else is answered by
a task, with the same endpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero_service.http.accounting import Accounting
from nonzero_service.http.cycle import RequestCycle
from nonzero_service.http.head import Head
from nonzero_service.http.inline import InlineRequest
from nonzero_service.http.min_sequence import MIN_SEQUENCE, ModelProgress, SequenceGate
from nonzero_service.http.routing import Route, RouteTable, Target
from nonzero_service.metrics.counts import Counts
from nonzero_service.problems import RETRY, Problem

PASSED_ON: Final = "passed_on"
"""In the scope of a request that another process or node has passed on: it is not passed on again."""

TOO_LATE: Final = "too_late"
"""In the scope of one that was passed on to a node when that wrote no longer."""

NOT_WRITING: Final = "this was passed on to a node that does not write just now; nothing was done, try again"


class InlineEndpoint(ABC):
    """An ASGI application that answers some requests without a task."""

    @abstractmethod
    def answer_inline(self, request: InlineRequest) -> bool:
        """Answer a request or take it on; return False, and have done nothing, where a task has to.

        What it raises is the answer.
        """

    @abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""


class Way(NamedTuple):
    """Where requests are answered, as long as nothing changes. Made by :func:`way_of`."""

    endpoints: Mapping[Route | None, ASGIApp]
    """What answers here, by route."""
    inline: Mapping[Route | None, InlineEndpoint]
    """Those of them that may answer without a task."""
    elsewhere: ASGIApp | None
    """What has all else answered, and counts it; None: there is nothing else."""
    is_here: Callable[[Scope], bool] | None
    """Whether the endpoint of a request's route can answer it; None: they answer everything."""


def way_of(
    endpoints: Mapping[Route, ASGIApp],
    elsewhere: ASGIApp | None = None,
    is_here: Callable[[Scope], bool] | None = None,
) -> Way:
    """Return where requests are answered: see :class:`Way`."""
    here: dict[Route | None, ASGIApp] = {}
    here |= endpoints.items()
    inline: dict[Route | None, InlineEndpoint] = {
        route: endpoint for route, endpoint in endpoints.items() if isinstance(endpoint, InlineEndpoint)
    }
    return Way(here, inline, elsewhere, is_here)


class Dispatcher:
    """An ASGI application that finds what answers a request.

    Parameters
    ----------
    table
        All routes of the service.
    way
        Where requests are answered.
    counts
        Where requests are counted.
    progress
        How far a model is, and how long a request waits until it is far enough.

    Attributes
    ----------
    way
        May be set to another at any time: each request goes the way that there is when it begins.
    """

    def __init__(
        self, table: RouteTable, way: Way, counts: Counts, progress: ModelProgress | None = None
    ) -> None:
        self.table = table
        self.way = way
        self._accounting = Accounting(counts)
        self._gate = None if progress is None else SequenceGate(progress)
        self.begun_inline = 0
        """Requests that an endpoint answered inline, or has taken on to do so."""
        self.begun_by_task = 0
        """Requests that a task was begun for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.begun_by_task += 1
        if "target" not in scope:  # it came by another way than our connections
            scope["head"] = Head(scope["headers"])
            scope["target"], scope["path_params"] = self.table.find(scope["method"], scope["path"])
        way = self.way
        endpoint = way.endpoints.get(scope["target"].route)
        if endpoint is not None and way.is_here is not None and not way.is_here(scope):
            endpoint = None
        if TOO_LATE in scope:
            endpoint = refuse_passed_on
        elif endpoint is not None:
            if self._gate is not None and scope["head"].get(MIN_SEQUENCE) is not None:
                endpoint = self._gate.before(endpoint)
        elif way.elsewhere is None:
            endpoint = refuse
        elif PASSED_ON in scope:
            endpoint = refuse_passed_on
        else:
            await way.elsewhere(scope, receive, send)
            return
        await self._accounting.answer(endpoint, scope, receive, send)

    def start(self, cycle: RequestCycle, run: Callable[[RequestCycle], object]) -> None:
        """Answer a request that was let in, or have it answered.

        Parameters
        ----------
        cycle
            The request.
        run
            Has a task answer it, by calling this object.
        """
        way = self.way
        endpoint = way.inline.get(cycle.scope["target"].route) if cycle.whole else None
        if (
            endpoint is not None
            and (way.is_here is None or way.is_here(cycle.scope))
            and cycle.head.get(MIN_SEQUENCE) is None
        ):
            request = InlineRequest(cycle, self._accounting, run)
            traced = self._accounting.begin(cycle.scope)
            try:
                begun = endpoint.answer_inline(request)
            except Exception as error:  # noqa: BLE001 - it is the answer
                request.fail(error)
                begun = True
            finally:
                self._accounting.pause(traced)
            if begun:
                self.begun_inline += 1
                return
        run(cycle)


async def refuse(scope: Scope, _receive: Receive, _send: Send) -> None:
    """Refuse what no route answers.

    Raises
    ------
    HTTPException
        404 or 405, as of the router that stands behind.
    """
    target: Target = scope["target"]
    if not target.methods:
        raise HTTPException(404)
    raise HTTPException(405, headers={"Allow": ", ".join(target.methods)})


async def refuse_passed_on(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Refuse what was passed on to a node that does not write, or no longer.

    Raises
    ------
    Problem
        503.
    """
    raise Problem(503, NOT_WRITING, headers=RETRY)
