"""The short way to the routes that read examples and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero_service.front.exchange import Exchange
from nonzero_service.metrics.counts import Counts
from nonzero_service.openapi import PlainRoute
from nonzero_service.requests import Quick, Requests

__all__ = ["PREFIX", "Shortcut"]

PREFIX: Final = "/v1/models/"


class _Hot(NamedTuple):
    """A route that is found at once."""

    route: PlainRoute
    requests: Requests
    """What answers by it."""
    at_once: Callable[[Quick], bool] | None
    """What answers by it without a task, what it can."""


class Shortcut:
    """ASGI middleware that finds these routes by one look into a dict.

    The framework finds them too, behind its own layers and a regular expression each: that takes longer than
    a prediction.

    Parameters
    ----------
    app
        What answers everything else.
    routes
        Those of :func:`nonzero_service.routes.learning.routes`.
    counts
        Where requests are counted.
    knows
        Whether they are there for a model of that name; what they are not there for `app` answers.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: list[PlainRoute],
        counts: Counts,
        knows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.app = app
        self._knows = knows
        self._routes = {
            route.path.rpartition("/")[2]: _Hot(
                route, Requests(route.app, counts), getattr(route.app, "at_once", None)
            )
            for route in routes
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self._find(scope) if scope["type"] == "http" else None
        await (self.app if found is None else found.requests)(scope, receive, send)

    def at_once(self, exchange: Exchange) -> bool:
        """Answer a request whose body is whole without a task, where its route does."""
        found = self._find(exchange.scope)
        if found is None or found.at_once is None:
            return False
        return found.requests.at_once(exchange, found.at_once)

    def _find(self, scope: Scope) -> _Hot | None:
        """Find the route of a request, and note it in its scope."""
        if scope["method"] != "POST":
            return None
        head, _, action = scope["path"].rpartition("/")
        found = self._routes.get(action)
        name = head.removeprefix(PREFIX)
        if found is None or not name or name == head or "/" in name or not self._knows(name):
            return None
        scope["route"] = found.route
        scope["path_params"] = {"model": name}
        return found
