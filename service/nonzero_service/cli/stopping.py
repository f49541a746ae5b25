"""Ctrl-C and SIGTERM: a command ends where nothing is half done, and says what was kept."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, TypeVar

import click

STATUS: Final = 130
"""The exit status of a command that was stopped: 128 and the number of Ctrl-C's signal, as shells have it."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_AGAIN: Final = 1.0
"""What comes sooner is the same signal, in seconds: make passes on what the terminal has sent to all."""

T = TypeVar("T")


class Stopping:
    """Whether, and where, a command is to stop.

    A signal raises KeyboardInterrupt where the command waits, and waits itself where the command is at what
    must not be half done. Whoever repeats it after a moment means it: it raises wherever the command is then.

    Attributes
    ----------
    kept
        Called once the command has stopped; returns what was kept and what not, and may save it first.
    """

    def __init__(self) -> None:
        self.kept: Callable[[], str] = lambda: "nothing was done"
        self._holding = 0
        self._heard: float | None = None
        self._insisted = False

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items; what is done with each is done whole, and only the wait for the next one breaks off.

        Parameters
        ----------
        items
            What may be waited for.

        Raises
        ------
        KeyboardInterrupt
            Where a signal came.
        """
        for item in items:
            with self._held():
                yield item

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Have what is done within the block break off, as it may wait for another process.

        Raises
        ------
        KeyboardInterrupt
            Where a signal came.
        """
        self._holding -= 1
        try:
            self.check()
            yield
        finally:
            self._holding += 1

    def finish(self) -> None:
        """Have a signal wait until the command has ended: what is nearly there shall be whole."""
        self._holding += 1

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt where a signal has waited."""
        if self._heard is not None:
            raise KeyboardInterrupt

    def told(self) -> str:
        """Return what was kept and what not, once the command has stopped."""
        at_once = "nothing was kept, as a second signal came"
        if self._insisted:
            return at_once
        try:
            return self.kept()
        except KeyboardInterrupt:
            return at_once

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to signals within the block; not to one that whoever started the process has it ignore."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main one is told of signals
            return
        before = {
            number: signal.signal(number, self._hear)
            for number in _SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, *_: object) -> None:
        now = time.monotonic()
        if self._heard is None:
            self._heard = now
        elif now - self._heard < _AGAIN:
            return
        else:
            self._insisted = True
        if self._insisted or not self._holding:
            raise KeyboardInterrupt


def stoppable(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command, which is given a :class:`Stopping` as ``stopping``, stop well."""

    @wraps(command)
    def run(*given: Any, **options: Any) -> None:
        stopping = Stopping()
        with stopping.listening():
            try:
                command(*given, stopping=stopping, **options)
                stopping.check()
            except KeyboardInterrupt:
                click.echo(f"nonzero: stopped: {stopping.told()}", err=True)
                raise click.exceptions.Exit(STATUS) from None

    return run
