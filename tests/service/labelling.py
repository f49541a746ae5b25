"""The settings that say what becomes of a new model's impressions, as they are by default."""

from __future__ import annotations

from typing import Any, Final

LABELLING: Final[dict[str, Any]] = {
    "negatives": "at_once",
    "attribution_seconds": 3600.0,
    "correction_seconds": 86400.0,
}
