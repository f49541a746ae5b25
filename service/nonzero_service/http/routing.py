"""Routing: what each path and method needs of a request, and which route answers it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.types import Scope

from nonzero_service.http.tokens import ADMIN, PREDICT, UPDATE


class Need(Enum):
    """What a request needs.

    Attributes
    ----------
    scope
        The scope of its token; empty where any token will do, None where none is needed.
    work
        What it counts as. ``predict`` and ``update`` may be refused where there is too much to do, and are
        given up with their clients; ``manage`` may be refused; ``operate`` never is.
    """

    NOTHING = (None, "operate")
    METRICS = ("", "operate")
    READ = ("", "manage")
    MANAGE = (ADMIN, "manage")
    PREDICT = (PREDICT, "predict")
    UPDATE = (UPDATE, "update")

    def __init__(self, scope: str | None, work: str) -> None:
        self.scope = scope
        self.work = work


READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods by which nothing is changed."""

METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE")
"""Those that routes have, in the order in which they are named."""


@dataclass(frozen=True, eq=False)
class Route:
    """One method of one path.

    Parameters
    ----------
    method
        The method; a route of GET answers HEAD too.
    path
        The path's template, as ``/v1/models/{model}``: a segment in braces stands for any.
    need
        What a request needs.
    accepts
        The media types of its body; none where it reads no body.
    """

    method: str
    path: str
    need: Need
    accepts: tuple[str, ...] = ()


class Target(NamedTuple):
    """What a method and a path lead to."""

    route: Route | None
    """What answers; None where nothing does."""
    need: Need
    """What a request needs. Where nothing answers, ``admin`` for what would change something."""
    pattern: str
    """The path's template, for counts; "none" where there is no such path."""
    methods: tuple[str, ...]
    """The methods that the path has."""


DEFAULT_MODEL: Final = "default"
"""The model that a request is for that names none."""


def model_of(scope: Scope) -> str:
    """Return the name of the model that a request is for: its path says it, or its query."""
    named: str | None = scope["path_params"].get("model")
    if named is None and scope["query_string"]:
        named = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)).get("model")
    return DEFAULT_MODEL if named is None else named


UNKNOWN_TARGET: Final = Target(None, Need.MANAGE, "none", ())
"""Of a request that is counted without its route."""


@dataclass
class _Node:
    """The routes behind some segments of a path."""

    children: dict[str, _Node] = field(default_factory=dict)
    parameter: str = ""
    any: _Node | None = None
    """What stands behind any segment, which becomes the parameter."""
    path: str = ""
    routes: dict[str, Route] = field(default_factory=dict)
    """By method."""
    targets: dict[str, Target] = field(default_factory=dict)
    """By method, once it was asked for."""

    def target(self, method: str) -> Target:
        """Return what a method leads to."""
        route = self.routes.get(method)
        if route is not None:
            need = route.need
        elif method in READING:
            need = self.routes["GET"].need if "GET" in self.routes else Need.READ
        else:
            need = Need.MANAGE
        methods = tuple(method for method in METHODS if method in self.routes)
        return Target(route, need, self.path or "none", methods)


class RouteTable:
    """Finds routes by method and path.

    Parameters
    ----------
    routes
        All that there are.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._nowhere = _Node()
        self._mistyped: dict[str, Target] = {}
        for route in routes:
            node = self._root
            for segment in route.path.split("/")[1:]:
                if segment.startswith("{"):
                    node.parameter = segment.strip("{}")
                    node.any = node.any or _Node()
                    node = node.any
                else:
                    node = node.children.setdefault(segment, _Node())
            node.path = route.path
            node.routes[route.method] = route
            if route.method == "GET":
                node.routes["HEAD"] = route
            elif route.method == "POST":
                self._mistyped[route.path.rpartition("/")[2]] = Target(None, route.need, "none", ())

    def find(self, method: str, path: str) -> tuple[Target, dict[str, str]]:
        """Return what a method and a path lead to, and the path's parameters.

        Parameters
        ----------
        method, path
            Of a request, the path as ASGI has it.

        Returns
        -------
        target, parameters
            The parameters by their names in the route's path.
        """
        node = self._root
        parameters: dict[str, str] = {}
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None:
                child = node.any
                if child is None or not segment:
                    return self._not_found(method, path), {}
                parameters[node.parameter] = segment
            node = child
        target = node.targets.get(method)
        if target is None:  # there are as many methods as the parser of heads knows
            target = node.targets[method] = node.target(method)
        return target, parameters

    def _not_found(self, method: str, path: str) -> Target:
        """Return what a path leads to that there is not.

        Who mistypes the path of a POST is to hear that, and not that the token is for something else: so it
        needs what the POST needs that ends like it.
        """
        found = self._mistyped.get(path.rpartition("/")[2]) if method == "POST" else None
        return found or self._nowhere.target(method)
