"""Dispatch: the one way of a request to what answers it.

Its route is looked up once, when its head has come. What is whole and small enough is answered inline, by the
code that has its bytes; a task of the event loop would take as long as a prediction. All else is answered by
a task, with the same endpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero_service.http.accounting import Accounting
from nonzero_service.http.cycle import RequestCycle
from nonzero_service.http.head import Head
from nonzero_service.http.inline import InlineRequest
from nonzero_service.http.routing import Route, RouteTable, Target, model_of
from nonzero_service.metrics.counts import Counts


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


class Dispatcher:
    """An ASGI application that finds what answers a request.

    Parameters
    ----------
    table
        All routes of the service.
    endpoints
        What answers requests, by route.
    counts
        Where requests are counted.
    elsewhere
        What answers all else, and counts it; None: there is nothing else.
    knows
        Whether the endpoints are there for a model of that name; None: they are for all.
    """

    def __init__(
        self,
        table: RouteTable,
        endpoints: Mapping[Route, ASGIApp],
        counts: Counts,
        elsewhere: ASGIApp | None = None,
        knows: Callable[[str], bool] | None = None,
    ) -> None:
        self.table = table
        self._endpoints: dict[Route | None, ASGIApp] = dict(endpoints.items())
        self._inline: dict[Route | None, InlineEndpoint] = {
            route: endpoint for route, endpoint in endpoints.items() if isinstance(endpoint, InlineEndpoint)
        }
        self._elsewhere = elsewhere
        self._knows = knows
        self._accounting = Accounting(counts)
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
        endpoint = self._endpoints.get(scope["target"].route) if self._is_here(scope) else None
        if endpoint is None and self._elsewhere is not None:
            await self._elsewhere(scope, receive, send)
        else:
            await self._accounting.answer(endpoint or refuse, scope, receive, send)

    def start(self, cycle: RequestCycle, run: Callable[[RequestCycle], object]) -> None:
        """Answer a request that was let in, or have it answered.

        Parameters
        ----------
        cycle
            The request.
        run
            Has a task answer it, by calling this object.
        """
        endpoint = self._inline.get(cycle.scope["target"].route) if cycle.whole else None
        if endpoint is not None and self._is_here(cycle.scope):
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

    def _is_here(self, scope: Scope) -> bool:
        return self._knows is None or self._knows(model_of(scope))


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
