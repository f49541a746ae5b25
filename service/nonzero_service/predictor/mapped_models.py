"""The models that a worker has mapped."""

from __future__ import annotations

import os

from nonzero import LogisticRegression
from nonzero_service.errors import UnknownModelError
from nonzero_service.workers.read_model import Keep, ReadModel


class MappedModels:
    """All models that a worker has mapped.

    Parameters
    ----------
    keep
        How what is predicted with an id gets to the writer.
    recalibrating
        Whether predictions are what the models' maps make of them.
    """

    def __init__(self, keep: Keep, recalibrating: bool = False) -> None:
        self._keep = keep
        self._recalibrating = recalibrating
        self._models: dict[str, LogisticRegression] = {}

    def map(self, name: str, descriptor: int) -> None:
        """Map a model, in the place of one of the same name; the descriptor is closed.

        Raises
        ------
        OSError
            Where there is no memory for it, or no room among the maps.
        """
        try:
            model = LogisticRegression.attach(descriptor)
        finally:
            os.close(descriptor)
        model.recalibrating = self._recalibrating
        self._models[name] = model

    def has(self, name: str) -> bool:
        """Whether a model of this name is mapped, and not withdrawn."""
        model = self._models.get(name)
        if model is None:
            return False
        if model.shared is not None and not model.shared.withdrawn:
            return True
        del self._models[name]
        return False

    def unmap_withdrawn(self) -> None:
        """Let go of the models that were withdrawn."""
        for name in list(self._models):
            self.has(name)

    def take_conflicts(self) -> dict[str, dict[str, int]]:
        """Return what contradicted the models' schemas since it was last taken, by model and field."""
        found = {name: model.schema.conflicts.take() for name, model in self._models.items()}
        return {name: conflicts for name, conflicts in found.items() if conflicts}

    def get_readable(self, name: str) -> ReadModel:
        """Return a model by its name.

        Raises
        ------
        UnknownModelError
            Where it was withdrawn after :meth:`has` said that it is there.
        """
        model = self._models.get(name)
        if model is None:
            raise UnknownModelError(f"there is no model named {name!r} any more")
        return ReadModel(name, model, self._keep)
