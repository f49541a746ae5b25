"""What workers report to the writer: impressions that are to be kept.

These requests come over connections of their own, on which nothing is passed on for others.
"""

from __future__ import annotations

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nonzero_service.bodies.answers import send_json
from nonzero_service.bodies.body_reader import read_whole
from nonzero_service.problems import problem_of
from nonzero_service.service import Service
from nonzero_service.workers.mapped import Impressions

__all__ = ["Reports"]

LARGEST = 1 << 40
"""No bound: what is reported was bounded where it was read."""


class Reports:
    """The ASGI application that takes them.

    ``POST /impressions/{model}`` is answered when they are as durable as the settings ask for.

    Parameters
    ----------
    service
        The writer's parts.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = scope["path"].rpartition("/")[2]
        try:
            await self._keep(name, await read_whole(receive, LARGEST) or b"")
        except ClientDisconnect:  # the worker has ended in the middle
            return
        except Exception as error:  # noqa: BLE001 - the worker's client gets it
            problem = problem_of(error)
            await send_json(send, msgspec.json.encode(problem.detail), problem.status)
        else:
            await send_json(send, b'""')

    async def _keep(self, name: str, body: bytes) -> None:
        served = self.service.models.get(name)

        def keep() -> None:
            impressions = msgspec.msgpack.decode(body, type=Impressions)
            if impressions.shown:
                served.names.look(impressions.media, impressions.shown)
            served.keeper.keep(*impressions.decoded())

        await self.service.bodies.offload(len(body), keep)
        await served.keeper.synced()
