"""Handing over: a model that changes its role goes on from what it has folded."""

from __future__ import annotations

from nonzero_service.models.replica import Folded
from nonzero_service.models.served import ServedModel


def folded(served: ServedModel) -> Folded | None:
    """Return what is handed over of a model whose learner is closed; None where it is to be loaded again."""
    learner, applier = served.learner, served.learner.applier
    if not applier.is_whole:
        return None
    return Folded(
        learner.model,
        applier.position,
        applier.digest,
        applier.held_since,
        served.history.history,
        served.slices,
        served.names,
        served.fields,
        served.snapshots.grown_bytes,
        served.snapshots.age_seconds,
    )
