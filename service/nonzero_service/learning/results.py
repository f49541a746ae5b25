"""Results: what came of work, on its way from the learner's threads back to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nonzero_service.learning.work import Outcome
from nonzero_service.storage.errors import DiskFullError, JournalBusyError

__all__ = ["Results"]


class Results:
    """Takes results from any thread; made on the event loop.

    Parameters
    ----------
    deliver
        Takes them on the event loop.
    on_failure
        Told, on the event loop, of an error after which the process must end.
    """

    def __init__(
        self, deliver: Callable[[list[Outcome]], None], on_failure: Callable[[Exception], None]
    ) -> None:
        self.failure: Exception | None = None
        """Why nothing more may be made durable or applied."""
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._on_failure = on_failure

    def close(self) -> None:
        """Let go of who takes them, when there will be no more: the two hold each other."""
        self._deliver = _nobody

    def give(self, outcomes: list[Outcome]) -> None:
        """Give results back."""
        self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def fail(self, outcomes: list[Outcome], error: Exception) -> None:
        """Give an error back; unless it says that nothing was written, the process must end."""

        def deliver() -> None:
            self._deliver(outcomes)
            if not isinstance(error, DiskFullError | JournalBusyError):
                self._on_failure(error)

        self._loop.call_soon_threadsafe(deliver)


def _nobody(outcomes: list[Outcome]) -> None:
    """Take nothing."""
    raise AssertionError(f"{len(outcomes)} results came after the end")
