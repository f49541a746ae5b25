"""The page: files that come with the package, which show in a browser what the other routes tell.

They need no framework: a page is asked for at once, and an open one is answered "not modified".
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from nonzero_service.http.head import Head
from nonzero_service.problems import Problem
from nonzero_service.service import Service

START: Final = "index.html"

# Scripts and styles are files of the service's, and text is never read as markup (Trusted Types).
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)

TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}


class PageFile(NamedTuple):
    """A file of the page, as it is sent."""

    content: bytes
    headers: list[tuple[bytes, bytes]]
    tag: bytes
    """Its entity tag: another content has another."""


@cache
def page_files() -> dict[str, PageFile]:
    """Return the files of the page by their names; they are read once.

    Examples
    --------
    >>> "index.html" in page_files()
    True
    """
    found = {}
    for file in files("nonzero_service").joinpath("page").iterdir():
        media = TYPES.get(PurePosixPath(file.name).suffix)
        if media is None:
            continue
        content = file.read_bytes()
        tag = b'"%b"' % hashlib.sha256(content).hexdigest()[:16].encode()
        # A browser asks each time, so that after an upgrade no file is of the release before.
        headers = [
            (b"content-type", media),
            (b"content-length", b"%d" % len(content)),
            (b"etag", tag),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", POLICY),
        ]
        found[file.name] = PageFile(content, headers, tag)
    return found


class Page:
    """``GET /`` and ``GET /page/{asset}``: the page and its parts."""

    def __init__(self, service: Service) -> None:
        """Take nothing of the service: what the page shows it asks for itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request.

        Raises
        ------
        Problem
            404 where the page has no such part.
        """
        file = page_files().get(scope["path_params"].get("asset", START))
        if file is None:
            raise Problem(404, "the page has no such part")
        status, content, headers = 200, file.content, file.headers
        if _knows(scope["head"], file.tag):
            status, content = 304, b""
            headers = [header for header in headers if header[0] not in (b"content-type", b"content-length")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _knows(head: Head, tag: bytes) -> bool:
    """Whether a browser has said that it has a content already."""
    told = head.get(b"if-none-match", b"")
    return told == b"*" or tag in (one.strip().removeprefix(b"W/") for one in told.split(b","))
