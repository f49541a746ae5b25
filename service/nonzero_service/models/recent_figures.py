"""How good predictions were lately, worked out for metrics as far as there is time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from nonzero import LogisticRegression
from nonzero_service.metrics.pacing import Pace
from nonzero_service.models.attribution import Attribution

T = TypeVar("T")

LOOK_SECONDS: Final = 0.03
"""For so long recent figures are worked out before metrics are told."""


class _Recent(NamedTuple):
    """How good predictions were lately."""

    version: object
    """What of; another where there is more to look at."""
    at: float
    """When that was, by the monotonic clock."""
    figures: dict[str, Any]


class RecentFigures(Generic[T]):
    """How good the predictions of each model were lately.

    Parameters
    ----------
    version
        Returns of a model something that changes where its figures may.
    figures
        Works them out, which takes a millisecond.
    """

    def __init__(self, version: Callable[[T], object], figures: Callable[[T], dict[str, Any]]) -> None:
        self._version = version
        self._figures = figures
        self._known: WeakKeyDictionary[T, _Recent] = WeakKeyDictionary()
        self._looking = threading.Lock()

    def look(self, models: Iterable[T]) -> None:
        """Work out the figures of each model of which there is more to look at.

        Where that takes too long, the others' figures stay as they were, and those that have waited longest
        come first the next time.
        """
        with self._looking:
            until, pace = time.monotonic() + LOOK_SECONDS, Pace()
            for model in sorted(models, key=self.looked_at):
                known, version = self._known.get(model), self._version(model)
                if known is None or known.version != version:
                    now = time.monotonic()
                    self._known[model] = _Recent(version, now, self._figures(model))
                    if now > until:
                        break
                pace.breathe()

    def of(self, model: T, figure: str) -> float | None:
        """Return a figure of a model; None where it is not known."""
        known = self._known.get(model)
        return None if known is None else known.figures[figure]

    def looked_at(self, model: T) -> float:
        """Return when the figures of a model were worked out, by the monotonic clock; 0 for never."""
        known = self._known.get(model)
        return 0.0 if known is None else known.at


def figures_of_learned() -> RecentFigures[LogisticRegression]:
    """Return what works out how good predictions were just before their examples were learned from."""
    return RecentFigures(lambda model: model.examples, lambda model: model.metrics()["recent"])


def figures_of_served() -> RecentFigures[Attribution]:
    """Return what works out how good predictions were that were answered."""
    return RecentFigures(lambda one: one.now_ms // 1000, Attribution.served)
