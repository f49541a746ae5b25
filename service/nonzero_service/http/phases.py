"""Phases: what a connection is doing."""

from __future__ import annotations

from typing import Final

IDLE: Final = 0
"""Nothing of a next request has arrived."""
HEAD: Final = 1
"""A part of a head has."""
BODY: Final = 2
"""A head has, and its body has not all."""
ANSWER: Final = 3
"""All of a request has."""
LEAVING: Final = 4
"""What comes is passed over."""
