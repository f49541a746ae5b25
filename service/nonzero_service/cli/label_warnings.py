"""What train says of labels that are sorted, and of long runs of one label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.diagnostics.label_runs import LabelRuns, LongRun

_WAY_OUT: Final = "put the log in the order of time, or shuffle its rows"


class RunWarnings:
    """Watches the labels that are learned from; says at once what it first sees, and the rest at the end."""

    def __init__(self) -> None:
        self._runs = LabelRuns()
        self._told = False

    def look(self, labels: NDArray[np.float32], say: Callable[[str], None]) -> None:
        """Take the next labels.

        Parameters
        ----------
        labels
            float32[n].
        say
            Called with a line where something is seen for the first time.
        """
        self._runs.look(labels)
        if not self._told:
            for line in self.lines():
                say(f"so far: {line}")
                self._told = True

    def state(self) -> dict[str, Any]:
        """Return what was seen and told, as JSON holds it."""
        return {"runs": self._runs.state(), "told": self._told}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` has returned."""
        self._runs.go_on(state["runs"])
        self._told = state["told"]

    def lines(self) -> Iterator[str]:
        """Yield a line for what is wrong with the labels' order, if anything is."""
        runs = self._runs
        if runs.in_blocks:
            yield (
                f"the labels are sorted, by themselves or within days: {runs.examples:,} examples have "
                f"{runs.runs:,} runs of one label, and {runs.expected_runs:,.0f} are usual. The model "
                f"believes the last of them most, and the figures mislead; {_WAY_OUT}"
            )
        elif runs.longest is not None:
            yield _of_run(runs.longest)


def _of_run(run: LongRun) -> str:
    last = run.first + run.length - 1
    other = "clicks" if run.label == 0 else "examples without a click"
    return (
        f"examples {run.first:,} to {last:,} all have the label {run.label}, where {run.expected:,.0f} "
        f"{other} are usual: labels are missing, or rows are sorted by them; leave them out, or {_WAY_OUT}"
    )
