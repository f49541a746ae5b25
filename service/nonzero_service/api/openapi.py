"""OpenAPI: the parts of the description that are written by hand, because bodies and answers are streams."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from nonzero_service.api import schemas
from nonzero_service.http.routing import DEFAULT_MODEL, Need, Route, RouteTable
from nonzero_service.media_types import JSON, PROBLEM
from nonzero_service.models.data_directory import NAME
from nonzero_service.problems import ErrorForm, form_of

TEMPLATE: Final = "#/components/schemas/{model}"

REASONS: Final = {
    400: "The body cannot be read.",
    401: "There is no token, or one that is not known.",
    403: "The token is not for this; or a browser asks by a name, or for a page, that it may not.",
    404: "There is no such model, or no such prediction.",
    405: "The path takes another method.",
    408: "The body came too slowly.",
    409: "Not as things stand: the name is taken, the key is in flight, the label is known, nothing to mend.",
    410: "The label came too late.",
    413: "The body is too large.",
    415: "The body's type is not read.",
    422: "The content cannot be used.",
    429: "Too many requests of one client at once. See Retry-After.",
    503: "Not now: the service starts or stops, or has as much to learn as it may hold. See Retry-After.",
    507: "The disk is full, or the memory.",
}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Refer to a wire type."""
    return {"$ref": TEMPLATE.format(model=model.__name__)}


def text(description: str) -> dict[str, Any]:
    """Describe text: OpenAPI has no schema for a stream of lines."""
    return {"type": "string", "description": description}


def answer(description: str, content: dict[str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Describe the 200 of a route, by Content-Type."""
    return {200: {"description": description, "content": _content(content)}}


def held(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Describe the 202 of a route: what is answered while learning is paused."""
    content = _content({JSON: reference(model)})
    return {
        202: {"description": "Learning is paused: journalled, and held until it goes on.", "content": content}
    }


def problems(*statuses: int, form: ErrorForm = ErrorForm.PROBLEM) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route, in the form of its protocol."""
    match form:
        case ErrorForm.PROBLEM:
            problem = _content({PROBLEM: reference(schemas.ProblemWire)})
        case ErrorForm.OPEN_INFERENCE:
            problem = _content({JSON: reference(schemas.InferenceProblem)})
        case ErrorForm.MLFLOW:
            problem = _content({JSON: reference(schemas.InvocationProblem)})
    return {status: {"description": REASONS[status], "content": problem} for status in statuses}


def _content(schemas_by_type: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {media: {"schema": schema} for media, schema in schemas_by_type.items()}


def _flag(name: str, description: str) -> dict[str, Any]:
    """Describe a parameter of the query that is on or off."""
    schema = {"type": "boolean", "default": False}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


STRICT: Final = _flag("strict", "Stop a stream at its first bad line.")
UNSURE: Final = _flag("uncertainty", "Say of each prediction how far one more example could move it.")


def _of_table(name: str, description: str) -> dict[str, Any]:
    """Describe a parameter of the query that tells of the columns of a table."""
    described = f"Of a table (CSV, TSV, Arrow): {description}"
    schema = {"type": "string"}
    return {"name": name, "in": "query", "required": False, "description": described, "schema": schema}


COLUMNS: Final = (
    _of_table(
        "label",
        "the column that holds the label. Otherwise the one named label, click, clicked, target or y.",
    ),
    _of_table("weight", "the column that holds importance weights."),
    _of_table("id", "the column that holds ids."),
    _of_table(
        "time", "the column that holds times: milliseconds since 1970; in Arrow timestamps and dates too."
    ),
    _of_table("positive", "the label that means a click; any other means that there was none."),
    _of_table("time_format", "of text: how times are written, as ms, s, iso or a pattern of strptime."),
    _of_table("delimiter", "of CSV: the character between columns, or the word tab."),
    _of_table("columns", "of text without a header: the names of its columns, with commas between them."),
)

KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeat with the same key and body is learned from once, and answered as the first was.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

MIN_SEQUENCE: Final = {
    "name": "Nonzero-Min-Sequence",
    "in": "header",
    "required": False,
    "description": "Wait until the model has learned so many examples, as `sequence` of an answer says it; "
    "503 where it has not within `min_sequence_seconds`.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
}

MODEL_ASKED: Final = {
    "name": "model",
    "in": "query",
    "required": False,
    "description": "The model's name.",
    "schema": {"type": "string", "pattern": f"^{NAME}$", "default": DEFAULT_MODEL},
}

MODEL: Final = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model's name.",
    "schema": {"type": "string", "pattern": f"^{NAME}$"},
    "example": "default",
}


BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "One of those in the service's token file.",
}


def _guard(operation: dict[str, Any], need: Need, form: ErrorForm, *, guarded: bool) -> None:
    """Describe what is answered before a route hears of a request."""
    if need.scope is None:
        return
    statuses: list[int] = []
    if guarded:
        operation["security"] = [{"token": []}]
        statuses += [401, 403] if need.scope else [401]
    elif need.work != "operate":
        statuses.append(403)
    if need.work != "operate":
        statuses += [429, 503]
        statuses += [408] if "requestBody" in operation else []
    for status, described in problems(*statuses, form=form).items():
        operation["responses"].setdefault(str(status), described)


def _bodiless(operation: dict[str, Any]) -> dict[str, Any]:
    """Describe HEAD where GET is described: the same answers, without their bodies."""
    responses = {
        status: {name: value for name, value in described.items() if name != "content"}
        for status, described in operation["responses"].items()
    }
    return operation | {
        "operationId": f"{operation['operationId']}_head",
        "summary": f"{operation['summary']}: headers only",
        "responses": responses,
    }


def describe(
    app: FastAPI, table: RouteTable, readers: Collection[Route], *, guarded: bool
) -> Callable[[], dict[str, Any]]:
    """Return what makes the description of an application, once.

    Parameters
    ----------
    app
        The application, whose routes are those of the table.
    table
        What requests need.
    readers
        The routes that may wait for a model.
    guarded
        Whether the service asks for tokens.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            with warnings.catch_warnings():
                # The framework gives GET and HEAD of a route one id; HEAD is described below.
                warnings.filterwarnings("ignore", "Duplicate Operation ID")
                schema = get_openapi(
                    title=app.title, version=app.version, description=app.description, routes=app.routes
                )
            # Of most wire types only what is written by hand here knows, and the framework nothing.
            types = [one for one in vars(schemas).values() if isinstance(one, type)]
            _, definitions = models_json_schema(
                [(one, "validation") for one in types if issubclass(one, BaseModel)], ref_template=TEMPLATE
            )
            schema["components"]["schemas"] = definitions["$defs"] | schema["components"]["schemas"]
            if guarded:
                schema["components"]["securitySchemes"] = {"token": BEARER}
            for path, methods in schema["paths"].items():
                for method, operation in methods.items():
                    target, _ = table.find(method.upper(), path)
                    if target.route in readers:
                        operation.setdefault("parameters", []).append(MIN_SEQUENCE)
                    _guard(operation, target.need, form_of(path), guarded=guarded)
                # The framework has the methods of a route in a set: without order, whose start is another's.
                if methods.pop("head", None) is not None:
                    methods["head"] = _bodiless(methods["get"])
            # The types of the wire are called so where the domain has the plain name.
            app.openapi_schema = msgspec.json.decode(msgspec.json.encode(schema).replace(b'Wire"', b'"'))
        return app.openapi_schema

    return openapi
