"""History: what a model was like by the second, minute, hour and day, and over its whole stream."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query, Response

from nonzero_service.api.framework import CurrentService, ModelName
from nonzero_service.history.rows import asked_of, described
from nonzero_service.media_types import JSON

TIME = "In milliseconds since 1970, or as in 2026-01-31T12:00:00Z."


async def read_history(
    model: ModelName,
    service: CurrentService,
    start: Annotated[str | None, Query(alias="from", description=TIME)] = None,
    to: Annotated[str | None, Query(description=TIME)] = None,
    step: Annotated[
        str | None,
        Query(
            description="second (the last 15 minutes), minute, hour, day, or examples (the whole stream, in"
            " at most 256 blocks); left out: the finest of which at most 1,500 rows cover what is asked for."
        ),
    ] = None,
) -> Response:
    """Read what the model was like, each example predicted before it was learned from, and what happened."""
    asked = asked_of(start, to, step)
    served = service.models.get(model)
    await served.history.capture()
    now_ms = served.attribution.now_ms

    def told() -> bytes:
        return msgspec.json.encode({"model": model, **described(served.history.history, asked, now_ms)})

    return Response(await service.bodies.aside(told), media_type=JSON)
