"""The models of a node that follows, as its predictions read them."""

from __future__ import annotations

from nonzero_service.models.challenger import Challenger
from nonzero_service.models.registry import Models
from nonzero_service.workers.read_model import Keep, ReadModel


class FollowedModels:
    """Finds models whose predictions with an id are handed on to the node that writes.

    Parameters
    ----------
    models
        This node's.
    keep
        Hands them on.
    """

    def __init__(self, models: Models, keep: Keep) -> None:
        self._models = models
        self._keep = keep

    def has(self, name: str) -> bool:
        """Whether a model of this name is open here."""
        return self._models.ready and self._models.find_any(name) is not None

    def readable(self, name: str) -> ReadModel | Challenger:
        """Return a model by its name, to be read; for what it raises see :meth:`Models.readable`."""
        served = self._models.readable(name)
        if isinstance(served, Challenger):
            return served
        return ReadModel(name, served.model, self._keep, served.names)
