"""What is wrong: with a line, a label, a request."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nonzero_service.api.schemas.wire import LeaderWire, Wire


class LineFault(Wire):
    """A line (of a JSON body: an example) that cannot be used."""

    line: int = Field(ge=1, description="Its number, counted from 1.")
    reason: str


class LabelFault(LineFault):
    """A label that changed nothing, and the status that it would be answered with alone."""

    status: Literal[404, 409, 410, 422]


class ProblemWire(BaseModel):
    """Any error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[LabelFault | LineFault] | None = None
    accepted: int | None = Field(
        None, description="Of a stream that broke off, or came to nothing: examples learned from before."
    )
    rejected: int | None = None
    sequence: int | None = None
    leader: LeaderWire | None = Field(None, description="Of `GET /leader`: the node that writes.")
