"""What a model was like, and what happened to it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nonzero_service.api.schemas.wire import Wire

Step = Literal["second", "minute", "hour", "day", "examples"]


class HistoryRow(Wire):
    """A part of the stream. Null: not defined."""

    time: int = Field(description="When it begins, in milliseconds since 1970.")
    end: int
    examples: int = Field(ge=1)
    weight: float = Field(ge=0)
    clicks: float = Field(ge=0, description="The importance weight of the clicks.")
    predicted: float = Field(ge=0, description="The clicks that were predicted just before, weighted too.")
    click_rate: float | None
    predicted_rate: float | None
    log_loss: float | None = Field(description="In nats an example.")
    base_log_loss: float | None = Field(description="Of whoever always says the click rate of this row.")
    normalized_entropy: float | None
    calibration: float | None
    shares: list[float] | None = Field(description="The mixture's at the end; null for a single lane.")
    sequence: int = Field(ge=0, description="The model's at the end.")


class HistoryEvent(Wire):
    """Something that happened to the model."""

    time: int
    sequence: int = Field(ge=0)
    kind: str
    text: str = Field(description="A sentence for people.")


class HistoryWire(Wire):
    """What a model was like, in the order of its stream, and what happened to it."""

    model: str
    step: Step
    from_: int = Field(alias="from")
    to: int
    rows: list[HistoryRow]
    events: list[HistoryEvent]
