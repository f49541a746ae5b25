"""The bar that shows on a terminal how far something is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def new_bar(*, transient: bool = False) -> Progress:
    """Return a bar on standard error; its tasks have a ``note``, which is shown beside it.

    Rich is imported only here: it takes as long as a tenth of a start.

    Parameters
    ----------
    transient
        Whether the bar goes when it ends.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, highlight=False),
        transient=transient,
    )
