"""Predictions, and what made them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nonzero_service.api.schemas.wire import Verdict, Wire


class Prediction(BaseModel):
    """A click's probability."""

    probability: float = Field(ge=0, le=1)
    uncertainty: float | None = Field(
        default=None, ge=0, description="How far one more example could move it, in log-odds; on request."
    )
    id: str | None = None
    kept: Literal[False] | None = Field(
        default=None,
        description="false beside an id that came with a token without the scope impress: no label will find "
        "this prediction. Else it is left out.",
    )


class Predictions(Wire):
    """The probability of each example, in order."""

    model: str
    predictions: list[Prediction]
    sequence: int = Field(ge=0)


class Contribution(Wire):
    """One feature's share of the log-odds."""

    feature: str = Field(description="Its name; a slot that was given directly, its number.")
    field: str | None = Field(description="The group that it came from; null for a slot given directly.")
    value: float = Field(description="As it was given; the model may take it in units of its field.")
    weight: float = Field(description="The lanes' weights, averaged by the mixture.")
    contribution: float = Field(description="The weight times the value as the model takes it.")
    learning_rate: float = Field(description="How far a gradient of 1 would move the weight now.")
    verdict: Verdict = Field(description="What the diagnosis says of the field.")


class ExplanationWire(Wire):
    """contributions + intercept + mixing = log_odds = logit(probability)."""

    model: str
    probability: float = Field(ge=0, le=1)
    log_odds: float
    intercept: float
    mixing: float = Field(
        description="The rest: a mixture of probabilities is no linear function of the features."
    )
    contributions: list[Contribution]
    sequence: int = Field(ge=0)
