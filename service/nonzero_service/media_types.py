"""The media types of bodies."""

from __future__ import annotations

from typing import Final

__all__ = ["JSON", "NDJSON", "PROBLEM", "SAFETENSORS", "STREAMS"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"
SAFETENSORS: Final = "application/vnd.safetensors"

STREAMS: Final = {NDJSON: "ndjson", "text/x-vw": "vw", "text/x-libsvm": "libsvm"}
"""Content-Type -> format, of the bodies that are streams of lines."""
