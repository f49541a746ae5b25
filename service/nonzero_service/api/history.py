"""History: what a model was like by the second, minute, hour and day, and over its whole stream."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import Query, Response
from pydantic import WithJsonSchema

from nonzero_service.api.framework import CurrentService, ModelName
from nonzero_service.history.rows import NAMES, Asked, described
from nonzero_service.media_types import JSON
from nonzero_service.problems import Problem

TIMES: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
        {"type": "string", "format": "date-time"},
    ]
}
TIME: Final = "In milliseconds since 1970, or as in 2026-01-31T12:00:00Z."


async def read_history(
    model: ModelName,
    service: CurrentService,
    start: Annotated[str | None, WithJsonSchema(TIMES), Query(alias="from", description=TIME)] = None,
    to: Annotated[str | None, WithJsonSchema(TIMES), Query(description=TIME)] = None,
    step: Annotated[
        str | None,
        WithJsonSchema({"enum": list(NAMES)}),
        Query(
            description="second (the last 15 minutes), minute, hour, day, or examples (the whole stream, in"
            " at most 256 blocks); left out: the finest of which at most 1,500 rows cover what is asked for."
        ),
    ] = None,
) -> Response:
    """Read what the model was like, each example predicted before it was learned from, and what happened."""
    asked = _asked(start, to, step)
    served = service.models.get_readable(model)
    await served.history.capture()
    now_ms = served.parts.journal.clock.now_ms()

    def told() -> bytes:
        return msgspec.json.encode({"model": model, **described(served.history.history, asked, now_ms)})

    return Response(await service.bodies.aside(told), media_type=JSON)


def _asked(start: str | None, end: str | None, step: str | None) -> Asked:
    """Read which part of a history is asked for: times beside the step ``examples`` are refused."""
    if step is not None and step not in NAMES:
        raise Problem(422, f"step is one of {', '.join(NAMES)}, not {step[:64]!r}")
    asked = Asked(_time_of("from", start), _time_of("to", end), step)
    if step == "examples" and (start is not None or end is not None):
        raise Problem(422, "the step examples is of the whole stream: leave from and to out")
    if asked.start is not None and asked.end is not None and asked.start >= asked.end:
        raise Problem(422, f"from is {start} and to is {end}: from must be before to")
    return asked


def _time_of(name: str, said: str | None) -> int | None:
    """Read a time, in milliseconds since 1970 or as RFC 3339 has it."""
    if said is None:
        return None
    if said.isascii() and said.isdigit() and len(said) <= 15:
        return int(said)
    try:
        read = datetime.fromisoformat(said.replace(" ", "+"))  # a query's + may come as a space
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise Problem(
            422,
            f"{name} is a time in milliseconds since 1970, or as in 2026-01-31T12:00:00Z, with a time zone; "
            f"not {said[:64]!r}",
        )
    return round(read.timestamp() * 1000)
