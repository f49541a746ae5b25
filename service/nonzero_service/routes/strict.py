"""Routes that the framework answers, with what it leaves out: HEAD, and queries that nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from nonzero_service.wire.queries import check_query, read_flag

__all__ = ["Route", "StrictRoute"]


class Route(APIRoute):
    """A route that answers HEAD where it answers GET; whoever sends the answer leaves its body out."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")


class StrictRoute(Route):
    """Such a route that refuses query parameters which it does not have."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        handle = super().get_route_handler()
        known = {
            parameter.alias: parameter.field_info.annotation is bool
            for parameter in self.dependant.query_params
        }

        async def checked(request: Request) -> Response:
            for name, value in check_query(request.scope, known.keys()).items():
                if known[name]:
                    read_flag(name, value)
            return await handle(request)

        return checked
