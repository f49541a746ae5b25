"""Probes: alive and ready, in each protocol. They are answered from the first moment on, in any load."""

from __future__ import annotations

from typing import ClassVar

from starlette.types import Receive, Scope, Send

from nonzero import __version__
from nonzero_service.bodies.answers import CONTENT_JSON, CONTENT_TEXT, send_whole
from nonzero_service.service import Service


class AliveProbe:
    """``GET /healthz``: says that the process is alive."""

    content: ClassVar = CONTENT_JSON
    body: ClassVar = b'{"status":"ok"}'

    def __init__(self, service: Service) -> None:
        """Take nothing of the service: it is alive whatever its parts do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        await send_whole(send, self.content, self.body)


class ReadyProbe:
    """``GET /readyz``: says whether the service is ready, its models open and nothing left to warm up."""

    content: ClassVar = CONTENT_JSON
    body: ClassVar = b'{"status":"ready"}'

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request.

        Raises
        ------
        NotReadyError
            While it is not.
        """
        self.service.models.check_ready()
        self.service.models.check_current()
        self.service.pool.check_ready()
        await send_whole(send, self.content, self.body)


class ServerLive(AliveProbe):
    """``GET /v2/health/live``, of the Open Inference Protocol."""

    body = b'{"live":true}'


class ServerReady(ReadyProbe):
    """``GET /v2/health/ready``, of the Open Inference Protocol, whose text has ``live`` in the answer."""

    body = b'{"live":true,"ready":true}'


class ServerMetadata(AliveProbe):
    """``GET /v2``, of the Open Inference Protocol: what this server is."""

    body = b'{"name":"nonzero","version":"%b","extensions":[]}' % __version__.encode()


class PingProbe(ReadyProbe):
    """``GET /ping`` and ``GET /health``, of MLflow's scoring protocol: a newline says that all is well."""

    content = CONTENT_TEXT
    body = b"\n"


class ServerVersion(AliveProbe):
    """``GET /version``, of MLflow's scoring protocol: the version of this server."""

    content = CONTENT_TEXT
    body = __version__.encode()
