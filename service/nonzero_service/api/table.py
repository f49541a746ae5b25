"""The table of all routes: what each needs of a request, and which bodies it reads.

:mod:`nonzero_service.api.described` says what FastAPI answers, and how all of them are described.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Scope

from nonzero_service.api.explanations import Explain
from nonzero_service.api.labels import Join
from nonzero_service.api.leader import LeaderProbe
from nonzero_service.api.mlflow import Invoke
from nonzero_service.api.open_inference import Infer, ModelMetadata, ModelReady
from nonzero_service.api.page import Page
from nonzero_service.api.predictions import Predict
from nonzero_service.api.probes import (
    AliveProbe,
    PingProbe,
    ReadyProbe,
    ServerLive,
    ServerMetadata,
    ServerReady,
    ServerVersion,
)
from nonzero_service.api.updates import Update
from nonzero_service.http.routing import Need, Route, RouteTable
from nonzero_service.media_types import ARROW, CSV, JSON, NDJSON, SAFETENSORS, STREAMS

_EXAMPLES: Final = tuple(dict.fromkeys((JSON, NDJSON, *STREAMS, ARROW)))
_MODELS: Final = "/v1/models"
_MODEL: Final = "/v1/models/{model}"

PREDICT: Final = Route("POST", f"{_MODEL}/predict", Need.PREDICT, _EXAMPLES)
UPDATE: Final = Route("POST", f"{_MODEL}/update", Need.UPDATE, _EXAMPLES)
LABELS: Final = Route("POST", f"{_MODEL}/labels", Need.UPDATE, (JSON, NDJSON))
EXPLAIN: Final = Route("POST", f"{_MODEL}/explain", Need.PREDICT, (JSON,))
LIST_MODELS: Final = Route("GET", _MODELS, Need.READ)
READ_MODEL: Final = Route("GET", _MODEL, Need.READ)
MAKE_MODEL: Final = Route("PUT", _MODEL, Need.MANAGE, (JSON, SAFETENSORS))
DELETE_MODEL: Final = Route("DELETE", _MODEL, Need.MANAGE)
READ_METRICS: Final = Route("GET", f"{_MODEL}/metrics", Need.READ)
READ_HISTORY: Final = Route("GET", f"{_MODEL}/history", Need.READ)
READ_SOURCE: Final = Route("GET", f"{_MODEL}/source", Need.READ)
TAKE_SNAPSHOT: Final = Route("POST", f"{_MODEL}/snapshots", Need.MANAGE)
# The whole model is more than to predict by it.
DOWNLOAD_SNAPSHOT: Final = Route("GET", f"{_MODEL}/snapshots/latest", Need.MANAGE)
DIAGNOSE: Final = Route("GET", f"{_MODEL}/diagnosis", Need.READ)
MEND: Final = Route("POST", f"{_MODEL}/remedy", Need.MANAGE)
RESUME: Final = Route("POST", f"{_MODEL}/resume", Need.MANAGE)
SET_CLOCK: Final = Route("POST", f"{_MODEL}/clock", Need.MANAGE)
COMPARE: Final = Route("GET", f"{_MODEL}/comparison", Need.READ)
PROMOTE: Final = Route("POST", f"{_MODEL}/promote", Need.MANAGE, (JSON,))
ALIVE: Final = Route("GET", "/healthz", Need.NOTHING)
READY: Final = Route("GET", "/readyz", Need.NOTHING)
LEADER: Final = Route("GET", "/leader", Need.NOTHING)
METRICS: Final = Route("GET", "/metrics", Need.METRICS)
DESCRIPTION: Final = Route("GET", "/openapi.json", Need.NOTHING)
DOCS: Final = Route("GET", "/docs", Need.NOTHING)
DOCS_ASSET: Final = Route("GET", "/docs/{asset}", Need.NOTHING)
PAGE: Final = Route("GET", "/", Need.NOTHING)
PAGE_ASSET: Final = Route("GET", "/page/{asset}", Need.NOTHING)

# The Open Inference Protocol (version 2), and MLflow's scoring protocol.
INFER: Final = Route("POST", "/v2/models/{model}/infer", Need.PREDICT, (JSON,))
SERVER_METADATA: Final = Route("GET", "/v2", Need.NOTHING)
SERVER_LIVE: Final = Route("GET", "/v2/health/live", Need.NOTHING)
SERVER_READY: Final = Route("GET", "/v2/health/ready", Need.NOTHING)
MODEL_METADATA: Final = Route("GET", "/v2/models/{model}", Need.READ)
# A probe, which is answered whatever there is to do; but names of models are not for everybody.
MODEL_READY: Final = Route("GET", "/v2/models/{model}/ready", Need.METRICS)
INVOKE: Final = Route("POST", "/invocations", Need.PREDICT, (JSON, CSV))
PING: Final = Route("GET", "/ping", Need.NOTHING)
HEALTH: Final = Route("GET", "/health", Need.NOTHING)
VERSION: Final = Route("GET", "/version", Need.NOTHING)

DIRECT: Final[Mapping[Route, Callable[[Any], ASGIApp]]] = {
    PREDICT: Predict,
    UPDATE: Update,
    LABELS: Join,
    EXPLAIN: Explain,
    ALIVE: AliveProbe,
    READY: ReadyProbe,
    LEADER: LeaderProbe,
    INFER: Infer,
    SERVER_METADATA: ServerMetadata,
    SERVER_LIVE: ServerLive,
    SERVER_READY: ServerReady,
    MODEL_METADATA: ModelMetadata,
    MODEL_READY: ModelReady,
    INVOKE: Invoke,
    PING: PingProbe,
    HEALTH: PingProbe,
    VERSION: ServerVersion,
    PAGE: Page,
    PAGE_ASSET: Page,
}
"""Routes that ASGI applications of ours answer, and what makes these, given the service's parts."""

BY_WORKERS: Final = (PREDICT, INFER, INVOKE)
"""Those that a worker answers, from the models that it has mapped."""

READERS: Final[frozenset[Route]] = frozenset(
    (PREDICT, EXPLAIN, INFER, INVOKE, READ_MODEL, READ_METRICS, READ_HISTORY, DIAGNOSE)
)
"""Those that wait for a model, where ``Nonzero-Min-Sequence`` asks for it."""

FRAMEWORK: Final = (
    *(LIST_MODELS, READ_MODEL, MAKE_MODEL, DELETE_MODEL, READ_METRICS, TAKE_SNAPSHOT, DOWNLOAD_SNAPSHOT),
    *(READ_HISTORY, READ_SOURCE, DIAGNOSE, MEND, RESUME, SET_CLOCK, COMPARE, PROMOTE),
    *(METRICS, DESCRIPTION, DOCS, DOCS_ASSET),
)
"""Routes that FastAPI answers."""

BY_FOLLOWERS: Final = (
    *(EXPLAIN, READ_MODEL, READ_METRICS, READ_HISTORY, DIAGNOSE, MODEL_METADATA, MODEL_READY),
    *(LIST_MODELS, ALIVE, READY, LEADER, METRICS, DESCRIPTION, DOCS, DOCS_ASSET, PAGE, PAGE_ASSET),
    *(SERVER_METADATA, SERVER_LIVE, SERVER_READY, PING, HEALTH, VERSION),
)
"""Those that a node which follows answers beside :data:`BY_WORKERS`. Of a model only one that it has."""


def is_of_model(scope: Scope) -> bool:
    """Return whether a request's route is of one model."""
    return "model" in scope["path_params"] or scope["target"].route is INVOKE


TABLE: Final = RouteTable((*DIRECT, *FRAMEWORK))
