"""What /metrics says, one series at a time."""

from __future__ import annotations

import httpx

__all__ = ["series", "series_of"]


def series(client: httpx.Client, name: str) -> float:
    """Return a series: by its name with all of its labels, or by its name alone, which is that of all of it.

    What has not been counted yet is zero.
    """
    return series_of(client.get("/metrics").text, name)


def series_of(text: str, name: str) -> float:
    """Return the same of a text that is at hand."""
    found = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return sum(float(value) for said, _, value in found if name in (said, said.partition("{")[0]))
