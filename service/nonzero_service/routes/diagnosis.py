"""Diagnosis: whether a model still learns, has converged, or is starved; and what mends it."""

from __future__ import annotations

from fastapi import APIRouter

from nonzero_service import schemas
from nonzero_service.openapi import problems
from nonzero_service.problems import Problem
from nonzero_service.routes.models import ModelName
from nonzero_service.routes.strict import StrictRoute
from nonzero_service.service import Service
from nonzero_service.writer.entries import remedy_entry

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)
    models = service.models

    @routes.get("/{model}/diagnosis", responses=problems(404, 422, 503))
    async def diagnose(model: ModelName) -> schemas.Diagnosis:
        """Say whether the model and each field is learning, converged, starved, idle or unknown, and why."""
        served = models.get(model)
        found = await served.learner.run(
            lambda: served.model.diagnose(served.names.all(), served.stored.journal.time_ms)
        )
        return schemas.Diagnosis.model_validate(
            {"model": model, "schema": served.fields.described(), **found}
        )

    @routes.post("/{model}/remedy", responses=problems(404, 409, 422, 503, 507))
    async def mend(model: ModelName, dry_run: bool = False) -> schemas.Remedied:
        """Apply the remedy that the diagnosis names, or show what it would do."""
        served = models.get(model)
        diagnosis = await served.learner.run(served.model.diagnose)
        remedy = diagnosis["remedy"]
        if remedy is None or "action" not in remedy:
            raise Problem(
                409, f"there is nothing to mend: the model is {diagnosis['verdict']} ({diagnosis['reason']})"
            )
        if dry_run:
            effect = await served.learner.run(lambda: served.model.apply_remedy(remedy, dry_run=True))
        else:
            effect = await served.learner.change(
                remedy_entry(remedy), lambda: served.model.apply_remedy(remedy)
            )
        return schemas.Remedied(model=model, remedy=remedy, sequence=served.model.examples, **effect)

    return routes
