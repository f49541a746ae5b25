"""Operations: metrics, and the description for people."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from nonzero_service.api.framework import CurrentService
from nonzero_service.problems import Problem

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


ASSETS: Final[dict[str, str]] = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""The files of Swagger UI that the page needs: fastapi-swagger brings them."""


async def metrics(service: CurrentService) -> Response:
    """Read metrics of requests and models, as Prometheus reads them."""
    await service.pool.gather_counts()
    return Response(await service.bodies.aside(service.metrics.text), media_type=EXPOSITION)


async def description(request: Request) -> JSONResponse:
    """Return the OpenAPI description."""
    return JSONResponse(request.app.openapi())


async def docs() -> HTMLResponse:
    """Return the page that shows the description."""
    return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})


async def docs_asset(asset: str) -> Response:
    """Return a part of that page."""
    if asset == "start.js":
        return Response(START, media_type="text/javascript")
    if asset not in ASSETS:
        raise Problem(404, "the pages of /docs have no such part")
    content = files("fastapi_swagger").joinpath("resources", asset).read_bytes()
    return Response(content, media_type=ASSETS[asset], headers={"cache-control": "max-age=3600"})
