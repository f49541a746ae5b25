"""What makes a challenger: where in its champion's journal it starts, and as which model.

Its state is a function of that and of the champion's rows from there on, and of nothing else.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from nonzero import LogisticRegression

Beginning = Literal["nothing", "refold"]

BEFORE: Final = "sequence_before"
"""In the notes of a model that follows or has followed: the examples of the journal before its own first."""


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

    def new_model(self) -> LogisticRegression:
        """Make the model that it began as."""
        model = LogisticRegression.from_settings(self.settings)
        model.notes[BEFORE] = self.before
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


def sequence_of(model: LogisticRegression) -> int:
    """Return the examples of a journal up to where its model is: those that came before it count too."""
    before: int = model.notes.get(BEFORE, 0)
    return model.examples + before
