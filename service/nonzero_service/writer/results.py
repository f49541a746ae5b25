"""Results: what came of work, on its way from the learner's threads back to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeGuard

from nonzero_service.journal.errors import NOTHING_WRITTEN, JournalError, OutcomeUnknownError
from nonzero_service.writer.work import Outcome, Work


class Results:
    """Takes results from any thread; made on the event loop.

    Parameters
    ----------
    deliver
        Takes them on the event loop.
    on_failure
        Told of an error after which the process must end: on the event loop, or, where that cannot be had, on
        the thread that failed.
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
        try:
            self._loop.call_soon_threadsafe(self._given, outcomes)
        except BaseException as error:  # noqa: BLE001 - whoever waits would wait for ever
            self.end(error)

    def end(self, error: BaseException, works: Iterable[Work] = ()) -> None:
        """Let nothing more be made durable or applied, and have the process end; may be called again.

        What is on disk may be more than what the process knows of: only a new start can tell.

        Parameters
        ----------
        error
            What was raised: what is not the journal's own becomes the cause of an
            :class:`~nonzero_service.journal.errors.OutcomeUnknownError`, whatever it says of itself.
        works
            What is told of it.
        """
        if self.failure is None:
            self.failure = error if _says_all(error) else _unknown(error)
        failure = self.failure
        try:
            outcomes = [Outcome(work, None, failure) for work in works]
            self._loop.call_soon_threadsafe(self._end, outcomes, failure)
        except BaseException:  # noqa: BLE001 - it must end, and nobody waits behind a loop that is closed
            if not self._loop.is_closed():
                self._on_failure(failure)

    def _given(self, outcomes: list[Outcome]) -> None:
        try:
            self._deliver(outcomes)
        except BaseException as error:
            self.failure = self.failure or _unknown(error)
            self._on_failure(self.failure)
            raise

    def _end(self, outcomes: list[Outcome], failure: Exception) -> None:
        try:
            self._on_failure(failure)  # first: it must be told, whatever comes of the answers
        finally:
            self._deliver(outcomes)


def _says_all(error: BaseException) -> TypeGuard[JournalError]:
    """Whether an error is the journal's own, and none that says that nothing was written and all goes on."""
    return isinstance(error, JournalError) and not isinstance(error, NOTHING_WRITTEN)


def _unknown(error: BaseException) -> OutcomeUnknownError:
    # Without the error's own words: they may be of any length, or fail.
    failure = OutcomeUnknownError(
        f"what is durable and what is learned may differ, because of {type(error).__name__}; start the "
        "process anew: what is on disk decides"
    )
    failure.__cause__ = error
    return failure


def _nobody(outcomes: list[Outcome]) -> None:
    """Take nothing."""
    raise AssertionError(f"{len(outcomes)} results came after the end")
