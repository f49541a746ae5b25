"""Operations: alive, ready, metrics, and the description for people."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from nonzero_service import schemas
from nonzero_service.openapi import answer, problems, text
from nonzero_service.problems import Problem
from nonzero_service.routes.strict import Route
from nonzero_service.service import Service

__all__ = ["router"]

EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nonzero: HTTP API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

START: Final = (
    'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'
)

# Everything comes from this service; Swagger UI sets styles from its script, and has small images within it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
)


def router(service: Service) -> APIRouter:
    """Return the routes."""
    # Probes and browsers add parameters of their own: here they are passed over.
    routes = APIRouter(tags=["operations"], route_class=Route)

    @routes.get("/healthz")
    async def alive() -> schemas.Health:
        """Say that the process is alive."""
        return schemas.Health(status="ok")

    @routes.get("/readyz", responses=problems(503))
    async def ready() -> schemas.Health:
        """Say whether the service is ready: its models are open, and nothing is left to compile."""
        service.models.check_ready()
        service.pool.check_ready()
        return schemas.Health(status="ready")

    @routes.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses=answer("Metrics.", {"text/plain": text("Prometheus text.")}),
    )
    async def metrics() -> Response:
        """Read metrics of requests and models, as Prometheus reads them."""
        await service.pool.gather_counts()
        return Response(await service.bodies.aside(service.metrics.text), media_type=EXPOSITION)

    @routes.get("/openapi.json", include_in_schema=False)
    async def description(request: Request) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})

    @routes.get("/docs/{asset}", include_in_schema=False)
    async def docs_asset(asset: str) -> Response:
        if asset == "start.js":
            return Response(START, media_type="text/javascript")
        if asset not in ASSETS:
            raise Problem(404, "the pages of /docs have no such part")
        content = files("fastapi_swagger").joinpath("resources", asset).read_bytes()
        return Response(content, media_type=ASSETS[asset], headers={"cache-control": "max-age=3600"})

    return routes


ASSETS: Final[dict[str, Any]] = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""The files of Swagger UI that the page needs: fastapi-swagger brings them."""
