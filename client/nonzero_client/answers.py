"""What the service answers, as Python has it.

What a call composes of answers is an object. What the service describes, such as its figures, is as it is
described, a dict: members that a later release adds are there too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from nonzero_client.problems import LineFault

Step = Literal["second", "minute", "hour", "day", "examples"]
Verdict = Literal["learning", "converged", "starved", "idle", "unknown"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """A click's probability.

    Parameters
    ----------
    probability
        From 0 to 1. NaN where the example was refused: :attr:`reason` says why.
    id
        As it was given.
    uncertainty
        How far one more example could move it, in log-odds; where it was asked for.
    kept
        Whether a label will find it, where it has an id.
    reason
        Why the example was refused.

    Examples
    --------
    >>> Prediction(0.25, id="imp-1")
    Prediction(probability=0.25, id='imp-1', uncertainty=None, kept=True, reason=None)
    """

    probability: float
    id: str | None = None
    uncertainty: float | None = None
    kept: bool = True
    reason: str | None = None


@dataclass(slots=True)
class UpdateResult:
    """What became of an update; of a stream, of all of it.

    Parameters
    ----------
    model
        The model's name.
    accepted
        Examples learned from, now or when the same key came before.
    rejected
        Lines that were refused.
    errors
        The first hundred of them.
    sequence
        Examples that the model has learned from since it was made.
    held
        Examples that wait for the end of a pause.
    replayed
        Examples that had been learned from when the same key came before.
    labels
        Examples that were labels of earlier predictions, by what they met.
    lines
        Lines, or examples, that have been answered for.
    key
        The idempotency key. The batches of a stream have it with their number: ``key/0``, ``key/1``, ...

    Examples
    --------
    >>> UpdateResult("default", accepted=998, rejected=2, lines=1000).rejected
    2
    """

    model: str
    accepted: int = 0
    rejected: int = 0
    errors: tuple[LineFault, ...] = ()
    sequence: int = 0
    held: int = 0
    replayed: int = 0
    labels: Mapping[str, int] = field(default_factory=Counter)
    lines: int = 0
    key: str = ""


@dataclass(slots=True)
class LabelResult:
    """What became of labels; of a stream, of all of it.

    Parameters
    ----------
    model
        The model's name.
    accepted
        Labels that were joined with their predictions.
    corrected
        Those of them whose window had ended.
    rejected
        Labels that changed nothing.
    errors
        The first hundred of them.
    sequence
        Examples that the model has learned from since it was made.
    held
        Examples that wait for the end of a pause.
    known
        Labels that were known already when a request had to be sent again: its first sending brought them.
    lines
        Labels that have been answered for.

    Examples
    --------
    >>> LabelResult("default", accepted=3, lines=3).accepted
    3
    """

    model: str
    accepted: int = 0
    corrected: int = 0
    rejected: int = 0
    errors: tuple[LineFault, ...] = ()
    sequence: int = 0
    held: int = 0
    known: int = 0
    lines: int = 0


class Contribution(TypedDict):
    """One feature's share of the log-odds."""

    feature: str
    field: str | None
    value: float
    weight: float
    contribution: float
    learning_rate: float
    verdict: Verdict


class Explanation(TypedDict):
    """Contributions, intercept and mixing add up to the log-odds: logit(probability)."""

    model: str
    probability: float
    log_odds: float
    intercept: float
    mixing: float
    contributions: list[Contribution]
    sequence: int


class ModelState(TypedDict):
    """A model."""

    model: str
    settings: dict[str, Any]
    sequence: int
    bytes: int
    created: str
    follows: str | None
    followers: list[str]
    learning: dict[str, Any]


class ModelDetail(ModelState):
    """A model, and how it is now."""

    mixture: dict[str, Any]
    late_labels: dict[str, Any] | None
    replica: dict[str, Any] | None
    topics: list[str]


_From = TypedDict("_From", {"from": int})


class History(_From):
    """What a model was like, and what happened to it."""

    model: str
    step: Step
    to: int
    rows: list[dict[str, Any]]
    events: list[dict[str, Any]]


class Figures(TypedDict):
    """Progressive validation: each example is predicted before it is learned from. None: not defined yet."""

    examples: int
    weight: float
    log_loss: float | None
    auc: float | None
    auc_error: float | None
    normalized_entropy: float | None
    calibration: float | None


class Window(Figures):
    """The last 100,000 examples."""

    clicks: float


class Metrics(Figures):
    """The figures over all examples of a model, and over the last 100,000."""

    model: str
    sequence: int
    recent: Window
    served: dict[str, Any] | None
    slices: dict[str, list[dict[str, Any]]]
    recalibration: dict[str, Any] | None
    schema: dict[str, Any]


class Diagnosis(TypedDict):
    """Whether a model still learns, and the evidence."""

    model: str
    verdict: Verdict
    reason: str
    examples: int
    evidence: dict[str, Any]
    fields: dict[str, dict[str, Any]]
    remedy: dict[str, Any] | None
    schema: dict[str, Any]


class Remedied(TypedDict):
    """What a remedy did, or would do."""

    model: str
    remedy: dict[str, Any]
    lanes: list[dict[str, Any]]
    coordinates: int
    applied: bool
    sequence: int


class Snapshot(TypedDict):
    """A snapshot that was taken."""

    model: str
    sequence: int
    bytes: int


_With = TypedDict("_With", {"with": str})


class Comparison(_With):
    """A challenger beside the model that it follows; figures of both are under ``model`` and ``with``."""

    model: str
    since: dict[str, int] | None
    examples: int
    weight: float
    confidence: float
    log_loss: dict[str, float | None]
    calibration: dict[str, float | None]
    difference: dict[str, float | None]
    verdict: Literal["better", "worse", "undecided"]
    reason: str
    slices: dict[str, list[dict[str, Any]]]


class Promoted(TypedDict):
    """What came of a promotion."""

    model: str
    promoted: str
    position: int
    sequence: int
    settings: dict[str, Any]


class Resumed(TypedDict):
    """What came of the end of a pause."""

    model: str
    applied: int
    discarded: int
    sequence: int
