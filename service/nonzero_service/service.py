"""Service: what every route needs, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nonzero_service.bodies import Bodies
from nonzero_service.metrics import Metrics
from nonzero_service.models import Models
from nonzero_service.settings import Settings
from nonzero_service.spool import Spool

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """The parts of one application."""

    settings: Settings
    models: Models
    bodies: Bodies
    metrics: Metrics

    @classmethod
    def of(cls, settings: Settings, on_failure: Callable[[Exception], None]) -> Service:
        """Make the parts; `on_failure` is told when the process must be started anew."""
        models = Models(settings, on_failure)
        return cls(settings, models, Bodies(settings), Metrics(models))

    def spool(self) -> Spool:
        """Make room for a streamed answer."""
        return Spool(self.settings.answer_bytes, self.settings.data_dir)
