"""What FastAPI answers and describes: routes of its own, and those that are applications of ours."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from fastapi import Path as PathParameter
from fastapi import Query as QueryParameter
from fastapi.routing import APIRoute

from nonzero_service.api.queries import check_query, read_flag
from nonzero_service.models.data_directory import NAME
from nonzero_service.service import Service

ModelName = Annotated[str, PathParameter(pattern=f"^{NAME}$", description="The model's name.")]

ChallengerQuery = Annotated[
    str, QueryParameter(alias="with", pattern=f"^{NAME}$", description="The challenger's name.")
]

ChallengerOrNone = Annotated[
    str | None, QueryParameter(alias="with", pattern=f"^{NAME}$", description="Or in the body.")
]


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


CurrentService = Annotated[Service, Depends(_service)]
"""The service that an endpoint is of."""


class FrameworkRoute(APIRoute):
    """A route that answers HEAD where it answers GET; whoever sends the answer leaves its body out."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")


class StrictRoute(FrameworkRoute):
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
