"""What makes a challenger: where in its champion's journal it starts, and as which model.

Its state is a function of that and of the champion's rows from there on, and of nothing else.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from nonzero import LogisticRegression
from nonzero_service.impressions.rules import Negatives
from nonzero_service.writer.sequences import BEFORE, REACHED

Beginning = Literal["nothing", "refold"]


class OwnPolicy(msgspec.Struct, frozen=True):
    """When a challenger learns from impressions, where that is not when its champion does."""

    negatives: Negatives
    attribution_ms: int
    correction_ms: int


class ChallengerOrigin(msgspec.Struct, frozen=True):
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
