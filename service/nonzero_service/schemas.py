"""Wire types: what the OpenAPI description says of bodies and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nonzero import FTRL, AdaGrad, DualAveraging
from nonzero.batch import MAX_INDEX, MAX_VALUE, MAX_WEIGHT
from nonzero.formats.json_plain import MAX_ID, MAX_TIME
from nonzero.interactions import MAX_PAIRS
from nonzero.optimizers import RULES, Rule, lanes_to_text
from nonzero_service.learning_rules import read_interactions
from nonzero_service.settings import Bits, LearningRate

__all__ = [
    "AnswerLine",
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

FeatureValue = Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)] | bool | str | list[str]
Click = Literal[0, 1, -1] | bool
Verdict = Literal["learning", "converged", "starved", "idle", "unknown"]


class Wire(BaseModel):
    """Exactly the members that are named."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Example(Wire):
    """An impression: features by name, or slots given directly; with a label once it is known."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["features"]}, {"required": ["indices"]}],
            "dependentRequired": {"values": ["indices"]},
        }
    )

    features: dict[str, FeatureValue] = Field(
        default_factory=dict, examples=[{"site": "news", "bid": 0.5, "tags": ["a", "b"]}]
    )
    indices: list[Annotated[int, Field(ge=0, le=MAX_INDEX)]] = Field(
        default_factory=list, description="Slots of the table, below 2**bits."
    )
    values: list[Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)]] = Field(
        default_factory=list, description="As many as there are indices; without them each is 1."
    )
    label: Click | None = Field(default=None, description="Of an update, required.")
    weight: Annotated[float, Field(ge=0, le=MAX_WEIGHT)] | None = 1.0
    id: str | None = Field(default=None, max_length=MAX_ID)
    time: Annotated[int, Field(ge=0, lt=MAX_TIME)] | None = Field(
        default=None, description="Milliseconds since 1970."
    )


class Examples(Wire):
    """Examples in order."""

    examples: list[Example]


class LineFault(Wire):
    """A line (of a JSON body: an example) that cannot be used."""

    line: int = Field(ge=1, description="Its number, counted from 1.")
    reason: str


class Updated(Wire):
    """What became of an update."""

    model: str
    accepted: int = Field(ge=0, description="Examples learned from.")
    rejected: int = Field(ge=0, description="Lines that could not be learned from.")
    errors: list[LineFault] = Field(max_length=100, description="The first hundred of them.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")
    held: int | None = Field(
        default=None, ge=1, description="With 202: examples that wait for the end of a pause."
    )
    replayed: int | None = Field(
        default=None, ge=0, description="With an Idempotency-Key: examples that had been learned from before."
    )


class Label(Wire):
    """The label of a prediction that was made with an id."""

    id: str = Field(min_length=1, max_length=255)
    label: Click


class Labels(Wire):
    """Labels in order."""

    labels: list[Label]


class LabelFault(LineFault):
    """A label that changed nothing, and the status that it would be answered with alone."""

    status: Literal[404, 409, 410, 422]


class Labelled(Wire):
    """What became of labels."""

    model: str
    accepted: int = Field(ge=0, description="Labels that were joined with their predictions.")
    corrected: int = Field(ge=0, description="Those of them whose window had ended.")
    rejected: int = Field(ge=0, description="Labels that changed nothing.")
    errors: list[LabelFault] = Field(max_length=100, description="The first hundred of them.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")
    held: int | None = Field(
        default=None, ge=1, description="With 202: examples that wait for the end of a pause."
    )


class ProgressLine(Wire):
    """A line of a streamed answer to an update, after each commit."""

    accepted: int = Field(ge=0)
    rejected: int = Field(ge=0)
    sequence: int = Field(ge=0)
    log_loss: float | None = Field(description="Progressive, over all examples of the model.")


class Prediction(BaseModel):
    """A click's probability."""

    probability: float = Field(ge=0, le=1)
    uncertainty: float | None = Field(
        default=None, ge=0, description="How far one more example could move it, in log-odds; on request."
    )
    id: str | None = None


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


class Explanation(Wire):
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


def _hyperparameter(rule: type[Rule], name: str) -> Any:
    low, high = rule.ranges[name]
    return Field(default=getattr(rule, name), ge=low, le=high)


class AdaGradRule(Wire):
    """AdaGrad; with a decay, RMSProp made sparse."""

    rule: Literal["adagrad"]
    learning_rate: float = _hyperparameter(AdaGrad, "learning_rate")
    epsilon: float = _hyperparameter(AdaGrad, "epsilon")
    decay: float = _hyperparameter(AdaGrad, "decay")


class FTRLRule(Wire):
    """FTRL-proximal, with L1 and L2."""

    rule: Literal["ftrl"]
    alpha: float = _hyperparameter(FTRL, "alpha")
    beta: float = _hyperparameter(FTRL, "beta")
    l1: float = _hyperparameter(FTRL, "l1")
    l2: float = _hyperparameter(FTRL, "l2")


class DualAveragingRule(Wire):
    """AdaGrad in its dual-averaging form, with L1."""

    rule: Literal["dual_averaging"]
    learning_rate: float = _hyperparameter(DualAveraging, "learning_rate")
    l1: float = _hyperparameter(DualAveraging, "l1")
    epsilon: float = _hyperparameter(DualAveraging, "epsilon")


UpdateRule = Annotated[AdaGradRule | FTRLRule | DualAveragingRule, Field(discriminator="rule")]
Pair = Annotated[str, Field(pattern=r"^[^*]+\*[^*]+$")]
GIVEN: Final[dict[str, Any]] = {"not": {"type": "null"}}


class NewModel(Wire):
    """A new model's settings; the service's stand in for those that are missing."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "required": ["learning_rate", "optimizer"],
                "properties": {"learning_rate": GIVEN, "optimizer": GIVEN},
            }
        }
    )

    bits: Bits | None = Field(default=None, description="log2 of the number of slots.")
    learning_rate: LearningRate | None = Field(
        default=None, description='"auto": eight lanes; a number: one lane of AdaGrad of that rate.'
    )
    optimizer: (
        Literal["auto"] | UpdateRule | Annotated[list[UpdateRule], Field(min_length=8, max_length=8)] | None
    ) = Field(
        default=None,
        description='"auto": eight lanes that need no tuning; a rule: one lane; eight rules: these, mixed. '
        "In the place of learning_rate.",
    )
    interactions: list[Pair] | None = Field(
        default=None,
        max_length=MAX_PAIRS,
        json_schema_extra={"uniqueItems": True},
        description="Pairs of fields whose features' products are features too.",
        examples=[["site*hour"]],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.learning_rate is not None and self.optimizer is not None:
            raise ValueError("learning_rate is one lane of AdaGrad: give it or an optimizer, not both")
        if self.interactions is not None:
            read_interactions(self.interactions)
        return self

    @property
    def optimizer_text(self) -> str | None:
        """The optimizer as the settings name it; None where it was not given."""
        if self.optimizer is None or self.optimizer == "auto":
            return self.optimizer
        wired = self.optimizer if isinstance(self.optimizer, list) else [self.optimizer]
        settings = [rule.model_dump() for rule in wired]
        return lanes_to_text([RULES[setting.pop("rule")](**setting) for setting in settings])


class ModelState(Wire):
    """A model."""

    model: str
    settings: dict[str, Any]
    sequence: int = Field(ge=0, description="Examples applied since it was made.")
    bytes: int = Field(ge=0, description="The memory of its table.")
    created: datetime


class ModelList(Wire):
    """All models, by name."""

    models: list[ModelState]


class Window(Wire):
    """Progressive validation: each example is predicted before it is learned from. Null: not defined yet."""

    examples: int = Field(ge=0)
    weight: float = Field(ge=0)
    log_loss: float | None
    auc: float | None
    auc_error: float | None
    normalized_entropy: float | None
    calibration: float | None


class Slice(Wire):
    """The examples of one value of a field, since the process started."""

    value: str | None = Field(
        description="# and an index where no request has shown it; null for all values without a slice."
    )
    examples: int = Field(ge=0)
    weight: float = Field(ge=0)
    clicks: float = Field(ge=0, description="The importance weight of the clicks.")
    predicted: float = Field(ge=0, description="The clicks that were predicted, weighted too.")
    calibration: float | None = Field(description="Predicted over observed; null: no click yet.")


class Recalibration(Wire):
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


class Metrics(Window):
    """Over all examples of the model, and over the last 100,000."""

    model: str
    sequence: int = Field(ge=0)
    recent: Window
    slices: dict[str, list[Slice]] = Field(
        description="By field, as the setting `slices` names them: the most frequent value first."
    )
    recalibration: Recalibration | None = Field(description="Null where no map is learned.")


class Resumed(Wire):
    """What came of the end of a pause."""

    model: str
    applied: int = Field(ge=0, description="Held examples that were learned from.")
    discarded: int = Field(ge=0, description="Held examples that never will be.")
    sequence: int = Field(ge=0, description="Examples applied since the model was made.")


class Snapshot(Wire):
    """A snapshot that was taken."""

    model: str
    sequence: int = Field(ge=0, description="The examples that it holds.")
    bytes: int = Field(ge=0, description="The size of its file.")


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


class Health(Wire):
    """How the service is."""

    status: Literal["ok", "ready"]


class Problem(BaseModel):
    """Any error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[LineFault] | None = None
    accepted: int | None = Field(
        None, description="Of a stream that broke off: examples learned from before."
    )
    rejected: int | None = None
    sequence: int | None = None


AnswerLine = Prediction | LineFault | Problem
"""A line of a streamed answer to a prediction; a problem only as the last."""
