"""create_app: the application, wired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property

import structlog
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from nonzero import __version__
from nonzero.errors import NonzeroError
from nonzero_service.api.openapi import describe
from nonzero_service.api.table import OPERATIONS, TABLE, add_routes
from nonzero_service.errors import StartError
from nonzero_service.http.dispatch import Dispatcher
from nonzero_service.incidental import incidentally
from nonzero_service.logs import described
from nonzero_service.service import Service
from nonzero_service.settings import Settings
from nonzero_service.warming import warm_up
from nonzero_service.workers.pool import WorkerPool

DESCRIPTION = "Click-through rates, learned while they are served. Every error is a problem+json (RFC 9457)."


def create_app(
    settings: Settings, on_failure: Callable[[Exception], None] | None = None, pool: WorkerPool | None = None
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
    pool
        The workers of this process, to be told of the models; None: there are none.
    """
    log = structlog.get_logger("service")

    def fail(error: Exception) -> None:
        service.models.failed = True
        if on_failure is not None:
            on_failure(error)

    service = Service.of(settings, fail, pool)

    async def open_models() -> None:
        try:
            await asyncio.to_thread(warm_up)
            service.pool.warm.set()
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
    app.dispatcher = Dispatcher(
        TABLE,
        {
            operation.route: operation.endpoint(service) if operation.direct else app.framework
            for operation in OPERATIONS
        },
        service.metrics,
    )
    app.openapi = describe(app, TABLE, guarded=settings.token_file is not None)  # type: ignore[method-assign]
    app.state.service = service
    return app


class Application(FastAPI):
    """FastAPI behind a dispatcher, which answers the hottest requests and every error itself.

    Attributes
    ----------
    dispatcher
        What takes every request.
    """

    dispatcher: Dispatcher

    @cached_property
    def _routed(self) -> ASGIApp:
        """FastAPI's router, whose routes are made when the first of them is asked for.

        No prediction needs them, and making them imports Pydantic's first version beside the second.
        """
        add_routes(self.router)
        return AsyncExitStackMiddleware(self.router)

    @property
    def routes(self) -> list[BaseRoute]:
        """All of FastAPI's routes."""
        self._routed  # noqa: B018 - it makes them
        return super().routes

    async def framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have FastAPI's router answer, without the layers around it: they answer errors in another shape."""
        scope["app"] = self
        await self._routed(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the application's life."""
        if scope["type"] == "http":
            await self.dispatcher(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
