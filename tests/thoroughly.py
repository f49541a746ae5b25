"""How many examples Hypothesis tries: a part of all, unless its profile is ``thorough``."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

__all__ = ["ALL", "QUICK", "SHARE", "THOROUGH", "examples"]

QUICK: Final = "quick"
THOROUGH: Final = "thorough"
"""The profile of the long tests: ``--hypothesis-profile thorough``."""

ALL: Final = 100
"""Of a test that names no number."""

SHARE: Final = 4
"""One of so many is tried otherwise."""


def examples(most: int) -> int:
    """Return how many of so many are tried."""
    return most if settings.get_current_profile_name() == THOROUGH else most // SHARE
