"""What a request says of its body, and of the answer it wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from starlette.types import Scope

from nonzero.formats.registry import FORMATS
from nonzero_service.learning.idempotency import MAX_KEY
from nonzero_service.problems import Problem

__all__ = ["JSON", "NDJSON", "STREAMS", "Headers", "headers_of", "is_plain_json", "unknown_type"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

STREAMS: Final = {entry.media_type: name for name, entry in FORMATS.items() if entry.media_type}
"""Content-Type -> format, of the bodies that are streams of lines."""


WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
"""How much a type is liked in an Accept header."""


class Headers(NamedTuple):
    """The headers that matter."""

    media: str
    """The Content-Type, lower case, without parameters."""
    encoding: str
    """The Content-Encoding, lower case."""
    wants_lines: bool
    """Whether an answer of lines is wanted, rather than one of JSON."""
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
    media = encoding = ""
    accept: list[bytes] = []
    key = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = _media_of(value)
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
        elif name == b"accept":
            accept.append(value)
        elif name == b"idempotency-key":
            key = value.decode("latin-1")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise Problem(422, f"an Idempotency-Key has 1 to {MAX_KEY} characters, not {len(key)}")
    wants_lines = bool(accept) and _wants_lines(b",".join(accept))
    return Headers(media, encoding, wants_lines, key, scope.get("hold", Headers._field_defaults["hold"]))


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


@lru_cache(64)
def _wants_lines(accept: bytes) -> bool:
    """Whether an Accept header names NDJSON, and likes it no less than JSON (RFC 9110, section 12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        given = (WEIGHT.fullmatch(parameter) for parameter in parameters)
        weights[media] = min((float(weight[1]) for weight in given if weight), default=1.0)
    of_lines = weights.get(NDJSON, 0.0)
    of_json = next((weights[one] for one in (JSON, "application/*", "*/*") if one in weights), 0.0)
    return of_lines > 0 and of_lines >= of_json


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
