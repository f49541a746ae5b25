"""Wire types: what the OpenAPI description says of bodies and answers."""

from nonzero_service.api.schemas.examples import Example, Examples, Label, Labels
from nonzero_service.api.schemas.figures import (
    Diagnosis,
    Metrics,
    RateChange,
    Recalibration,
    Remedied,
    Slice,
    Window,
)
from nonzero_service.api.schemas.learning import ClockSet, Labelled, ProgressLine, Resumed, Updated
from nonzero_service.api.schemas.models import ModelList, ModelState, NewModel, Snapshot
from nonzero_service.api.schemas.predictions import AnswerLine, Explanation, Predictions
from nonzero_service.api.schemas.problems import LabelFault, LineFault, Problem
from nonzero_service.api.schemas.wire import Health

__all__ = [
    "AnswerLine",
    "ClockSet",
    "Diagnosis",
    "Example",
    "Examples",
    "Explanation",
    "Health",
    "Label",
    "LabelFault",
    "Labelled",
    "Labels",
    "LineFault",
    "Metrics",
    "ModelList",
    "ModelState",
    "NewModel",
    "Predictions",
    "Problem",
    "ProgressLine",
    "RateChange",
    "Recalibration",
    "Remedied",
    "Resumed",
    "Slice",
    "Snapshot",
    "Updated",
    "Window",
]
