"""create_app: the application, wired."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from nonzero.errors import NonzeroError
from nonzero_service.api.table import BY_FOLLOWERS, BY_WORKERS, DIRECT, FRAMEWORK, READERS, TABLE, is_of_model
from nonzero_service.cluster.passing_on import TAKING_OVER, PassingOn
from nonzero_service.cluster.roles import NodeRoles
from nonzero_service.errors import StartError
from nonzero_service.http.dispatch import Dispatcher, way_of
from nonzero_service.http.min_sequence import ModelProgress
from nonzero_service.http.routing import model_of
from nonzero_service.incidental import incidentally
from nonzero_service.logs import described
from nonzero_service.service import Service, ServiceParts
from nonzero_service.settings import Settings
from nonzero_service.systemd import READY, tell_systemd
from nonzero_service.warming import warm_up
from nonzero_service.workers.pool import WorkerPool
from nonzero_service.writer.sequences import sequence_of

if TYPE_CHECKING:
    from nonzero_service.api.framework_app import FrameworkApp

HAND_ON_SECONDS: Final = 2.0
"""How long a stop waits for another node to take what was predicted here with an id."""


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

    def fail(error: Exception) -> None:
        service.models.failed = True
        if on_failure is not None:
            on_failure(error)

    service = Service.of(settings, fail, pool)
    return Application(service, fail)


class Application:
    """An ASGI application: FastAPI behind a dispatcher, which answers the hottest requests itself.

    Parameters
    ----------
    service
        What the routes need.
    fail
        Called, on the event loop, where the models cannot be opened.

    Attributes
    ----------
    dispatcher : Dispatcher
        What takes every request.
    """

    def __init__(self, service: Service, fail: Callable[[Exception], None]) -> None:
        self.service = service
        self._leading = way_of(
            {route: make(service) for route, make in DIRECT.items()}
            | dict.fromkeys(FRAMEWORK, self._answer_by_framework)
        )
        progress = ModelProgress(self._sequence_of, service.settings.min_sequence_seconds, READERS)
        self.dispatcher = Dispatcher(TABLE, self._leading, service.metrics, progress)
        self._fail = fail
        self._passing: PassingOn | None = None
        self._leave: Callable[[], Awaitable[object]] | None = None
        self._framework: asyncio.Future[FrameworkApp] | None = None
        self._life = Router(lifespan=self._lifespan)
        self._log = structlog.get_logger("service")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the application's life."""
        if scope["type"] == "http":
            await self.dispatcher(scope, receive, send)
        else:
            await self._life(scope, receive, send)

    def share(
        self, roles: NodeRoles, passing: PassingOn, leave: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Be one of several nodes: what this one does not answer as things stand, the one that writes does.

        Parameters
        ----------
        roles
            What this node is at.
        passing
            Has requests answered by the node that writes.
        leave
            Called at a stop, before the models are closed: from then on this node does not write.
        """
        service, leading, followed = self.service, self._leading, passing.models
        parts = ServiceParts(service.settings, followed, service.bodies, service.metrics)
        following = way_of(
            {route: leading.endpoints[route] for route in BY_FOLLOWERS}
            | {route: DIRECT[route](parts) for route in BY_WORKERS},
            passing,
            lambda scope: not is_of_model(scope) or followed.has(model_of(scope)),
        )

        def change() -> None:
            if roles.role == "writing":
                passing.write()
                self.dispatcher.way = leading
                return
            if roles.role == "taking over":
                passing.follow(None, TAKING_OVER)
            else:
                passing.follow(roles.leader)
            self.dispatcher.way = following

        self._passing, self._leave = passing, leave
        service.metrics.others.append(passing.collect)
        roles.on_change(change)
        change()

    def _sequence_of(self, name: str) -> int:
        return sequence_of(self.service.models.get_readable(name).model)

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        opening = asyncio.create_task(self._open())
        try:
            yield
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if self._passing is not None:  # what it has predicted is kept, or its models count what is not
                await self._passing.close(HAND_ON_SECONDS)
            if self._leave is not None:
                await self._leave()
            await self.service.models.close()
            self.service.bodies.close()

    async def _open(self) -> None:
        try:
            await asyncio.to_thread(warm_up)
            self.service.pool.warm.set()
            await self.service.models.open()
        except Exception as error:  # noqa: BLE001 - whatever it is
            reason, expected = described(error), isinstance(error, NonzeroError | OSError | MemoryError)
            incidentally(self._log.error, "the models cannot be opened", reason=reason, exc_info=not expected)
            self._fail(StartError("the models cannot be opened"))
            return
        models = [served.name for served in self.service.models.all_readable()]
        incidentally(self._log.info, "ready", models=models)
        # What fails here is tried again, and told, when somebody asks for it.
        await asyncio.gather(self._made_framework(), self._tell_ready(), return_exceptions=True)

    async def _tell_ready(self) -> None:
        """Tell systemd, as soon as ``/readyz`` would."""
        await self.service.pool.complete.wait()
        incidentally(tell_systemd, READY)

    async def _answer_by_framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        framework = await self._made_framework()
        await framework(scope, receive, send)

    async def _made_framework(self) -> FrameworkApp:
        """Return FastAPI's application, which a thread makes beside the first predictions.

        No prediction needs it, and importing it and making its routes takes as long as half of the start.
        """
        made = self._framework
        if made is None or (made.done() and (made.cancelled() or made.exception() is not None)):
            made = self._framework = asyncio.ensure_future(asyncio.to_thread(_make_framework, self.service))
        return await asyncio.shield(made)


def _make_framework(service: Service) -> FrameworkApp:
    from nonzero_service.api.framework_app import FrameworkApp

    made = FrameworkApp(service)
    gc.freeze()  # as the server has it with all that was imported before
    return made
