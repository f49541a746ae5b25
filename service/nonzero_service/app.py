"""create_app: the application, wired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero import __version__
from nonzero.errors import NonzeroError
from nonzero_service.errors import StartError
from nonzero_service.incidental import incidentally
from nonzero_service.logs import described
from nonzero_service.openapi import describe
from nonzero_service.problems import problem_of
from nonzero_service.requests import AtOnce, Requests
from nonzero_service.routes import clocks, diagnosis, learning, models, operations, resumption
from nonzero_service.routes.shortcut import Shortcut
from nonzero_service.service import Service
from nonzero_service.settings import Settings
from nonzero_service.warming import warm_up
from nonzero_service.workers.crew import Crew

__all__ = ["create_app"]

DESCRIPTION = "Click-through rates, learned while they are served. Every error is a problem+json (RFC 9457)."


def create_app(
    settings: Settings,
    on_failure: Callable[[Exception], None] | None = None,
    crew: Crew | None = None,
) -> Application:
    """Make the application of one data directory.

    It answers at once, and is ready (``/readyz``) when its models are open and every kernel has run. When it
    is told to stop it applies all that is queued and saves its models.

    Parameters
    ----------
    settings
        Where, how large, how much.
    on_failure
        Called, on the event loop, where the models cannot be opened or can learn no more: the process should
        end.
    crew
        The workers of this process, to be told of the models; None: there are none.
    """
    log = structlog.get_logger("service")

    def fail(error: Exception) -> None:
        service.models.failed = True
        if on_failure is not None:
            on_failure(error)

    service = Service.of(settings, fail, crew)

    async def open_models() -> None:
        try:
            await asyncio.to_thread(warm_up)
            service.models.crew.warm.set()
            await service.models.open()
        except Exception as error:  # noqa: BLE001 - whatever it is
            reason, expected = described(error), isinstance(error, NonzeroError | OSError | MemoryError)
            incidentally(log.error, "the models cannot be opened", reason=reason, exc_info=not expected)
            fail(StartError("the models cannot be opened"))
        else:
            incidentally(log.info, "ready", models=[served.name for served in service.models.all()])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        opening = asyncio.create_task(open_models())
        try:
            yield
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await service.models.close()
            service.bodies.close()

    app = Application(
        title="Nonzero",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    hot = learning.routes(service)
    app.router.routes.extend(hot)
    app.include_router(models.router(service))
    app.include_router(diagnosis.router(service))
    app.include_router(operations.router(service))
    app.include_router(resumption.router(service))
    app.include_router(clocks.router(service))
    app.add_middleware(Requests, counts=service.metrics)
    shortcut = Shortcut(app.front, hot, service.metrics)
    app.front, app.at_once = shortcut, shortcut.at_once
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.openapi = describe(app, guarded=settings.token_file is not None)  # type: ignore[method-assign]
    app.state.service = service
    return app


class Application(FastAPI):
    """FastAPI, with room for what answers before its own layers do: they take longer than a prediction.

    Attributes
    ----------
    front
        What takes every request; at first FastAPI itself.
    at_once
        What answers the hottest requests without a task, where they are whole.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.front: ASGIApp = super().__call__
        self.at_once: AtOnce = lambda _: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self.front(scope, receive, send)


async def _refuse(request: Request, error: Exception) -> Response:
    """Hand what the framework refuses on to the middleware, which answers every error in one shape."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(_methods(request))}
    raise problem_of(error)


def _methods(request: Request) -> list[str]:
    """Return the methods that a path takes: the framework names only those of the first route of its path."""
    return [
        method
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
