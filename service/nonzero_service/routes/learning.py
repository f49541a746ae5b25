"""The routes that read examples: update, predict, explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero_service import schemas
from nonzero_service.counts import Counts
from nonzero_service.front.exchange import Exchange
from nonzero_service.headers import JSON, NDJSON
from nonzero_service.openapi import (
    EXAMPLES,
    KEY,
    LABELS,
    ONE_EXAMPLE,
    STRICT,
    UNCERTAINTY,
    PlainRoute,
    answer,
    held,
    problems,
    reference,
    text,
)
from nonzero_service.requests import Quick, Requests
from nonzero_service.routes.explanations import Explain
from nonzero_service.routes.labels import Label
from nonzero_service.routes.predictions import Predict
from nonzero_service.routes.updates import Update
from nonzero_service.service import Findable, Parts, Service

__all__ = ["Shortcut", "prediction_route", "routes"]

PREFIX: Final = "/v1/models/"
PATH: Final = f"{PREFIX}{{model}}"


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
        Those of :func:`routes`.
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


def prediction_route(service: Parts[Findable, Counts]) -> PlainRoute:
    """Return the hottest route, which a worker has too."""
    return PlainRoute(
        f"{PATH}/predict",
        Predict(service),
        summary="Predict clicks",
        description="The probability of each example in the body, in order. A streamed body is "
        "answered by exactly one line for each of its lines.",
        body=EXAMPLES,
        parameters=(UNCERTAINTY,),
        responses=answer(
            "The probabilities.",
            {
                JSON: reference(schemas.Predictions),
                NDJSON: text(
                    'A line for each line: {"probability", "id"}, with "uncertainty" on request; or '
                    '{"line", "reason"} in its place.'
                ),
            },
        )
        | problems(400, 404, 413, 415, 422, 503),
    )


def routes(service: Service) -> list[PlainRoute]:
    """Return the routes, the hottest first: the router tries them in turn."""
    return [
        prediction_route(service),
        PlainRoute(
            f"{PATH}/update",
            Update(service),
            summary="Learn from clicks",
            description="Learns from the examples in the body, in order, and answers when they are applied. "
            "A JSON body is learned from as a whole or not at all; of a stream, lines that cannot be "
            "read are named and passed over. With `Accept: application/x-ndjson` a stream is answered by "
            "a line after every commit.",
            body=EXAMPLES,
            parameters=(STRICT, KEY),
            responses=answer(
                "What was learned.",
                {
                    JSON: reference(schemas.Updated),
                    NDJSON: text(
                        'Progress lines {"accepted", "rejected", "sequence", "log_loss"}; the answer, or a '
                        "problem, is the last line. Without it, the outcome is not known."
                    ),
                },
            )
            | held(schemas.Updated)
            | problems(400, 404, 409, 413, 415, 422, 503, 507),
        ),
        PlainRoute(
            f"{PATH}/labels",
            Label(service),
            summary="Label predictions",
            description="Joins labels with predictions that were made with an `id`, and learns from them. A "
            "single label that changes nothing is answered with its status; of several it is named under "
            "`errors`.",
            body=LABELS,
            responses=answer("What became of the labels.", {JSON: reference(schemas.Labelled)})
            | held(schemas.Labelled)
            | problems(400, 404, 409, 410, 413, 415, 422, 503, 507),
        ),
        PlainRoute(
            f"{PATH}/explain",
            Explain(service),
            summary="Explain a prediction",
            description="Each feature's share of the log-odds, its weight and learning rate, averaged over "
            "the lanes, and the verdict on its field; with `intercept` and `mixing` the shares add up to "
            "logit(probability).",
            body=ONE_EXAMPLE,
            responses=answer("The prediction, taken apart.", {JSON: reference(schemas.Explanation)})
            | problems(400, 404, 413, 415, 422, 503),
        ),
    ]
