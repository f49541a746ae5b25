"""Tally: what has become of a body's examples or labels so far."""

from __future__ import annotations

from typing import Any

from nonzero_service.models.served import ServedModel
from nonzero_service.problems import Problem


class Tally:
    """What has become of the lines of a body so far.

    Parameters
    ----------
    served
        The model.
    """

    def __init__(self, served: ServedModel) -> None:
        self.model = served.name
        self.accepted = self.rejected = self.held = 0
        self.sequence = served.sequence

    def counts(self) -> dict[str, Any]:
        """Return what a problem says of what came before it."""
        return {"accepted": self.accepted, "rejected": self.rejected, "sequence": self.sequence}

    def nothing_learned(self, what: str, line: int, reason: str) -> Problem:
        """Return the problem of a body that has come to nothing; of its refused lines the first is named."""
        return Problem(
            422,
            f"nothing was learned, as every {what} was refused ({self.rejected}); line {line}: {reason}",
            **self.counts(),
        )
