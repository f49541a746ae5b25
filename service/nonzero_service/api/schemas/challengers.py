"""Challengers beside their champion."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from nonzero_service.api.schemas.models import ModelName
from nonzero_service.api.schemas.wire import Wire

ChallengerVerdict = Literal["better", "worse", "undecided"]


class SinceWire(Wire):
    """Where a comparison began."""

    position: int = Field(ge=0, description="The last row of the journal that is not compared.")
    sequence: int = Field(ge=0, description="The examples up to there.")
    time: int = Field(description="By the journal's clock, in milliseconds since 1970.")


class Both(Wire):
    """A figure of both. Null: not defined yet."""

    model: float | None
    with_: float | None = Field(alias="with")


class Difference(Wire):
    """The challenger's mean log loss less its champion's, in nats an example: below 0 it is better."""

    mean: float | None = Field(description="Null before there was anything to compare.")
    low: float | None = Field(description="The interval holds whenever it is looked at. Null: not known yet.")
    high: float | None


class SliceCompared(Wire):
    """The same of the examples of one value of a field."""

    value: str | None = Field(
        description="# and an index where no request has shown it; null for all values without a slice."
    )
    examples: int = Field(ge=0)
    log_loss: Both
    difference: Difference
    verdict: ChallengerVerdict


class Compared(Wire):
    """A challenger beside its champion: both predict each example just before they learn from it."""

    model: str
    with_: str = Field(alias="with")
    since: SinceWire | None = Field(description="Null while it reads what the journal held before.")
    examples: int = Field(ge=0)
    weight: float = Field(ge=0)
    confidence: float
    log_loss: Both
    calibration: Both
    difference: Difference
    verdict: ChallengerVerdict = Field(description="What the challenger is.")
    reason: str
    slices: dict[str, list[SliceCompared]] = Field(
        description="By field, as the setting `slices` names them."
    )


class WhoIsPromoted(Wire):
    """Who is promoted."""

    with_: ModelName = Field(alias="with", description="The challenger's name.")


class PromotedWire(Wire):
    """What came of a promotion."""

    model: str
    promoted: str = Field(description="The name that the challenger had; there is no such model any more.")
    position: int = Field(ge=1, description="Of the row of the journal from which on it goes on.")
    sequence: int = Field(ge=0, description="Examples applied up to there.")
    settings: dict[str, Any]
