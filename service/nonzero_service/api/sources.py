"""The source of a model: what is read of topics, and how far."""

from __future__ import annotations

from fastapi import Request

from nonzero_service.api import schemas
from nonzero_service.api.framework import CurrentService, ModelName
from nonzero_service.http.guard import MAY_NOT_SEE_MESSAGES
from nonzero_service.problems import Problem
from nonzero_service.streams.source_status import source_status
from nonzero_service.streams.task import TopicSource


async def read_source(model: ModelName, request: Request, service: CurrentService) -> schemas.SourceWire:
    """Read what a model learns from beside requests, how far it is, and what was refused."""
    feed = service.models.get(model).feed
    if not isinstance(feed, TopicSource):
        raise Problem(
            404,
            f"{model!r} has no source; nonzero serve --source 'kafka://BROKERS/TOPIC?model={model}' gives it "
            "one",
        )
    told = source_status(feed)
    if MAY_NOT_SEE_MESSAGES in request.scope:
        told["refusals"] = None
    return schemas.SourceWire(model=model, **told)
