"""What the commands show: progress on stderr, figures on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

from nonzero.statistics.progressive import FIGURES
from nonzero_service.progress_bar import new_bar

_BAR_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 2.0


class Display:
    """Progress on stderr: a bar where that is a terminal, else a plain line every two seconds.

    Parameters
    ----------
    what
        What the command does, in a word or two.
    total
        The amount of work, in any unit; None where nobody knows it.
    quiet
        Show no progress, only the lines of :meth:`say`.
    """

    def __init__(self, what: str, total: int | None, quiet: bool = False) -> None:
        self._quiet = quiet
        self._what = what
        self._total = total
        self._shown = time.monotonic()
        self._line = ""
        self._bar = new_bar() if not quiet and sys.stderr.isatty() else None
        self._task = self._bar.add_task(what, total=total, note="") if self._bar else None
        self._seconds = _BAR_SECONDS if self._bar else _LINE_SECONDS

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, note: Callable[[], str]) -> None:
        """Show the progress, unless it was shown a moment ago.

        Parameters
        ----------
        done
            How much of the total is done.
        note
            Returns the text to show beside it. It is called only when something is shown, because figures
            take time to compute.
        """
        now = time.monotonic()
        if now - self._shown >= self._seconds:
            self._shown = now
            self._update(done, note)

    def finish(self, done: int, note: str) -> None:
        """Show that the work has ended.

        Parameters
        ----------
        done
            How much was done in all.
        note
            The text to show beside it.
        """
        self._total = done if self._total is None else self._total
        self._update(done, lambda: note)

    def say(self, line: str) -> None:
        """Print a line of its own, above the bar.

        Parameters
        ----------
        line
            The text, without an end of line.
        """
        if self._bar:
            self._bar.console.print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - what a command says

    def _update(self, done: int, note: Callable[[], str]) -> None:
        if self._quiet:
            return
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=self._total, note=note())
            return
        share = f"{done / self._total:4.0%}, " if self._total else ""
        line = f"{self._what}: {share}{note()}"
        if line != self._line:
            self._line = line
            self.say(line)


def figures_line(figures: Mapping[str, float | None]) -> str:
    """Return the figures of progressive validation in one line."""
    return (
        f"{number_text(figures['examples'], ',.0f')} examples, "
        f"log loss {number_text(figures['log_loss'], '.5f')}, "
        f"AUC {number_text(figures['auc'], '.4f')}, "
        f"calibration {number_text(figures['calibration'], '.3f')}"
    )


_ROWS: Final = {
    "examples": ("examples", ",.0f"),
    "rejected": ("lines rejected", ",.0f"),
    **FIGURES,
    "seconds": ("seconds", ".2f"),
    "examples_per_second": ("examples a second", ",.0f"),
}


def figures_table(
    figures: Mapping[str, float | None], whole: Mapping[str, float | None] | None = None
) -> str:
    """Return the known figures that are given, one a line, each after its name.

    Parameters
    ----------
    figures
        The figures.
    whole
        The same of all that the model has learned; they stand beside the first ones then, which are of a run.
    """
    lines = [] if whole is None else [f"{'':<22}{'this run':>14}{'in all':>14}"]
    for key, (title, form) in _ROWS.items():
        if key in figures:
            beside = f"{number_text(whole[key], form):>14}" if whole is not None and key in whole else ""
            lines.append(f"{title:<22}{number_text(figures[key], form):>14}{beside}")
    return "\n".join(lines)


def number_text(value: float | None, form: str) -> str:
    """Return a number in a format of :func:`format`; ``undefined`` for None."""
    return "undefined" if value is None else format(value, form)
