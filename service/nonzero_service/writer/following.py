"""What makes a challenger: where in its champion's journal it starts, and as which model.

Its state is a function of that and of the champion's rows from there on, and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from nonzero import LogisticRegression
from nonzero_service.impressions.rules import Negatives
from nonzero_service.impressions.taking_over import TakenOver

Beginning = Literal["nothing", "refold"]

BEFORE: Final = "sequence_before"
"""In the notes of a model that follows or has followed: the examples of the journal before its own first."""


REACHED: Final = "sequence_reached"
"""In the notes of a challenger with a policy of its own: the examples of the journal up to where it is."""


JOINING_NOTE: Final = "joining"
"""Where a snapshot of such a challenger has what has become of impressions, among its notes."""


class OwnPolicy(msgspec.Struct, frozen=True):
    """When a challenger learns from impressions, where that is not when its champion does."""

    negatives: Negatives
    attribution_ms: int
    correction_ms: int


class Following(msgspec.Struct, frozen=True):
    """How a challenger began."""

    champion: str
    """Whom it follows."""
    id: str
    """Its own, for its name may be given again."""
    start: Beginning
    """From nothing on, or from the whole journal."""
    position: int
    """The last position of the champion's journal that it has learned nothing from."""
    before: int
    """The examples up to there."""
    held_since: int | None
    """Since when examples were held there."""
    settings: dict[str, Any]
    """As :attr:`nonzero.LogisticRegression.settings`, of the model that had learned nothing."""
    policy: OwnPolicy | None = None
    """None where it learns from impressions when its champion does."""

    def new_model(self) -> LogisticRegression:
        """Make the model that it began as."""
        model = LogisticRegression.from_settings(self.settings)
        model.notes[BEFORE] = self.before
        if self.policy is not None:
            model.notes[REACHED] = self.before
        return model

    @property
    def needed_from(self) -> int:
        """The first position that a fold from its beginning needs."""
        return self.position + 1 if self.held_since is None else self.held_since


class Promotion(msgspec.Struct, frozen=True):
    """The body of a ``promotion`` row: who goes on under the champion's name from here."""

    name: str
    """The challenger's name until then."""
    following: Following
    config: dict[str, Any]
    """The settings that it was made with, as :class:`~nonzero_service.models.model_config.ModelConfig` has
    them."""
    impressions: TakenOver | None = None
    """What has become of impressions by its own late-label policy; None where that was its champion's. A row
    of version 1 has none."""


def sequence_of(model: LogisticRegression) -> int:
    """Return the examples of a journal up to where its model is: those that came before it count too."""
    return sequence_by(model.notes, model.examples)


def sequence_by(notes: Mapping[str, Any], examples: int) -> int:
    """Return the examples of a journal up to a model that has these notes, and has learned so many."""
    sequence: int = notes.get(REACHED, examples + notes.get(BEFORE, 0))
    return sequence
