"""The threads of all learners: some commit, some apply, each for whichever model has something to do."""

from __future__ import annotations

from typing import Final

from nonzero_service.turns import Turns

COMMITTERS: Final = 4
"""They wait for the disk, mostly."""

APPLIERS: Final = 3
"""They compute."""


class WriterThreads:
    """The threads of all learners of a process."""

    def __init__(self) -> None:
        self.committers = Turns("committer", COMMITTERS)
        self.appliers = Turns("applier", APPLIERS)

    def start(self) -> None:
        """Start threads for one more learner, unless there are enough."""
        self.committers.start()
        self.appliers.start()

    def close(self) -> None:
        """End them, when no learner needs them any more; a second call does nothing."""
        self.committers.close()
        self.appliers.close()
