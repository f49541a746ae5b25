"""Heads: which requests are refused before the application hears of them.

The parser (llhttp, strict) refuses what is no HTTP/1.1: both Content-Length and Transfer-Encoding, lengths
that are no numbers, folded lines, NUL, bare CR or LF, bad chunks. Here is refused what it lets through and
two servers could read in two ways (RFC 9112, sections 3.2, 6.1 and 7.1.2).
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

import httptools

from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from nonzero_service.tracing.trace_context import TraceContext, read_traceparent

HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""A Host: a name or an address, perhaps empty, perhaps with a port (RFC 3986, section 3.2.2)."""

ENCODED_SLASH: Final = re.compile(rb"%2[Ff]")

ONCE: Final = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"nonzero-min-sequence",
        b"origin",
        b"transfer-encoding",
    }
)
"""Headers that must not come twice: nobody could say which of the two is meant."""

READ: Final = ONCE | {
    b"accept",
    b"content-encoding",
    b"idempotency-key",
    b"if-none-match",
    b"sec-fetch-site",
    b"traceparent",
    b"x-request-id",
}
"""Headers that anything here reads. What a client says twice of the others counts as it was said last, but
for Accept, which is a list, X-Request-ID, and traceparent, which is not valid then."""

REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")
"""An X-Request-ID that is taken over: printable ASCII."""

_made_ids: Final = itertools.count(secrets.randbits(63))
"""Requests without an id of their own are numbered, from where no other process does."""

FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say where a body ends."""


class Head:
    """The headers that anything reads, found by one look through all of them.

    Parameters
    ----------
    headers
        All headers; the names are lower case.

    Raises
    ------
    Problem
        400 for one that came twice and must not.
    """

    __slots__ = ("get", "length", "size")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        size = 0
        said: dict[bytes, bytes] = {}
        for name, value in headers:
            size += len(name) + len(value) + 4
            if name in READ:
                if name in said:
                    if name in ONCE:
                        raise Problem(400, f"there is more than one {name.decode()}")
                    if name == b"accept":
                        value = said[name] + b"," + value
                    elif name == b"x-request-id":
                        continue
                    elif name == b"traceparent":
                        value = b""
                said[name] = value
        self.get = said.get
        """Returns the value of a header, by its name in lower case; None where there is none."""
        self.size = size
        """Bytes of the header lines."""
        self.length = None if b"transfer-encoding" in said else int(said.get(b"content-length", b"0"))
        """The Content-Length; None for a body in chunks, 0 where there is none."""

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body."""
        return self.get(b"expect", b"").lower() == b"100-continue"

    def trace_context(self) -> TraceContext | None:
        """Return the span that the request was made in; None where no valid traceparent says it."""
        said = self.get(b"traceparent")
        return None if said is None else read_traceparent(said)

    def request_id(self) -> bytes:
        """Return the request's own id where it has one that is taken over, else a new one."""
        given = self.get(b"x-request-id")
        return given if given is not None and REQUEST_ID.fullmatch(given) else made_request_id()


def made_request_id() -> bytes:
    """Return an id for a request that has none."""
    return b"%016x" % next(_made_ids)


class Location(NamedTuple):
    """What a request is for, as ASGI has it."""

    path: str
    raw_path: bytes
    query: bytes


def head_of(version: str, url: bytes, headers: list[tuple[bytes, bytes]], settings: Settings) -> Head:
    """Read and check a head; the names are lower case.

    Raises
    ------
    Problem
        400, 431 or 505.
    """
    if version not in ("1.1", "1.0"):
        raise Problem(505, f"HTTP/{version} is not spoken here; HTTP/1.1 is")
    if len(headers) > settings.max_headers:
        raise Problem(431, f"there are {len(headers)} header lines; at most {settings.max_headers} are read")
    head = Head(headers)
    if len(url) + head.size > settings.max_header_bytes:
        raise too_large(settings)
    _check_host(head.get(b"host"), version)
    if head.length is None:
        _check_coding(head.get(b"transfer-encoding", b""), version)
    return head


def framing_of(headers: list[tuple[bytes, bytes]], *, last: bool) -> bytes:
    """Return a head that frames the same body, and offers no other protocol.

    Parameters
    ----------
    headers
        Those of a head that was checked; the names are lower case.
    last
        Whether no request follows.
    """
    lines = [b"POST / HTTP/1.1"]
    lines += [name + b": " + value for name, value in headers if name in FRAMING]
    if last:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", b""])


def _check_host(value: bytes | None, version: str) -> None:
    if value is None:
        if version == "1.1":
            raise Problem(400, "there is no Host")
    elif not HOST.fullmatch(value):
        raise Problem(400, "the Host is not a name or an address, with or without a port")


def _check_coding(value: bytes, version: str) -> None:
    if value.lower() != b"chunked" or version == "1.0":
        raise Problem(400, "the only Transfer-Encoding that is read is chunked, of HTTP/1.1")


def location_of(url: bytes) -> Location:
    """Take a request's target apart; the authority of an absolute one is passed over.

    Raises
    ------
    Problem
        400.
    """
    try:
        parsed = httptools.parse_url(url)
        raw_path = parsed.path or b"/"
        path = raw_path.decode("ascii")
    except (httptools.HttpParserError, UnicodeDecodeError) as error:
        raise Problem(400, "the request's target is no path") from error
    if "%" in path:
        # A slash that is encoded is no separator (RFC 3986, section 2.2): decoded once, it is still encoded.
        raw_path = ENCODED_SLASH.sub(b"%252F", raw_path)
        path = unquote(raw_path.decode("ascii"))
    return Location(path, raw_path, parsed.query or b"")


def too_large(settings: Settings) -> Problem:
    """Return the problem of a head that is too long."""
    return Problem(431, f"the head of a request has at most {settings.max_header_bytes} bytes")


def unreadable(error: httptools.HttpParserError) -> Problem:
    """Return the problem of bytes that are no HTTP: the parser's reason, nothing of what was sent."""
    return Problem(400, f"this is not HTTP/1.1: {str(error)[:80]}")
