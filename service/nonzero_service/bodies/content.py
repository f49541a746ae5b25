"""Content: what a request says of its body, and of the answer it wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from starlette.types import Scope

from nonzero_service.http.head import Head
from nonzero_service.journal.keys import MAX_KEY
from nonzero_service.media_types import JSON, NDJSON
from nonzero_service.problems import Problem

WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
"""How much a type is liked in an Accept header."""


class Content(NamedTuple):
    """What a head says of the body, and of the answer."""

    media: str
    """The Content-Type, lower case, without parameters."""
    encoding: str
    """The Content-Encoding, lower case."""
    wants_lines: bool
    """Whether an answer of lines is wanted, rather than one of JSON."""
    key: str | None
    """The Idempotency-Key."""
    hold: Callable[[int], None]
    """To be told how many bytes the body holds in all; it raises a problem where there is no room."""
    headless: bool = False
    """Whether a table says that it has no header (RFC 4180)."""


def content_of(scope: Scope) -> Content:
    """Return what a request says of its body.

    Raises
    ------
    Problem
        415 for a charset other than UTF-8, 422 for an Idempotency-Key that is too long.
    """
    head: Head = scope["head"]
    media, charset, header = _media_of(head.get(b"content-type", b""))
    if charset is not None:
        raise Problem(415, f"bodies are read as UTF-8, not as {charset!r}")
    key = head.get(b"idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise Problem(422, f"an Idempotency-Key has 1 to {MAX_KEY} characters, not {len(key)}")
    return Content(
        media,
        head.get(b"content-encoding", b"").decode("latin-1").strip().lower(),
        _wants_lines(head.get(b"accept", b"")),
        None if key is None else key.decode("latin-1"),
        scope.get("hold", _hold_nothing),
        header == "absent",
    )


def is_plain_json(scope: Scope) -> bool:
    """Whether a request says no more of itself than that its body is JSON."""
    head: Head = scope["head"]
    return (
        _media_of(head.get(b"content-type", b""))[:2] == (JSON, None)
        and not scope["query_string"]
        and head.get(b"content-encoding") is None
        and head.get(b"idempotency-key") is None
    )


def _hold_nothing(_nbytes: int) -> None:
    """Hold what nobody counts."""


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
def _media_of(content_type: bytes) -> tuple[str, str | None, str]:
    """Return a Content-Type without parameters, a charset that is not UTF-8, and what is said of a header."""
    media, _, parameters = content_type.decode("latin-1").lower().partition(";")
    charset, header = None, ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8", "us-ascii", "ascii"):
            charset = charset or value.strip()
        elif name.strip() == "header":
            header = value.strip(' "')
    return media.strip(), charset, header


def unknown_type(media: str, known: Iterable[str]) -> Problem:
    """Return the problem of a Content-Type that is not read."""
    said = f"the Content-Type {media!r} is not read" if media else "there is no Content-Type"
    read = ", ".join(known)
    return Problem(415, f"{said}; send {read}", headers=((b"accept-post", read.encode()),))
