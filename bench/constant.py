"""What a request costs at least as an ASGI application: our server and middleware, an answer always the same.

``python -m bench.constant PORT``
"""

from __future__ import annotations

import sys
import tempfile

import uvicorn
from starlette.types import Receive, Scope, Send

from nonzero_service import logs
from nonzero_service.bodies.answers import send_json
from nonzero_service.http.dispatch import Dispatcher, way_of
from nonzero_service.http.routing import Need, Route, RouteTable
from nonzero_service.listening import config_of
from nonzero_service.models.metrics import ServiceMetrics
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from nonzero_service.workers.pool import WorkerPool

ANSWER = b'{"model":"default","predictions":[{"probability":0.0340000018}],"sequence":4711}'


async def answer(_: Scope, receive: Receive, send: Send) -> None:
    """Read the body, decode nothing."""
    message = await receive()
    while message.get("more_body", False):
        message = await receive()
    await send_json(send, ANSWER)


def main() -> None:
    logs.configure("info", "json")  # as the service does: requests that go well are not logged
    settings = Settings.load(data_dir=tempfile.gettempdir())
    metrics = ServiceMetrics(Models(settings, lambda _: None), WorkerPool(settings))  # it has none
    routes = [
        Route("POST", f"/v1/models/{{model}}/{action}", Need.PREDICT) for action in ("predict", "update")
    ]
    dispatcher = Dispatcher(RouteTable(routes), way_of(dict.fromkeys(routes, answer)), metrics)
    config = config_of(dispatcher, dispatcher, settings, metrics, "off")
    config.port = int(sys.argv[1])
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
