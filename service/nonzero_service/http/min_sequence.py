"""Nonzero-Min-Sequence: a request that reads a model waits until that has learned so many examples.

Who was told the sequence of an update is then answered by a model that knows of it, whichever node answers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero_service.http.routing import Route, model_of
from nonzero_service.problems import RETRY, ErrorForm, Problem, form_of

MIN_SEQUENCE: Final = b"nonzero-min-sequence"
"""The header."""

NUMBER: Final = re.compile(rb"[0-9]{1,18}")

SHOWN: Final = 64
"""So much of a value is repeated in a problem, in bytes."""

TICK_SECONDS: Final = 0.004
"""How often models are looked at while anybody waits: they learn on other threads, or in other processes."""


class ModelProgress(NamedTuple):
    """How far models are."""

    sequence_of: Callable[[str], int]
    """Returns the examples that a model has learned, by its name; what it raises is the answer."""
    seconds: float
    """How long a request waits at most."""
    routes: frozenset[Route]
    """Those that read a model; on others the header says nothing."""


@dataclass(eq=False)
class _SequenceWaiter:
    """A request that waits."""

    model: str
    least: int
    done: asyncio.Future[None]


class SequenceGate:
    """Lets requests wait for a model; used on the event loop.

    All wait in one list, which one task looks at every few milliseconds while it is not empty.

    Parameters
    ----------
    progress
        How far models are.
    """

    def __init__(self, progress: ModelProgress) -> None:
        self._progress = progress
        self._waiting: list[_SequenceWaiter] = []
        self._looking: asyncio.Task[None] | None = None

    def before(self, endpoint: ASGIApp) -> ASGIApp:
        """Return an application that answers as another does, once the model is as far as is asked for."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["target"].route in self._progress.routes:
                await self.wait(model_of(scope), least_of(scope))
            await endpoint(scope, receive, send)

        return answer

    async def wait(self, model: str, least: int) -> None:
        """Return when a model has learned so many examples.

        Raises
        ------
        Problem
            503, where it has not in time.
        """
        if self._progress.sequence_of(model) >= least:
            return
        waiter = _SequenceWaiter(model, least, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(self._progress.seconds):
                await waiter.done
        except TimeoutError as error:
            raise Problem(
                503,
                f"the model {model!r} has learned {self._progress.sequence_of(model)} examples here, and "
                f"Nonzero-Min-Sequence asks for {least}; this waited for {self._progress.seconds:g} s, come "
                "again",
                headers=RETRY,
            ) from error
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def _look(self) -> None:
        """Wake those whose model is far enough, until nobody waits."""
        while self._waiting:
            await asyncio.sleep(TICK_SECONDS)
            for waiter in self._waiting.copy():
                self._look_for(waiter)
        self._looking = None

    def _look_for(self, waiter: _SequenceWaiter) -> None:
        if waiter.done.done():
            return
        try:
            if self._progress.sequence_of(waiter.model) >= waiter.least:
                waiter.done.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is the answer: there may be no such model any more
            waiter.done.set_exception(error)


def least_of(scope: Scope) -> int:
    """Return how many examples a request asks for.

    Raises
    ------
    Problem
        422 where that is no number; 400 in protocols that do not know 422.
    """
    value = scope["head"].get(MIN_SEQUENCE)
    if not NUMBER.fullmatch(value):
        raise Problem(
            422 if form_of(scope["path"]) is ErrorForm.PROBLEM else 400,
            "Nonzero-Min-Sequence is a whole number, as `sequence` of an answer is, not "
            f"{value[:SHOWN].decode('latin-1')!r}",
        )
    return int(value)
