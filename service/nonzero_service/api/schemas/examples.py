"""What is learned from and predicted: examples and labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nonzero.batches.limits import MAX_ID, MAX_INDEX, MAX_TIME, MAX_VALUE, MAX_WEIGHT
from nonzero_service.api.schemas.wire import Wire

FeatureValue = Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)] | bool | str | list[str] | None
Click = Literal[0, 1, -1] | bool


class SharedWire(Wire):
    """Features by name, or slots given directly: what an example has, and what candidates may share."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["features"]}, {"required": ["indices"]}],
            "dependentRequired": {"values": ["indices"]},
        }
    )

    features: dict[str, FeatureValue] = Field(
        default_factory=dict,
        examples=[{"site": "news", "bid": 0.5, "tags": ["a", "b"]}],
        description="By field; null is as if it were left out. The model's schema says what it becomes.",
    )
    indices: list[Annotated[int, Field(ge=0, le=MAX_INDEX)]] = Field(
        default_factory=list, description="Slots of the table, below 2**bits."
    )
    values: list[Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)]] = Field(
        default_factory=list, description="As many as there are indices; without them each is 1."
    )
    time: Annotated[int, Field(ge=0, lt=MAX_TIME)] | None = Field(
        default=None,
        description="Milliseconds since 1970; where it is shared, of each candidate without its own.",
    )


class ExampleWire(SharedWire):
    """An impression: features by name, or slots given directly; with a label once it is known."""

    label: Click | None = Field(default=None, description="Of an update, required.")
    weight: Annotated[float, Field(ge=0, le=MAX_WEIGHT)] | None = Field(
        default=1.0, description="What is learned from has at most the setting max_weight."
    )
    id: str | None = Field(default=None, max_length=MAX_ID)


class Examples(Wire):
    """Examples in order."""

    examples: list[ExampleWire]


class Candidates(Wire):
    """Candidates over a context that they share: each is predicted as the whole example that both make."""

    shared: SharedWire
    candidates: list[ExampleWire]


class Label(Wire):
    """The label of a prediction that was made with an id."""

    id: str = Field(min_length=1, max_length=MAX_ID)
    label: Click


class Labels(Wire):
    """Labels in order."""

    labels: list[Label]
