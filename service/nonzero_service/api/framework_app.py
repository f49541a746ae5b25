"""FrameworkApp: FastAPI behind the dispatcher, which answers what is not hot and describes everything."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.types import Receive, Scope, Send

from nonzero import __version__
from nonzero_service.api.described import add_routes
from nonzero_service.api.openapi import describe
from nonzero_service.api.table import READERS, TABLE
from nonzero_service.faults import explained
from nonzero_service.problems import Problem
from nonzero_service.service import Service

DESCRIPTION = "Click-through rates, learned while they are served. Every error is a problem+json (RFC 9457)."


class FrameworkApp:
    """FastAPI with all routes, without the layers around it: they answer errors in another shape.

    Parameters
    ----------
    service
        What the routes need.
    """

    def __init__(self, service: Service) -> None:
        self._app = FastAPI(
            title="Nonzero",
            version=__version__,
            description=DESCRIPTION,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
        )
        self._app.state.service = service
        add_routes(self._app.router)
        self.openapi = describe(self._app, TABLE, READERS, guarded=service.settings.token_file is not None)
        self._app.openapi = self.openapi  # type: ignore[method-assign]
        self._routed = AsyncExitStackMiddleware(self._app.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises
        ------
        Problem
            400 or 422 for parameters or a body that are not of their types.
        """
        scope["app"] = self._app
        try:
            await self._routed(scope, receive, send)
        except RequestValidationError as error:
            raise _invalid(error) from error


def _invalid(error: RequestValidationError) -> Problem:
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Problem(400, "the body is not JSON")
    # The first part of a place says where the value stood: in the path, the query, the head or the body.
    return Problem(422, explained({**fault, "loc": fault["loc"][1:]} for fault in faults))
