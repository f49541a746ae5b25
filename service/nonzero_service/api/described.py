"""What FastAPI answers, and how every route of the table is described.

Only FastAPI and the description need this: no prediction does, and it takes a quarter of a start to import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from nonzero_service.api import challengers, history, models, operations, schemas, snapshots, sources, table
from nonzero_service.api.framework import FrameworkRoute, StrictRoute
from nonzero_service.api.openapi import (
    COLUMNS,
    KEY,
    MODEL,
    MODEL_ASKED,
    STRICT,
    UNSURE,
    answer,
    held,
    problems,
    reference,
    text,
)
from nonzero_service.api.request_bodies import (
    BINARY,
    INFERRED,
    INVOKED,
    LABELS,
    NEW_MODEL,
    ONE_EXAMPLE,
    PREDICTED,
    UPDATED,
    WHO_IS_PROMOTED,
)
from nonzero_service.http.routing import Route
from nonzero_service.media_types import JSON, NDJSON, SAFETENSORS
from nonzero_service.problems import form_of


class Operation(NamedTuple):
    """A route, what answers it, and how it is described."""

    route: Route
    endpoint: Callable[..., Any]
    """Of FastAPI; where a route is answered directly, one that only stands for it."""
    described: dict[str, Any]
    """What FastAPI is told of it."""


async def _answered_directly() -> None:
    """Stand for an endpoint that FastAPI only describes."""


def _direct(route: Route, body: dict[str, Any], *parameters: dict[str, Any], **described: Any) -> Operation:
    """Return an operation on examples that an ASGI application of ours answers."""
    described |= {
        "operation_id": route.path.rpartition("/")[2],
        "tags": ["examples"],
        "openapi_extra": {"requestBody": body, "parameters": [MODEL, *parameters]},
    }
    return Operation(route, _answered_directly, described)


def _model(route: Route, endpoint: Callable[..., Any], *statuses: int, **described: Any) -> Operation:
    """Return an operation on models that FastAPI answers, with these statuses of its problems."""
    described |= {
        "tags": ["models"],
        "route_class_override": StrictRoute,
        "responses": described.get("responses", {}) | problems(*statuses),
    }
    return Operation(route, endpoint, described)


def _probe(route: Route, endpoint: Callable[..., Any], **described: Any) -> Operation:
    """Return a GET of the service itself; probes and browsers add parameters: here they are passed over."""
    described |= {"tags": ["operations"], "route_class_override": FrameworkRoute}
    return Operation(route, endpoint, described)


def _protocol(route: Route, name: str, *statuses: int, **described: Any) -> Operation:
    """Return an operation of another protocol, which an ASGI application of ours answers."""
    path = route.path
    described |= {
        "name": name,
        "operation_id": name,
        "tags": ["Open Inference Protocol" if path.startswith("/v2") else "MLflow"],
        "route_class_override": FrameworkRoute,
        "responses": described.get("responses", {}) | problems(*statuses, form=form_of(path)),
    }
    if "{model}" in path:
        described.setdefault("openapi_extra", {}).setdefault("parameters", []).append(MODEL)
    return Operation(route, _answered_directly, described)


OPERATIONS: Final = (
    _direct(
        table.PREDICT,
        PREDICTED,
        UNSURE,
        *COLUMNS,
        summary="Predict clicks",
        description="The probability of each example in the body, in order. A streamed body is "
        "answered by exactly one line for each of its lines. Of candidates each is predicted, and kept "
        "where it has an `id`, as the example of the shared features and its own.",
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
    ),
    _direct(
        table.UPDATE,
        UPDATED,
        STRICT,
        *COLUMNS,
        KEY,
        summary="Learn from clicks",
        description="Learns from the examples in the body, in order, and answers when they are applied. "
        "A body of JSON or Arrow is learned from as a whole or not at all; of a stream, lines that cannot be "
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
        table.LABELS,
        LABELS,
        summary="Label predictions",
        description="Joins labels with predictions that were made with an `id`, and learns from them. A "
        "single label that changes nothing is answered with its status; of several it is named under "
        "`errors`, and where none was joined, now or before, the answer is 422.",
        responses=answer("What became of the labels.", {JSON: reference(schemas.LabelledWire)})
        | held(schemas.LabelledWire)
        | problems(400, 404, 409, 410, 413, 415, 422, 503, 507),
    ),
    _direct(
        table.EXPLAIN,
        ONE_EXAMPLE,
        summary="Explain a prediction",
        description="Each feature's share of the log-odds, its weight and learning rate, averaged over "
        "the lanes, and the verdict on its field; with `intercept` and `mixing` the shares add up to "
        "logit(probability).",
        responses=answer("The prediction, taken apart.", {JSON: reference(schemas.ExplanationWire)})
        | problems(400, 404, 413, 415, 422, 503),
    ),
    _protocol(
        table.INFER,
        "infer",
        *(400, 404, 413, 415, 503),
        summary="Predict by tensors",
        description="The probability of each example, whose fields are tensors. An input is a field: values "
        "mean what they mean in JSON, whatever the datatype.",
        openapi_extra={"requestBody": INFERRED},
        responses=answer("The probabilities.", {JSON: reference(schemas.InferAnswer)}),
    ),
    _protocol(
        table.INVOKE,
        "invocations",
        *(400, 404, 413, 415, 503),
        summary="Predict the rows of a table",
        openapi_extra={"requestBody": INVOKED, "parameters": [MODEL_ASKED, *COLUMNS]},
        responses=answer("The probabilities.", {JSON: reference(schemas.InvocationAnswer)}),
    ),
    _protocol(table.SERVER_METADATA, "server_metadata", response_model=schemas.ServerMetadataWire),
    _protocol(table.SERVER_LIVE, "server_live", response_model=schemas.ServerHealth),
    _protocol(table.SERVER_READY, "server_ready", 503, response_model=schemas.ServerHealth),
    _protocol(table.MODEL_METADATA, "model_metadata", 404, 503, response_model=schemas.ModelMetadataWire),
    _protocol(table.MODEL_READY, "model_ready", 404, 503, response_model=schemas.ModelReadyWire),
    *(
        _protocol(
            route,
            name,
            *statuses,
            response_class=PlainTextResponse,
            responses=answer(said, {"text/plain": text(said)}),
        )
        for route, name, said, statuses in (
            (table.PING, "ping", "A newline: the models are open.", (503,)),
            (table.HEALTH, "health", "A newline: the models are open.", (503,)),
            (table.VERSION, "version", "The version of this server.", ()),
        )
    ),
    _model(table.LIST_MODELS, models.list_models, 422, 503),
    _model(table.READ_MODEL, models.read_model, 404, 422, 503),
    _model(
        table.MAKE_MODEL,
        models.make_model,
        *(400, 409, 413, 415, 422, 503, 507),
        response_model=schemas.ModelState,
        responses={
            200: {"description": "There is such a model with these settings already."},
            201: {"description": "The model was made.", "model": schemas.ModelState},
        },
        openapi_extra={"requestBody": NEW_MODEL},
    ),
    _model(table.DELETE_MODEL, models.delete_model, 404, 409, 422, 503, 507, status_code=204),
    _model(table.READ_METRICS, models.read_metrics, 404, 422, 503),
    _model(
        table.READ_HISTORY,
        history.read_history,
        *(404, 422, 503),
        response_class=Response,
        responses=answer("What it was like.", {JSON: reference(schemas.HistoryWire)}),
    ),
    _model(table.READ_SOURCE, sources.read_source, 404, 409, 422, 503),
    _model(
        table.TAKE_SNAPSHOT,
        snapshots.take_snapshot,
        *(404, 422, 503, 507),
        status_code=201,
    ),
    _model(
        table.DOWNLOAD_SNAPSHOT,
        snapshots.download_snapshot,
        *(404, 422, 503),
        response_class=Response,
        responses=answer("The model, to be loaded or uploaded elsewhere.", {SAFETENSORS: BINARY}),
    ),
    _model(table.DIAGNOSE, models.diagnose, 404, 422, 503),
    _model(table.MEND, models.mend, 404, 409, 422, 503, 507),
    _probe(
        table.ALIVE,
        _answered_directly,
        name="alive",
        description="Say that the process is alive.",
        response_model=schemas.Health,
    ),
    _probe(
        table.READY,
        _answered_directly,
        name="ready",
        description="Say whether the service is ready: its models are open, and nothing is left to compile.",
        response_model=schemas.Health,
        responses=problems(503),
    ),
    _probe(
        table.LEADER,
        _answered_directly,
        name="leader",
        description="Say whether this node learns: 200 where it does, 503 where another node does, which the "
        "answer names, or none. A service with a journal of its own does, and has neither name nor term.",
        response_model=schemas.LeaderWire,
        responses=problems(503),
    ),
    _probe(
        table.METRICS,
        operations.metrics,
        response_class=PlainTextResponse,
        responses=answer("Metrics.", {"text/plain": text("Prometheus text.")}),
    ),
    _probe(table.DESCRIPTION, operations.description, include_in_schema=False),
    _probe(table.DOCS, operations.docs, include_in_schema=False),
    _probe(table.DOCS_ASSET, operations.docs_asset, include_in_schema=False),
    _probe(table.PAGE, _answered_directly, name="page", include_in_schema=False),
    _probe(table.PAGE_ASSET, _answered_directly, name="page_asset", include_in_schema=False),
    _model(table.RESUME, models.resume_learning, 404, 409, 422, 503, 507),
    _model(table.SET_CLOCK, models.set_clock, 404, 409, 422, 503, 507),
    _model(table.COMPARE, challengers.compare, 404, 409, 422, 503),
    _model(
        table.PROMOTE,
        challengers.promote,
        *(400, 404, 409, 413, 415, 422, 503, 507),
        openapi_extra={"requestBody": WHO_IS_PROMOTED},
    ),
)


def add_routes(router: APIRouter) -> None:
    """Give FastAPI all routes, to answer and to describe."""
    for route, endpoint, described in OPERATIONS:
        router.add_api_route(route.path, endpoint, methods=[route.method], **described)
