"""What the commands show: progress on stderr, figures on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

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
        self._console = Console(stderr=True, highlight=False)
        self._seconds = _BAR_SECONDS if self._console.is_terminal else _LINE_SECONDS
        self._shown = time.monotonic()
        self._line = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        self._console.print(line, markup=False, soft_wrap=True)

    def _update(self, done: int, note: str) -> None:
        if self._quiet:
            return
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=self._total, note=note)
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
