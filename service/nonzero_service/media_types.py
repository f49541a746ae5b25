"""The media types of bodies."""

from __future__ import annotations

from typing import Final

from nonzero.formats.registry import FORMATS

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"
CSV: Final = "text/csv"
TSV: Final = "text/tab-separated-values"
PROBLEM: Final = "application/problem+json"
SAFETENSORS: Final = "application/vnd.safetensors"

STREAMS: Final = {entry.media_type: name for name, entry in FORMATS.items() if entry.media_type}
"""Content-Type -> format, of the bodies that are streams of lines."""

TABLES: Final = (CSV, TSV, ARROW)
"""Content-Types of bodies whose columns are fields."""
