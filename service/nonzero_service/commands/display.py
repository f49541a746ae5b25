"""What the commands show: progress on stderr, figures on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from nonzero_service.commands.bar import Bar

__all__ = ["Display", "figures_line", "figures_table"]

_BAR_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 2.0


class Display:
    """Progress on stderr: a bar where that is a terminal, else a plain line every two seconds.

    Parameters
    ----------
    what
        What is going on, in a word or two.
    total
        How much there is to do, in any unit; None where nobody knows.
    quiet
        Only what is said is shown.
    """

    def __init__(self, what: str, total: int | None, quiet: bool = False) -> None:
        self._quiet = quiet
        self._what = what
        self._total = total
        self._shown = time.monotonic()
        self._line = ""
        self._bar: Bar | None = None
        if not quiet and sys.stderr.isatty():
            from nonzero_service.commands.bar import Bar  # rich takes 0.07 s to import

            self._bar = Bar(what, total)
        self._seconds = _BAR_SECONDS if self._bar else _LINE_SECONDS

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, note: Callable[[], str]) -> None:
        """Show how far it has come, now and then.

        Parameters
        ----------
        done
            How much of the total is done.
        note
            Says what to add; called only when something is shown, because figures take time to make.
        """
        now = time.monotonic()
        if self._quiet or now - self._shown < self._seconds:
            return
        self._shown = now
        self._update(done, note())

    def finish(self, done: int, note: str) -> None:
        """Show the end."""
        self._total = done if self._total is None else self._total
        self._update(done, note)

    def say(self, line: str) -> None:
        """Print a line of its own, above the bar."""
        if self._bar:
            self._bar.say(line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - what a command says

    def _update(self, done: int, note: str) -> None:
        if self._quiet:
            return
        if self._bar:
            self._bar.update(done, self._total, note)
            return
        share = f"{done / self._total:4.0%}, " if self._total else ""
        line = f"{self._what}: {share}{note}"
        if line != self._line:
            self._line = line
            self.say(line)


def figures_line(figures: Mapping[str, float | None]) -> str:
    """Return the figures of progressive validation in one line."""
    return (
        f"{_number(figures['examples'], ',.0f')} examples, log loss {_number(figures['log_loss'], '.5f')}, "
        f"AUC {_number(figures['auc'], '.4f')}, calibration {_number(figures['calibration'], '.3f')}"
    )


_ROWS: Final = {
    "examples": ("examples", ",.0f"),
    "rejected": ("lines rejected", ",.0f"),
    "log_loss": ("log loss", ".5f"),
    "auc": ("AUC", ".4f"),
    "normalized_entropy": ("normalized entropy", ".4f"),
    "calibration": ("calibration", ".4f"),
    "seconds": ("seconds", ".2f"),
    "examples_per_second": ("examples a second", ",.0f"),
}


def figures_table(figures: Mapping[str, float | None]) -> str:
    """Return the figures that are there, one a line, their names beside them."""
    return "\n".join(
        f"{title:<22}{_number(figures[key], form):>14}"
        for key, (title, form) in _ROWS.items()
        if key in figures
    )


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None else format(value, form)
