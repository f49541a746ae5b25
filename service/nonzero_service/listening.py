"""Where and how HTTP is spoken: uvicorn's settings, and the sockets of an address that processes share."""

from __future__ import annotations

import asyncio
import socket
import ssl
from errno import EADDRINUSE
from functools import partial
from pathlib import Path
from typing import Literal, cast

import uvicorn
from starlette.types import ASGIApp

from nonzero.errors import SettingsError
from nonzero_service.errors import AddressError
from nonzero_service.http.connection import Connection
from nonzero_service.http.context import ServerContext
from nonzero_service.http.dispatch import Dispatcher
from nonzero_service.metrics.counts import Counts
from nonzero_service.settings import Settings

Lifespan = Literal["auto", "on", "off"]


def config_of(
    app: ASGIApp, dispatcher: Dispatcher, settings: Settings, counts: Counts, lifespan: Lifespan = "auto"
) -> uvicorn.Config:
    """Return how requests are served to everyone.

    Parameters
    ----------
    app
        What lives as long as the server.
    dispatcher
        What has requests answered.
    settings
        Where, and within which bounds.
    counts
        Told of what was no request.
    lifespan
        As uvicorn has it.
    """
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=cast(type[asyncio.Protocol], partial(Connection, ServerContext(settings, counts, dispatcher))),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        timeout_graceful_shutdown=round(settings.grace_seconds),
    )


def load_certificate(config: uvicorn.Config) -> None:
    """Load all that a configuration names: of this only certificates can fail.

    Raises
    ------
    SettingsError
        Where certificate or key cannot be used.
    """
    named = [Path(path) for path in (config.ssl_certfile, config.ssl_keyfile) if path is not None]
    for path in named:
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        config.load()
    except ssl.SSLError as error:
        raise SettingsError(
            f"{' and '.join(map(str, named))}: no certificate with its key, both in PEM: {error}"
        ) from error


def listen(host: str, port: int, shared: bool = True) -> list[socket.socket]:
    """Bind every address that a host's name stands for.

    Parameters
    ----------
    host, port
        Where.
    shared
        Whether :func:`beside` is to bind them again.

    Raises
    ------
    AddressError
        Where one of them is taken, by a service of several processes too, or cannot be bound.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            try:
                sock = _socket(family)
            except OSError:  # the system has no such addresses, such as IPv6
                continue
            bound.append(sock)
            sock.bind(address)
            # Only now: an address that another service shares among its processes is taken.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    except OSError as error:
        for sock in bound:
            sock.close()
        hint = "; end what listens there, or give another --port" if error.errno == EADDRINUSE else ""
        raise AddressError(f"port {port} of {host}: {error.strerror or error}{hint}") from error
    if not bound:
        raise AddressError(f"port {port} of {host}: this system has no addresses of its kind")
    return bound


def beside(listener: socket.socket) -> socket.socket:
    """Return another socket of the same address: the system spreads connections over those that listen."""
    sock = _socket(listener.family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(listener.getsockname())
    return sock


def _socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock
