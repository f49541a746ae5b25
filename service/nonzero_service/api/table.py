"""The table of all routes: what each needs, what its body may be, what answers it, how it is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from nonzero_service.api import models, operations, schemas, snapshots
from nonzero_service.api.explanations import Explain
from nonzero_service.api.framework import FrameworkRoute, StrictRoute
from nonzero_service.api.labels import Join
from nonzero_service.api.openapi import (
    KEY,
    MODEL,
    STRICT,
    UNCERTAINTY,
    answer,
    held,
    problems,
    reference,
    text,
)
from nonzero_service.api.predictions import Predict
from nonzero_service.api.request_bodies import BINARY, LABELS, NEW_MODEL, ONE_EXAMPLE, PREDICTED, UPDATED
from nonzero_service.api.updates import Update
from nonzero_service.http.routing import (
    ANY,
    MANAGING,
    METRICS,
    NOBODY,
    PREDICTING,
    UPDATING,
    Need,
    Route,
    RouteTable,
)
from nonzero_service.media_types import JSON, NDJSON, SAFETENSORS

__all__ = ["OPERATIONS", "PREDICTION", "TABLE", "Operation", "add_routes"]


class Operation(NamedTuple):
    """A route, what answers it, and how it is described."""

    route: Route
    endpoint: Callable[..., Any]
    """Of FastAPI; or, where it is direct, what makes an ASGI application, given the service's parts."""
    described: dict[str, Any]
    """What FastAPI is told of it."""
    direct: bool = False
    """Whether FastAPI only describes it."""


def _direct(
    path: str,
    need: Need,
    endpoint: Callable[..., Any],
    body: dict[str, Any],
    *parameters: dict[str, Any],
    **described: Any,
) -> Operation:
    """Return a POST that an ASGI application of ours answers."""
    described |= {
        "operation_id": path.rpartition("/")[2],
        "tags": ["examples"],
        "openapi_extra": {"requestBody": body, "parameters": [MODEL, *parameters]},
    }
    return Operation(Route("POST", path, need, tuple(body["content"])), endpoint, described, direct=True)


def _model(method: str, path: str, need: Need, endpoint: Callable[..., Any], **described: Any) -> Operation:
    """Return an operation on models that FastAPI answers."""
    body = described.get("openapi_extra", {}).get("requestBody", {"content": ()})
    route = Route(method, f"/v1/models{path}", need, tuple(body["content"]))
    return Operation(route, endpoint, {"tags": ["models"], "route_class_override": StrictRoute} | described)


def _probe(path: str, need: Need, endpoint: Callable[..., Any], **described: Any) -> Operation:
    """Return a GET of the service itself; probes and browsers add parameters: here they are passed over."""
    described |= {"tags": ["operations"], "route_class_override": FrameworkRoute}
    return Operation(Route("GET", path, need), endpoint, described)


PREDICTION: Final = _direct(
    "/v1/models/{model}/predict",
    PREDICTING,
    Predict,
    PREDICTED,
    UNCERTAINTY,
    summary="Predict clicks",
    description="The probability of each example in the body, in order. A streamed body is "
    "answered by exactly one line for each of its lines.",
    responses=answer(
        "The probabilities.",
        {
            JSON: reference(schemas.Predictions),
            NDJSON: text(
                'A line for each line: {"probability", "id"}, with "uncertainty" on request, and "kept": '
                'false where the token has not the scope impress; or {"line", "reason"} in its place.'
            ),
        },
    )
    | problems(400, 404, 413, 415, 422, 503),
)
"""The hottest route, which a worker has too."""

OPERATIONS: Final[tuple[Operation, ...]] = (
    PREDICTION,
    _direct(
        "/v1/models/{model}/update",
        UPDATING,
        Update,
        UPDATED,
        STRICT,
        KEY,
        summary="Learn from clicks",
        description="Learns from the examples in the body, in order, and answers when they are applied. "
        "A JSON body is learned from as a whole or not at all; of a stream, lines that cannot be "
        "read are named and passed over; where no other is left, the answer is 422. "
        "With `Accept: application/x-ndjson` a stream is answered by "
        "a line after every commit.",
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
    _direct(
        "/v1/models/{model}/labels",
        UPDATING,
        Join,
        LABELS,
        summary="Label predictions",
        description="Joins labels with predictions that were made with an `id`, and learns from them. A "
        "single label that changes nothing is answered with its status; of several it is named under "
        "`errors`, and where none was joined, now or before, the answer is 422.",
        responses=answer("What became of the labels.", {JSON: reference(schemas.Labelled)})
        | held(schemas.Labelled)
        | problems(400, 404, 409, 410, 413, 415, 422, 503, 507),
    ),
    _direct(
        "/v1/models/{model}/explain",
        PREDICTING,
        Explain,
        ONE_EXAMPLE,
        summary="Explain a prediction",
        description="Each feature's share of the log-odds, its weight and learning rate, averaged over "
        "the lanes, and the verdict on its field; with `intercept` and `mixing` the shares add up to "
        "logit(probability).",
        responses=answer("The prediction, taken apart.", {JSON: reference(schemas.Explanation)})
        | problems(400, 404, 413, 415, 422, 503),
    ),
    _model("GET", "", ANY, models.list_models, responses=problems(422, 503)),
    _model("GET", "/{model}", ANY, models.read_model, responses=problems(404, 422, 503)),
    _model(
        "PUT",
        "/{model}",
        MANAGING,
        models.make_model,
        response_model=schemas.ModelState,
        responses={
            200: {"description": "There is such a model with these settings already."},
            201: {"description": "The model was made.", "model": schemas.ModelState},
            **problems(400, 409, 413, 415, 422, 503, 507),
        },
        openapi_extra={"requestBody": NEW_MODEL},
    ),
    _model(
        "DELETE",
        "/{model}",
        MANAGING,
        models.delete_model,
        status_code=204,
        responses=problems(404, 409, 422, 503, 507),
    ),
    _model("GET", "/{model}/metrics", ANY, models.read_metrics, responses=problems(404, 422, 503)),
    _model(
        "POST",
        "/{model}/snapshots",
        MANAGING,
        snapshots.take_snapshot,
        status_code=201,
        responses=problems(404, 422, 503, 507),
    ),
    _model(
        "GET",
        "/{model}/snapshots/latest",
        MANAGING,  # the whole model is more than to predict by it
        snapshots.download_snapshot,
        response_class=Response,
        responses=answer("The model, to be loaded or uploaded elsewhere.", {SAFETENSORS: BINARY})
        | problems(404, 422, 503),
    ),
    _model("GET", "/{model}/diagnosis", ANY, models.diagnose, responses=problems(404, 422, 503)),
    _model("POST", "/{model}/remedy", MANAGING, models.mend, responses=problems(404, 409, 422, 503, 507)),
    _probe("/healthz", NOBODY, operations.alive),
    _probe("/readyz", NOBODY, operations.ready, responses=problems(503)),
    _probe(
        "/metrics",
        METRICS,
        operations.metrics,
        response_class=PlainTextResponse,
        responses=answer("Metrics.", {"text/plain": text("Prometheus text.")}),
    ),
    _probe("/openapi.json", NOBODY, operations.description, include_in_schema=False),
    _probe("/docs", NOBODY, operations.docs, include_in_schema=False),
    _probe("/docs/{asset}", NOBODY, operations.docs_asset, include_in_schema=False),
    _model(
        "POST",
        "/{model}/resume",
        MANAGING,
        models.resume_learning,
        responses=problems(404, 409, 422, 503, 507),
    ),
    _model("POST", "/{model}/clock", MANAGING, models.set_clock, responses=problems(404, 409, 422, 503, 507)),
)

TABLE: Final = RouteTable(operation.route for operation in OPERATIONS)


def add_routes(router: APIRouter) -> None:
    """Give FastAPI all routes, to answer and to describe."""
    for route, endpoint, described, direct in OPERATIONS:
        router.add_api_route(
            route.path, _described if direct else endpoint, methods=[route.method], **described
        )


async def _described() -> None:
    """Stand for an endpoint that FastAPI only describes."""
