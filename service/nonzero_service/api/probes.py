"""Probes: alive and ready. They are answered from the first moment on, and while there is much to do."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from nonzero_service.bodies.answers import send_json
from nonzero_service.service import Service


class AliveProbe:
    """``GET /healthz``: says that the process is alive."""

    def __init__(self, service: Service) -> None:
        """Take nothing of the service: it is alive whatever its parts do."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request."""
        await send_json(send, b'{"status":"ok"}')


class ReadyProbe:
    """``GET /readyz``: says whether the service is ready, its models open and nothing left to warm up."""

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
        self.service.pool.check_ready()
        await send_json(send, b'{"status":"ready"}')
