"""The two drivers: requests over sockets, with and without an event loop.

All that is above them is written once, as coroutines. Those of the sync driver never wait for an event loop:
they do what they do, and return, so that :func:`run` runs what is above them from beginning to end.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread
import httpx

from nonzero_client.errors import InputError
from nonzero_client.messages import Answer, Broken, Limits, Request, Upload

T = TypeVar("T")

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)

_WAITS: Final = "the source waits for an event loop, as an asynchronous one does: that needs an AsyncClient"


class Driver(Protocol):
    """What sends requests, and waits."""

    def now(self) -> float:
        """Return the time by a clock that only goes forward, in seconds."""

    async def attempt(self, request: Request, limits: Limits) -> Answer | Broken:
        """Send a request once."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def aside(self, function: Callable[[], T], /) -> T:
        """Run what may wait for a disk."""

    async def close(self) -> None:
        """Close all connections."""


class SyncDriver:
    """Sends by :class:`httpx.Client`, in the thread that calls.

    Parameters
    ----------
    make
        Makes the client: again in a process that was forked, since two must not share connections.
    """

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        self._http = make()
        self._process = os.getpid()

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    async def attempt(self, request: Request, limits: Limits) -> Answer | Broken:
        """Send a request once. Where its answer trickles, the last byte may be late by the idle limit."""
        if self._process != os.getpid():
            self._http, self._process = self._make(), os.getpid()
        end = time.monotonic() + limits.total
        request.begin()
        try:
            made = self._http.build_request(**_arguments(request, limits), content=request.body or None)
            response = self._http.send(made, stream=True)
            try:
                pieces: list[bytes] = []
                for piece in response.iter_bytes():
                    if time.monotonic() > end:
                        return _late(limits)
                    _take(request, response, piece, pieces)
            finally:
                response.close()
        except httpx.RequestError as error:
            broken = _broken(error, limits)
        else:
            return _answer(response, pieces)
        return broken  # not within `except`: the exception knows the request, and that the token

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def aside(self, function: Callable[[], T], /) -> T:
        """Run it here."""
        return function()

    async def close(self) -> None:
        """Close all connections."""
        self._http.close()


class AsyncDriver:
    """Sends by :class:`httpx.AsyncClient`, on asyncio or trio.

    Parameters
    ----------
    make
        Makes the client: again in a process that was forked.
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        self._make = make
        self._http = make()
        self._process = os.getpid()

    def now(self) -> float:
        """Return the time."""
        return time.monotonic()

    async def attempt(self, request: Request, limits: Limits) -> Answer | Broken:
        """Send a request once."""
        if self._process != os.getpid():
            self._http, self._process = self._make(), os.getpid()
        request.begin()
        body = _AsyncUpload(request.body) if isinstance(request.body, Upload) else request.body or None
        try:
            with anyio.fail_after(limits.total):
                made = self._http.build_request(**_arguments(request, limits), content=body)
                response = await self._http.send(made, stream=True)
                try:
                    pieces: list[bytes] = []
                    async for piece in response.aiter_bytes():
                        if request.sink is None:
                            _take(request, response, piece, pieces)
                        else:
                            await self.aside(lambda piece=piece: _take(request, response, piece, pieces))  # type: ignore[misc]
                finally:
                    await response.aclose()
        except TimeoutError:
            broken = _late(limits)
        except httpx.RequestError as error:
            broken = _broken(error, limits)
        else:
            return _answer(response, pieces)
        return broken  # not within `except`, as above

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)

    async def aside(self, function: Callable[[], T], /) -> T:
        """Run it in a thread."""
        return await anyio.to_thread.run_sync(function)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def run(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for an event loop; return what it returns.

    Raises
    ------
    InputError
        Where it does wait: only a source that was given can have it do so.
    """
    # Thrown in, not only closed: before Python 3.13 a generator whose `anext` is closed cannot be closed.
    try:
        call.send(None)
        call.throw(InputError(_WAITS))
    except StopIteration as ended:
        value: T = ended.value
        return value
    call.close()
    raise InputError(_WAITS)


def iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Iterate over one that never waits for an event loop; close it at the end, or when it is given up."""
    try:
        while True:
            try:
                item = run(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(_close(items))


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items)


async def _close(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


def _arguments(request: Request, limits: Limits) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path.lstrip("/"),
        "params": dict(request.query) or None,
        "headers": request.headers,
        "timeout": httpx.Timeout(
            min(limits.idle, limits.total), connect=min(limits.connect, limits.total), pool=limits.total
        ),
    }


class _AsyncUpload:
    """An upload whose file is read in threads."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._upload)
        while piece := await anyio.to_thread.run_sync(next, pieces, b""):
            yield piece


def _take(request: Request, response: httpx.Response, piece: bytes, pieces: list[bytes]) -> None:
    if request.sink is not None and response.is_success:
        request.sink.write(piece)
    else:
        pieces.append(piece)


def _answer(response: httpx.Response, pieces: list[bytes]) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, b"".join(pieces), headers)


def _late(limits: Limits) -> Broken:
    return Broken(f"there was no whole answer within {limits.total:.3g} s", timed_out=True)


def _broken(error: httpx.RequestError, limits: Limits) -> Broken:
    """Say what became of a request that has no answer."""
    reached = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx.ConnectTimeout):
        return Broken(f"there was no connection within {limits.connect:.3g} s", reached, timed_out=True)
    if isinstance(error, httpx.PoolTimeout):
        return Broken("all connections were in use", reached, timed_out=True)
    if isinstance(error, httpx.TimeoutException):
        return Broken(f"nothing came for {min(limits.idle, limits.total):.3g} s", reached, timed_out=True)
    if isinstance(error, httpx.ConnectError):
        lasting = _is_untrusted(error)
        return Broken(f"there is no connection: {error}", reached, lasting=lasting)
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return Broken(f"the connection broke: {error or type(error).__name__}", reached)
    lasting = not isinstance(error, httpx.ProxyError)
    return Broken(f"{type(error).__name__}: {error}", reached, lasting=lasting)


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether it is the certificate, which no other attempt mends."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
