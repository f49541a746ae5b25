"""Resume: what is done with the examples that were held after the circuit breaker."""

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

    @routes.post("/{model}/resume", responses=problems(404, 409, 422, 503, 507))
    async def resume_learning(model: ModelName, *, discard: bool = False) -> schemas.Resumed:
        """Go on learning after the circuit breaker: apply what was held, in order, or discard it."""
        resumed = await service.models.get(model).learner.resume(discard=discard)
        return schemas.Resumed(model=model, **resumed._asdict())

    return routes
