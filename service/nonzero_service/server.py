"""serve: the application behind uvicorn, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import structlog
import uvicorn

from nonzero.errors import NonzeroError
from nonzero.persistence.pages import keep_freed
from nonzero_service import logs, tracing
from nonzero_service.app import create_app
from nonzero_service.budget import fitted
from nonzero_service.errors import AddressError, StartError
from nonzero_service.http.accepting import Acceptor
from nonzero_service.incidental import incidentally
from nonzero_service.listening import config_of, load_certificate
from nonzero_service.settings import Settings
from nonzero_service.systemd import STOPPING, tell_systemd
from nonzero_service.workers.forward_server import ForwardServer
from nonzero_service.workers.pool import WorkerPool

if TYPE_CHECKING:
    from nonzero_service.cluster.node import ClusterNode

HANDSHAKE_SECONDS: Final = 5.0
"""How long a TLS handshake may take."""

LAST_WORDS: Final = 0.4
"""Seconds that requests in flight have to be answered when the service fails."""

LAST_SECONDS: Final = 0.8
"""Seconds after a failure after which the process ends, even where a client or the disk does not answer."""


LAST_FLUSH: Final = 0.1
"""Seconds of these that whoever reads the log has."""

KEPT_BYTES: Final = 1 << 25
"""So much of what was freed stays at hand at the end of each thread's memory, until a quiet moment gives it
back (:mod:`nonzero_service.bodies.freed_memory`): the pages of bodies and batches are cleared once, and not
with each that comes. By default it is twice the largest block that was freed so far, which may be little."""


class Server(uvicorn.Server):
    """A server that says where it listens, and whose process ends with status 0 when it was told to stop."""

    failure: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Stop because of an error; what is in flight has less than half a second to be answered.

        From any thread. Nothing keeps the process from its end: not a log that cannot be written, nor want of
        memory for a thread.
        """
        if self.failure is None:
            self.failure = error
            self.should_exit = True
            try:
                _later(LAST_SECONDS, end_now)
                _later(LAST_WORDS, setattr, self, "force_exit", True)
            except BaseException:  # noqa: BLE001 - who cannot be given time has none
                os._exit(1)
            incidentally(self._say_stopping, error)

    @staticmethod
    def _say_stopping(error: Exception) -> None:
        if not isinstance(error, StartError):  # of which the log has said what there is to say
            known = isinstance(error.__cause__ or error, NonzeroError | OSError)
            log = structlog.get_logger("server")
            log.critical("stopping", reason=logs.described(error), exc_info=None if known else error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        # What is imported by now stays: a full collection that looked through it would stop every thread for
        # a tenth of a second, every few thousand requests.
        gc.freeze()
        await super().startup(sockets)
        if self.started:
            self.accept()
        for server in self.servers if self.started else ():
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                page = page_address(host, port, encrypted=self.config.is_ssl)
                structlog.get_logger("server").info("listening", host=host, port=port, page=page)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        await self._acceptor.close()
        await super().shutdown(sockets)

    def accept(self) -> None:
        """Take connections as fast as they come."""

        def connection() -> asyncio.Protocol:
            kind: Any = self.config.http_protocol_class
            made: asyncio.Protocol = kind(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        listening = [one for server in self.servers for one in server.sockets]
        self._acceptor = Acceptor(listening, connection, self.config.ssl, HANDSHAKE_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop when the requests in flight have ended; a second Ctrl-C does not wait for them."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def page_address(host: str, port: int, *, encrypted: bool = False) -> str:
    """Return the address of the page for a browser on this machine.

    Parameters
    ----------
    host, port
        What is listened on.
    encrypted
        Whether it speaks TLS.

    Examples
    --------
    >>> page_address("0.0.0.0", 8000), page_address("::1", 8000, encrypted=True)
    ('http://localhost:8000/', 'https://[::1]:8000/')
    """
    if host in ("0.0.0.0", "::"):  # noqa: S104 - any address, of which a browser needs one
        host = "localhost"
    return f"{'https' if encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def client_url(host: str, port: int, *, encrypted: bool) -> str:
    """Return where clients on other machines reach a service that listens on an address.

    Examples
    --------
    >>> client_url("10.0.0.7", 8000, encrypted=False), client_url("::1", 8000, encrypted=True)
    ('http://10.0.0.7:8000', 'https://[::1]:8000')
    """
    if host in ("0.0.0.0", "::"):  # noqa: S104 - any address, of which others need one
        host = socket.gethostname()
    return f"{'https' if encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _later(seconds: float, do: Callable[..., object], *args: object) -> None:
    """Do something later, beside the event loop and without keeping the process for it."""
    timer = threading.Timer(seconds, do, args)
    timer.daemon = True
    timer.start()


class Writer(Server):
    """The server of the process that learns: it has the workers too, if there are any.

    Parameters
    ----------
    settings
        All that there is to say.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pool = WorkerPool(settings)
        self.app = create_app(settings, self.fail, self.pool)
        service = self.app.service
        super().__init__(config_of(self.app, self.app.dispatcher, settings, service.metrics))
        if service.node is not None:
            service.node.join(self.app, service.bodies, service.metrics, self.server_state.tasks)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and have the workers begin."""
        await super().startup(sockets)
        if self.app.service.node is not None and self.started:
            self._take_part(self.app.service.node)
        if self.pool.sharing:
            service = self.app.service
            forwarded = ForwardServer(
                self.config.loaded_app,
                service.models,
                service.bodies,
                self.server_state.tasks,
                self.settings,
            )
            await self.pool.begin(self, forwarded.serve, service.metrics.add)

    def _take_part(self, node: ClusterNode) -> None:
        """Be one of several nodes."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        try:
            node.listen()
        except AddressError as error:
            self.fail(error)
        else:
            node.begin(client_url(host, port, encrypted=self.config.is_ssl))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, after the workers: what they have in flight is answered here."""
        incidentally(tell_systemd, STOPPING)
        if self.app.service.node is not None:
            self.app.service.node.stop()
        self.app.service.models.stop_by = time.monotonic() + self.settings.grace_seconds
        if self.failure is not None:
            self.pool.stop()
        else:
            left = await self.pool.end(self.settings.grace_seconds)
            # Any number of seconds, and the workers' are of the same time.
            self.config.timeout_graceful_shutdown = max(0.1, left)  # type: ignore[assignment]
        await super().shutdown(sockets)
        if self.app.service.node is not None:
            await self.app.service.node.close()


def serve(settings: Settings, passed_over: Iterable[str] = ()) -> None:
    """Serve until SIGTERM or Ctrl-C; then end the requests in flight and save the models.

    Parameters
    ----------
    settings
        All that there is to say.
    passed_over
        Variables of the environment that look like settings and are none, to be named in the log.

    Raises
    ------
    SystemExit
        With status 1 where the service cannot start, or failed; the log has said why.
    """
    logs.configure(settings.log_level, settings.log_format)
    try:
        if named := sorted(passed_over):
            structlog.get_logger("server").info("variables of Kubernetes are passed over", variables=named)
        try:
            if settings.otel == "on":
                tracing.configure()
            server = Writer(fitted(settings))
            load_certificate(server.config)
            sockets = server.pool.listen()
        except AddressError as error:
            _refuse("the address cannot be listened on", error)
        except (NonzeroError, OSError) as error:
            _refuse("the service cannot start", error)
        keep_freed(KEPT_BYTES)
        server.run(sockets)
        if server.failure is not None:
            raise SystemExit(1)
    finally:
        tracing.shutdown()
        logs.flush()


def _refuse(event: str, error: Exception) -> NoReturn:
    """End a start with one line that says why."""
    structlog.get_logger("server").error(event, reason=logs.described(error))
    raise SystemExit(1) from error


def end_now() -> None:
    """End this process, whatever its threads are at."""
    logs.flush(LAST_FLUSH)
    os._exit(1)
