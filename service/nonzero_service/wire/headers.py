"""What a request says of its body, and of the answer it wants."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from starlette.types import Scope

from nonzero_service.learning.idempotency import MAX_KEY
from nonzero_service.problems import Problem

__all__ = ["JSON", "NDJSON", "STREAMS", "Headers", "flag_of", "headers_of", "is_plain_json", "unknown_type"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

STREAMS: Final = {NDJSON: "ndjson", "text/x-vw": "vw", "text/x-libsvm": "libsvm"}
"""Content-Type -> format, of the bodies that are streams of lines."""


class Headers(NamedTuple):
    """The headers that matter."""

    media: str
    """The Content-Type, lower case, without parameters."""
    encoding: str
    """The Content-Encoding, lower case."""
    accept: str
    """The Accept header, lower case."""
    key: str | None = None
    """The Idempotency-Key."""
    hold: Callable[[int], None] = lambda _: None
    """To be told how many bytes the body holds in all; it raises a problem where there is no room."""


def headers_of(scope: Scope) -> Headers:
    """Read the headers that say how a body is to be read.

    Raises
    ------
    Problem
        415 for a charset other than UTF-8, 422 for an Idempotency-Key that is too long.
    """
    media = encoding = accept = ""
    key = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = _media_of(value)
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
        elif name == b"accept":
            accept = value.decode("latin-1").lower()
        elif name == b"idempotency-key":
            key = value.decode("latin-1")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise Problem(422, f"an Idempotency-Key has 1 to {MAX_KEY} characters, not {len(key)}")
    return Headers(media, encoding, accept, key, scope.get("hold", Headers._field_defaults["hold"]))


def is_plain_json(scope: Scope) -> bool:
    """Whether a request says no more of itself than that its body is JSON.

    Raises
    ------
    Problem
        415 for a charset other than UTF-8.
    """
    said = dict(scope["headers"])
    return (
        _media_of(said.get(b"content-type", b"")) == JSON
        and not scope["query_string"]
        and b"content-encoding" not in said
        and b"idempotency-key" not in said
    )


def flag_of(scope: Scope, name: str) -> bool:
    """Return whether the query sets a flag.

    Raises
    ------
    Problem
        422 for what is neither true nor false.
    """
    query = scope["query_string"]
    if not query:
        return False
    value = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(name, ["false"])[-1]
    if value not in ("true", "false"):
        raise Problem(422, f"{name} is true or false, not {value!r}")
    return bool(value == "true")


@lru_cache(64)
def _media_of(content_type: bytes) -> str:
    media, _, parameters = content_type.decode("latin-1").lower().partition(";")
    _check_charset(parameters)
    return media.strip()


def unknown_type(media: str, *known: str) -> Problem:
    """Return the problem of a Content-Type that is not read."""
    said = f"the Content-Type {media!r} is not read" if media else "there is no Content-Type"
    return Problem(
        415, f"{said}; send {', '.join(known)}", headers=((b"accept-post", ", ".join(known).encode()),)
    )


def _check_charset(parameters: str) -> None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8", "us-ascii", "ascii"):
            raise Problem(415, f"bodies are read as UTF-8, not as {value.strip()!r}")
