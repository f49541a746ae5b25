"""A bar on a terminal that shows how far a command has come."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["Bar"]


class Bar:
    """Progress on stderr, where that is a terminal.

    Parameters
    ----------
    what
        What is going on, in a word or two.
    total
        How much there is to do, in any unit; None where nobody knows.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._task = self._progress.add_task(what, total=total, note="")

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def stop(self) -> None:
        """Leave the terminal as it is."""
        self._progress.stop()

    def update(self, done: int, total: int | None, note: str) -> None:
        """Show how much is done, of how much, and a note beside it."""
        self._progress.update(self._task, completed=done, total=total, note=note)

    def say(self, line: str) -> None:
        """Print a line of its own, above the bar."""
        self._console.print(line, markup=False, soft_wrap=True)
