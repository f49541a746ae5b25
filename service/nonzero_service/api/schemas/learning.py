"""What came of updates, labels, the end of a pause and a clock that was set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nonzero_service.api.schemas.problems import LabelFault, LineFault
from nonzero_service.api.schemas.wire import Wire
from nonzero_service.impressions.verdicts import Verdict
from nonzero_service.problems import MAX_ERRORS


class Updated(Wire):
    """What became of an update."""

    model: str
    accepted: int = Field(ge=0, description="Examples learned from.")
    rejected: int = Field(ge=0, description="Lines that could not be learned from.")
    errors: list[LineFault] = Field(max_length=MAX_ERRORS, description="The first hundred of them.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")
    held: int | None = Field(
        default=None, ge=1, description="With 202: examples that wait for the end of a pause."
    )
    replayed: int | None = Field(
        default=None, ge=0, description="With an Idempotency-Key: examples that had been learned from before."
    )
    labels: dict[Verdict, Annotated[int, Field(ge=1)]] | None = Field(
        default=None,
        description="Examples whose id is that of an earlier prediction, and so its label, by what they met: "
        "`joined` and `corrected` ones taught by the prediction's features, the others changed nothing.",
    )


class ProgressLine(Wire):
    """A line of a streamed answer to an update, after each commit."""

    accepted: int = Field(ge=0)
    rejected: int = Field(ge=0)
    sequence: int = Field(ge=0)
    log_loss: float | None = Field(description="Progressive, over all examples of the model.")


class LabelledWire(Wire):
    """What became of labels."""

    model: str
    accepted: int = Field(ge=0, description="Labels that were joined with their predictions.")
    corrected: int = Field(ge=0, description="Those of them whose window had ended.")
    rejected: int = Field(ge=0, description="Labels that changed nothing.")
    errors: list[LabelFault] = Field(max_length=MAX_ERRORS, description="The first hundred of them.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")
    held: int | None = Field(
        default=None, ge=1, description="With 202: examples that wait for the end of a pause."
    )


class ResumedWire(Wire):
    """What came of the end of a pause."""

    model: str
    applied: int = Field(ge=0, description="Held examples that were learned from.")
    discarded: int = Field(ge=0, description="Held examples that never will be.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")


class ClockSetWire(Wire):
    """What the clock of a model's journal was set to, in milliseconds since 1970."""

    model: str
    before_ms: int = Field(description="What it said.")
    after_ms: int = Field(description="What it was set to: the machine's clock.")
