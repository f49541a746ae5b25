"""Heads: which requests are refused before the application hears of them.

The parser (llhttp, strict) refuses what is no HTTP/1.1: both Content-Length and Transfer-Encoding, lengths
that are no numbers, folded lines, NUL, bare CR or LF, bad chunks. Here is refused what it lets through and
two servers could read in two ways (RFC 9112, sections 3.2, 6.1 and 7.1.2).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

import httptools

from nonzero_service.front.limits import Limits
from nonzero_service.problems import Problem

__all__ = ["HOST", "Head", "Target", "framing_of", "head_of", "target_of", "too_large", "unreadable"]

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
        b"origin",
        b"transfer-encoding",
    }
)
"""Headers that must not come twice: nobody could say which of the two is meant."""

FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say where a body ends."""


class Head(NamedTuple):
    """What a head says of the way its message is sent."""

    expects_continue: bool
    """Whether the client waits for ``100 Continue`` before it sends the body."""
    length: int | None
    """The Content-Length; None for a body in chunks, 0 where there is none."""
    media: bytes
    """The Content-Type."""
    authorization: bytes | None
    """Who says that he may."""
    host: bytes | None
    """The Host; None where there is none, as HTTP/1.0 may have it."""
    origin: bytes | None
    """The Origin: whose page asks, where a browser says so."""


class Target(NamedTuple):
    """What a request is for, as ASGI has it."""

    path: str
    raw_path: bytes
    query: bytes


def head_of(version: str, url: bytes, headers: list[tuple[bytes, bytes]], limits: Limits) -> Head:
    """Check a head; the names are lower case.

    Raises
    ------
    Problem
        400, 431 or 505.
    """
    if version not in ("1.1", "1.0"):
        raise Problem(505, f"HTTP/{version} is not spoken here; HTTP/1.1 is")
    if len(headers) > limits.headers:
        raise Problem(431, f"there are {len(headers)} header lines; at most {limits.headers} are read")
    size = len(url)
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name in ONCE:
            if name in said:
                raise Problem(400, f"there is more than one {name.decode()}")
            said[name] = value
    if size > limits.header_bytes:
        raise too_large(limits)
    _check_host(said.get(b"host"), version)
    length: int | None = int(said.get(b"content-length", b"0"))
    coding = said.get(b"transfer-encoding")
    if coding is not None:
        _check_coding(coding, version)
        length = None
    expects = said.get(b"expect", b"").lower() == b"100-continue"
    return Head(
        expects,
        length,
        said.get(b"content-type", b""),
        said.get(b"authorization"),
        said.get(b"host"),
        said.get(b"origin"),
    )


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


def target_of(url: bytes) -> Target:
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
    return Target(path, raw_path, parsed.query or b"")


def too_large(limits: Limits) -> Problem:
    """Return the problem of a head that is too long."""
    return Problem(431, f"the head of a request has at most {limits.header_bytes} bytes")


def unreadable(error: httptools.HttpParserError) -> Problem:
    """Return the problem of bytes that are no HTTP: the parser's reason, nothing of what was sent."""
    return Problem(400, f"this is not HTTP/1.1: {str(error)[:80]}")
