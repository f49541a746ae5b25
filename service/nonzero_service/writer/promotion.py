"""The body of a ``promotion`` row."""

from __future__ import annotations

from typing import Any

import msgspec

from nonzero_service.impressions.taking_over import TakenOver
from nonzero_service.writer.challenger_origin import ChallengerOrigin


class Promotion(msgspec.Struct, frozen=True):
    """The body of a ``promotion`` row: who goes on under the champion's name from here."""

    name: str
    """The challenger's name until then."""
    origin: ChallengerOrigin = msgspec.field(name="following")
    """How it began."""
    config: dict[str, Any]
    """The settings that it was made with, as :class:`~nonzero_service.models.model_config.ModelConfig` has
    them."""
    impressions: TakenOver | None = None
    """What has become of impressions by its own late-label policy; None where that was its champion's. A row
    of version 1 has none."""
