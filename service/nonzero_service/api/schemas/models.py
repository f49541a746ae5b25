"""Models: what they are made with, and what is kept of them."""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, Union

from pydantic import ConfigDict, Field, create_model, model_validator

from nonzero import Schema
from nonzero.fields.schema import MAX_FIELDS, MAX_NAME
from nonzero.kernels.rules.optimizers import RULES, AdaGrad, Kalman, Rule
from nonzero.model.interactions import MAX_PAIRS
from nonzero.model.lanes import lanes_to_text
from nonzero_service.api.schemas.wire import Wire
from nonzero_service.impressions.rules import Negatives
from nonzero_service.models.data_directory import NAME
from nonzero_service.settings import Bits, LearningRate
from nonzero_service.settings.learning_rules import read_interactions


def _hyperparameter(rule: type[Rule], name: str) -> Any:
    low, high = rule.ranges[name]
    return Field(default=getattr(rule, name), ge=low, le=high)


def _wired(rule: type[Rule]) -> type[Wire]:
    """Return a rule as JSON has it: its name, and each hyperparameter in its range."""
    said = inspect.getdoc(rule) or ""
    members: dict[str, Any] = {"rule": (Literal.__getitem__(rule.name), ...)}
    members |= {name: (float, _hyperparameter(rule, name)) for name in rule.ranges}
    made: type[Wire] = create_model(
        f"{rule.__name__}Rule",
        __base__=Wire,
        __doc__=said.partition("\n")[0],
        __module__=__name__,
        **members,
    )
    return made


_ALONE: Final = [name for name in RULES if name != Kalman.name]
_MIXED: Final = {"properties": {"rule": {"enum": _ALONE}}}
_COMBINED: Final = {"properties": {"rule": {"enum": [AdaGrad.name, Kalman.name]}, "decay": {"const": 1}}}
if TYPE_CHECKING:
    UpdateRule: TypeAlias = Wire
    LaneRule: TypeAlias = Wire
else:
    _WIRED = {name: _wired(rule) for name, rule in RULES.items()}
    UpdateRule = Annotated[Union[*map(_WIRED.get, _ALONE)], Field(discriminator="rule")]
    LaneRule = Annotated[Union[*_WIRED.values()], Field(discriminator="rule")]
EightRules = Annotated[
    list[LaneRule],
    Field(
        min_length=8,
        max_length=8,
        json_schema_extra={"anyOf": [{"items": _MIXED}, {"items": _COMBINED}]},
    ),
]
Pair = Annotated[str, Field(pattern=r"^[^*]+\*[^*]+$")]
GIVEN: Final[dict[str, Any]] = {"not": {"type": "null"}}


WindowSeconds = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]
Kind = Literal["category", "number", "ignore"]
ModelName = Annotated[str, Field(pattern=f"^{NAME}$")]
FieldName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class Said(Wire):
    """What each field is."""

    fields: dict[FieldName, Kind] = Field(
        default={},
        max_length=MAX_FIELDS,
        description="By name; a * stands for any text. A name has at most 255 bytes; 256 may be patterns.",
        examples=[{"site": "category", "bid": "number", "*_id": "ignore"}],
    )
    default: Literal["infer", "category", "number", "refuse"] = Field(
        default="infer", description="What all other fields are."
    )


class NewModel(Wire):
    """A new model's settings; the service's stand in for those that are missing."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "not": {
                        "required": ["learning_rate", "optimizer"],
                        "properties": {"learning_rate": GIVEN, "optimizer": GIVEN},
                    }
                },
                {"not": {"required": ["start"], "properties": {"start": GIVEN, "follows": {"type": "null"}}}},
            ]
        }
    )

    follows: ModelName | None = Field(
        default=None,
        description="Make a challenger of this model: it learns what that learns. It may have other bits, "
        "another optimizer (or learning rate) and other interactions; all else is its champion's.",
    )
    start: Literal["nothing", "refold"] | None = Field(
        default=None,
        description="Where a challenger starts: with what comes from now on (the default), or with all that "
        "its champion's journal holds, where that is whole.",
    )
    bits: Bits | None = Field(default=None, description="log2 of the number of slots.")
    learning_rate: LearningRate | None = Field(
        default=None, description='"auto": eight lanes; a number: one lane of AdaGrad of that rate.'
    )
    optimizer: Literal["auto"] | UpdateRule | EightRules | None = Field(
        default=None,
        description='"auto": eight lanes that need no tuning; a rule: one lane; eight rules: these, mixed, '
        'or, with Kalman filters among them, combined as those of "auto". In the place of learning_rate.',
    )
    interactions: list[Pair] | None = Field(
        default=None,
        max_length=MAX_PAIRS,
        json_schema_extra={"uniqueItems": True},
        description="Pairs of fields whose features' products are features too.",
        examples=[["site*hour"]],
    )

    # A model of pydantic has a method of the name that is meant.
    schema_: Said | None = Field(
        default=None, alias="schema", description="What each field is, whatever the body's type."
    )
    namespace_separator: Literal["=", "^"] | None = Field(
        default=None,
        description="What stands between a namespace of VW text and a feature in the feature's name.",
    )

    negatives: Negatives | None = Field(
        default=None,
        description="When predictions with an id are learned from: as negatives at once, which a click takes "
        "back; when their window ends; or clicks when they come, and negatives at the window's end.",
    )
    attribution_seconds: WindowSeconds | None = Field(
        default=None, gt=0, description="How long a prediction with an id waits for its label."
    )
    correction_seconds: WindowSeconds | None = Field(
        default=None, description="How long after that a click is still learned from."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.learning_rate is not None and self.optimizer is not None:
            raise ValueError("learning_rate is one lane of AdaGrad: give it or an optimizer, not both")
        if self.start is not None and self.follows is None:
            raise ValueError("start says where a challenger starts: name whom it follows")
        if self.interactions is not None:
            read_interactions(self.interactions)
        Schema.of(self.said)
        return self

    @property
    def said(self) -> dict[str, Any] | None:
        """What the fields are, as :meth:`nonzero.Schema.to_dict` has it; None where it was not given."""
        return None if self.schema_ is None else self.schema_.model_dump()

    @property
    def optimizer_text(self) -> str | None:
        """The optimizer as the settings name it; None where it was not given."""
        if self.optimizer is None or self.optimizer == "auto":
            return self.optimizer
        wired = self.optimizer if isinstance(self.optimizer, list) else [self.optimizer]
        settings = [rule.model_dump() for rule in wired]
        return lanes_to_text([RULES[setting.pop("rule")](**setting) for setting in settings])


class LearningWire(Wire):
    """Whether examples are learned from, or held because the circuit breaker has paused learning."""

    paused: bool
    since: int | None = Field(description="In milliseconds since 1970; null while examples are learned from.")
    reason: str | None
    held: int = Field(ge=0, description="The examples that are held.")


class ModelState(Wire):
    """A model."""

    model: str
    settings: dict[str, Any]
    sequence: int = Field(ge=0, description="Examples applied since it was made.")
    bytes: int = Field(ge=0, description="The memory of its table.")
    created: datetime
    follows: str | None = Field(description="Whom it learns with, where it is a challenger.")
    followers: list[str] = Field(description="Its challengers.")
    learning: LearningWire


class MixtureWire(Wire):
    """The lanes, and how much each counts now."""

    shares: list[float]
    lanes: list[str] = Field(description="The rule of each, as the setting `optimizer` names it.")


class LateLabelsWire(Wire):
    """Predictions with an id, and their labels; counted since the process started, but for `waiting`."""

    waiting: int = Field(ge=0, description="Predictions that wait for their label.")
    joined_share: float | None = Field(
        description="Of those that were labelled or whose window ended: the share that was labelled."
    )
    outage: bool = Field(description="No labels come for longer than usual, and than chance explains.")
    labels: dict[str, int] = Field(description="By what they met, as nonzero_labels_total counts them.")
    predictions: dict[str, int] = Field(
        description="By what became of them, as nonzero_impressions_total counts them."
    )


class ReplicaWire(Wire):
    """A model of a node that follows another, and how far it is behind."""

    node: str = Field(description="The node that answers.")
    follows: str | None = Field(description="The node that learns; null while none does.")
    lag_examples: int = Field(ge=0, description="Examples in the journal that it has not learned from yet.")
    lag_seconds: float = Field(
        ge=0, description="How long ago it was known that it had learned from all that was in the journal."
    )


class ModelDetail(ModelState):
    """A model, and how it is now."""

    mixture: MixtureWire
    late_labels: LateLabelsWire | None = Field(description="Null where no prediction had an id.")
    replica: ReplicaWire | None = Field(description="Null where the service that answers learns itself.")
    topics: list[str] = Field(
        description="Topics of Kafka that it learns from beside requests: its source tells more."
    )


class ModelList(Wire):
    """All models, by name."""

    models: list[ModelState]


class SnapshotWire(Wire):
    """A snapshot that was taken."""

    model: str
    sequence: int = Field(ge=0, description="The examples that it holds.")
    bytes: int = Field(ge=0, description="The size of its file.")
