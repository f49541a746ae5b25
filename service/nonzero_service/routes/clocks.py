"""Clock: the journal's clock is set by the machine's, when somebody has set that right."""

from __future__ import annotations

from fastapi import APIRouter

from nonzero_service import schemas
from nonzero_service.openapi import problems
from nonzero_service.routes.models import ModelName
from nonzero_service.routes.strict import StrictRoute
from nonzero_service.service import Service

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """Return the route."""
    routes = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)

    @routes.post("/{model}/clock", responses=problems(404, 409, 422, 503, 507))
    async def set_clock(model: ModelName) -> schemas.ClockSet:
        """Set the clock of the model's journal by the machine's, where they are apart: that must be right."""
        done = await service.models.get(model).clock.set()
        return schemas.ClockSet(model=model, **done._asdict())

    return routes
