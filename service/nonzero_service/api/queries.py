"""Queries: the parameters in a request's target. One that nobody knows would do nothing, in silence."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import Scope

from nonzero_service.problems import Problem

SHOWN: Final = 64
"""So much of a name or value is repeated in a problem, in characters."""


def check_query(scope: Scope, known: Collection[str]) -> dict[str, str]:
    """Return the parameters of a query.

    Parameters
    ----------
    scope
        The request.
    known
        The names that its route has.

    Raises
    ------
    Problem
        422 for a name that is not known, or comes twice.
    """
    found: dict[str, str] = {}
    if not scope["query_string"]:
        return found
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise Problem(422, f"there is no query parameter {name[:SHOWN]!r}; {_nearest(name, known)}")
        if name in found:
            raise Problem(422, f"the query parameter {name} is given twice; say it once")
        found[name] = value
    return found


def flag_of(scope: Scope, name: str) -> bool:
    """Return whether a query sets the one flag that its route has.

    Raises
    ------
    Problem
        422 for another parameter, and for what is neither true nor false.
    """
    return read_flag(name, check_query(scope, (name,)).get(name, "false"))


def read_flag(name: str, value: str) -> bool:
    """Return whether a flag is set.

    Raises
    ------
    Problem
        422 for what is neither true nor false.
    """
    if value not in ("true", "false"):
        raise Problem(422, f"{name} is true or false, not {value[:SHOWN]!r}")
    return value == "true"


def _nearest(name: str, known: Collection[str]) -> str:
    if not known:
        return "this path takes none"
    nearest = get_close_matches(name[:SHOWN], known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"this path takes {', '.join(sorted(known))}"
