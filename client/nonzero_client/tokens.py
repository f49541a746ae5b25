"""Tokens: read anew for each request, so that they can rotate, and shown nowhere."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Final

import httpx

from nonzero_client.errors import InputError

BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What RFC 6750 lets a token be. Anything else httpx would show in its error, or it ends the header."""

TokenSource = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Bearer(httpx.Auth):
    """Gives each request its token.

    A request that is answered 401 is sent once more where the token has changed meanwhile.

    Parameters
    ----------
    source
        The token, or what is called for it.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        if not callable(source):
            _checked(source)

    def __repr__(self) -> str:
        return "Bearer(...)"

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with its token."""
        before = self._put(request, self._now())
        response = yield request
        if response.status_code == 401 and self._put(request, self._now()) != before:
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with its token."""
        before = self._put(request, await self._awaited())
        response = yield request
        if response.status_code == 401 and self._put(request, await self._awaited()) != before:
            yield request

    def _put(self, request: httpx.Request, token: Any) -> int:
        """Put a token into a request; return its hash, which shows nothing."""
        request.headers["Authorization"] = f"Bearer {_checked(token)}"
        return hash(token)

    def _now(self) -> Any:
        found = self._source() if callable(self._source) else self._source
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise InputError("the token's function is asynchronous, which needs an AsyncClient")
        return found

    async def _awaited(self) -> Any:
        found = self._source() if callable(self._source) else self._source
        return await found if inspect.isawaitable(found) else found


class TokenFile:
    """Reads a token from a file; while that cannot be read, it is as it was.

    Parameters
    ----------
    path
        The file: the token, with or without a line end.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._last: str | None = None

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"

    def __call__(self) -> str:
        """Return the token.

        Raises
        ------
        InputError
            Where there was none yet, and the file cannot be read, or holds something else.
        """
        try:
            found = self._path.read_text("ascii").strip()
            said = "it is empty" if not found else "it holds something else than one token"
        except OSError as error:
            found, said = "", str(error.strerror)
        except UnicodeDecodeError:
            found, said = "", "it is not ASCII"
        if BEARER.fullmatch(found):
            self._last = found
        if self._last is None:
            raise InputError(f"the token file {self._path} cannot be used: {said}")
        return self._last


def bearer(token: TokenSource | None, token_file: str | os.PathLike[str] | None) -> Bearer | None:
    """Return what gives requests their token; None where there is none.

    Raises
    ------
    InputError
        Where both are given, or the token cannot be one.
    """
    if token is not None and token_file is not None:
        raise InputError("token and token_file are both given; give one")
    if token_file is not None:
        return Bearer(TokenFile(token_file))
    return None if token is None else Bearer(token)


def _checked(token: Any) -> str:
    """Return a token; what is wrong with one is said without it."""
    if isinstance(token, str) and BEARER.fullmatch(token):
        return token
    kind = "has characters that no token has" if isinstance(token, str) else f"is a {type(token).__name__}"
    raise InputError(f"the token {kind}; it is text of A-Z a-z 0-9 . _ ~ + / -")
