"""How good a model is, and whether it still learns."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from nonzero_service.api.schemas.wire import Verdict, Wire


class ProgressiveFigures(Wire):
    """Progressive validation: each example is predicted before it is learned from. Null: not defined yet."""

    examples: int = Field(ge=0)
    weight: float = Field(ge=0)
    log_loss: float | None
    auc: float | None
    auc_error: float | None
    normalized_entropy: float | None
    calibration: float | None


class Window(ProgressiveFigures):
    """The last 100,000 examples. Null: not defined yet."""

    clicks: float = Field(
        ge=0, description="The importance weight of the clicks: the figures rest on so many."
    )


class ServedWire(Window):
    """The predictions with an id that were answered, once each, and what came of them. Null: not defined."""

    ripe_seconds: float = Field(
        ge=0, description="They are so old at least: most of their clicks have come. The last 100,000 count."
    )


class SliceWire(Wire):
    """The examples of one value of a field, since the process started."""

    value: str | None = Field(
        description="# and an index where no request has shown it; null for all values without a slice."
    )
    examples: int = Field(ge=0)
    weight: float = Field(ge=0)
    clicks: float = Field(ge=0, description="The importance weight of the clicks.")
    predicted: float = Field(ge=0, description="The clicks that were predicted, weighted too.")
    calibration: float | None = Field(description="Predicted over observed; null: no click yet.")


class RecalibrationWire(Wire):
    """A map of the predictions, sigmoid(slope * logit(p) + offset), and what it gains. Null: not defined."""

    slope: float
    offset: float
    examples: int = Field(ge=0, description="On which it was tried, each before it was learned from.")
    log_loss: float | None = Field(description="On these examples, without the map.")
    mapped_log_loss: float | None = Field(description="With it.")
    calibration: float | None
    mapped_calibration: float | None
    gain: float | None = Field(description="By how much the mean log loss is lower with it, in nats.")
    gain_low: float | None = Field(
        description="1.96 standard errors of the paired difference below that; null until there were 100 "
        "clicks and 100 examples without one."
    )
    gain_high: float | None


class UnseenFieldWire(Wire):
    """A field that settings name, and that no example has had since the process started."""

    field: str
    named_by: str = Field(description="The interaction, or the setting `slices`.")
    nearest: str | None = Field(description="The field that came and is called most alike.")


class FieldFigures(Wire):
    """What came of fields that nobody meant."""

    conflicts: dict[str, int] = Field(
        description="Values of another kind than their field's since the process started, by field: the "
        "first 100 fields, and `other`."
    )
    unseen: list[UnseenFieldWire] = Field(description="Told after 1,000 examples.")


class MetricsWire(ProgressiveFigures):
    """Over all examples of the model, and over the last 100,000."""

    model: str
    sequence: int = Field(ge=0)
    recent: Window
    served: ServedWire | None = Field(description="Null where no prediction had an id.")
    slices: dict[str, list[SliceWire]] = Field(
        description="By field, as the setting `slices` names them: the most frequent value first."
    )
    recalibration: RecalibrationWire | None = Field(description="Null where no map is learned.")
    schema_: FieldFigures = Field(alias="schema")


class Diagnosis(Wire):
    """Whether a model still learns, and the evidence."""

    model: str
    verdict: Verdict
    reason: str
    examples: int = Field(ge=0, description="Examples learned from.")
    evidence: dict[str, Any] = Field(description="What the verdict rests on; losses in nats an example.")
    fields: dict[str, dict[str, Any]] = Field(
        description="The same of each field, by name where it is known."
    )
    remedy: dict[str, Any] | None = Field(description="What POST .../remedy would do; null: nothing to mend.")
    schema_: FieldFigures = Field(alias="schema")


class RateChange(Wire):
    """What a remedy does to a lane."""

    lane: int
    rate_before: float = Field(description="The intercept's effective learning rate.")
    rate_after: float


class Remedied(Wire):
    """What a remedy did, or would do."""

    model: str
    remedy: dict[str, Any]
    lanes: list[RateChange]
    coordinates: int = Field(ge=0, description="Coordinates whose accumulators changed.")
    applied: bool
    sequence: int = Field(ge=0)
