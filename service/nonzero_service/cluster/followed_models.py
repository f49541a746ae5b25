"""The models of a node that follows, as its predictions read them."""

from __future__ import annotations

from nonzero_service.models.challenger import Challenger
from nonzero_service.models.served_models import ServedModels
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

    def __init__(self, models: ServedModels, keep: Keep) -> None:
        self._models = models
        self._keep = keep

    def has(self, name: str) -> bool:
        """Whether a model of this name is open here."""
        return self._models.ready and self._models.find_readable(name) is not None

    def get_readable(self, name: str) -> ReadModel | Challenger:
        """Return a model by its name, to be read; it raises what :meth:`ServedModels.get_readable` does."""
        served = self._models.get_readable(name)
        if isinstance(served, Challenger):
            return served
        return ReadModel(name, served.model, self._keep, served.names)
