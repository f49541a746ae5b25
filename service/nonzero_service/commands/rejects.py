"""Lines that could not be used: the first few are shown, all are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from nonzero.errors import LineError

__all__ = ["Rejects"]

_SHOWN: Final = 5


class Rejects:
    """The lines of a run that could not be used.

    Attributes
    ----------
    count
        How many there were.
    """

    def __init__(self) -> None:
        self.count = 0

    def report(self, name: str, errors: Iterable[LineError], say: Callable[[str], None]) -> None:
        """Count lines of a file, and say the first few and why."""
        for line, reason in errors:
            self.count += 1
            if self.count <= _SHOWN:
                say(f"{name}, line {line}: {reason}")

    def finish(self, say: Callable[[str], None]) -> None:
        """Say how many there were beyond those shown."""
        if self.count > _SHOWN:
            say(f"… and {self.count - _SHOWN:,} more lines like these: {self.count:,} in all")
