"""Client and AsyncClient: the same calls, over the two drivers."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import httpx

from nonzero_client.calls import Calls
from nonzero_client.drivers import AsyncDriver, SyncDriver, iterate, run
from nonzero_client.errors import InputError
from nonzero_client.exchange import Exchange
from nonzero_client.messages import FileName
from nonzero_client.tokens import TokenSource, bearer
from nonzero_client.version import __version__

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0
DEADLINE: Final = 120.0


def _now(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(call)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(call(self._calls, *args, **kwargs))

    return method


def _each_now(
    call: Callable[Concatenate[Calls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    @functools.wraps(call)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return iterate(call(self._calls, *args, **kwargs))

    return method


def _awaited(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @functools.wraps(call)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await call(self._calls, *args, **kwargs)

    return method


def _each_awaited(
    call: Callable[Concatenate[Calls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    @functools.wraps(call)
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return call(self._calls, *args, **kwargs)

    return method


class Client:
    """A client of a service; its calls wait for their answers. Threads may share one.

    Parameters
    ----------
    url
        The service's address, such as ``http://127.0.0.1:8000``.
    token
        The token, or a function that returns it, which is called for each request.
    token_file
        A file that holds the token, which is read for each request: so it can rotate.
    deadline
        Seconds in which a call must be answered, however often it is tried. A call may say its own. Of a
        stream each batch has so many.
    connect_seconds
        How long one attempt may wait for a connection.
    read_seconds
        How long one attempt may wait for a byte of its answer.
    ssl_context
        What certificates are trusted, and shown; the system's where it is not given.
    trust_env
        Whether proxies come from the environment (``HTTP_PROXY``, ``NO_PROXY``).
    transport
        What sends in the place of httpx's own, such as ``httpx.HTTPTransport(uds="nonzero.sock")``.

    Raises
    ------
    InputError
        Where one of these cannot be used.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8000", deadline=10) as client:
    ...     client
    Client('http://127.0.0.1:8000')
    """

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource | None = None,
        token_file: FileName | None = None,
        deadline: float = DEADLINE,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = _checked(url)
        settings = _settings(self._url, ssl_context, trust_env)
        auth = bearer(token, token_file)
        driver = SyncDriver(lambda: httpx.Client(auth=auth, transport=transport, **settings))
        self._calls = Calls(Exchange(driver, self._url, connect_seconds, read_seconds, deadline))
        self._driver = driver

    update = _now(Calls.update)
    update_stream = _now(Calls.update_stream)
    labels = _now(Calls.labels)
    label_stream = _now(Calls.label_stream)
    predict = _now(Calls.predict)
    predict_one = _now(Calls.predict_one)
    predict_candidates = _now(Calls.predict_candidates)
    predict_stream = _each_now(Calls.predict_stream)
    explain = _now(Calls.explain)
    list_models = _now(Calls.list_models)
    get_model = _now(Calls.get_model)
    create_model = _now(Calls.create_model)
    import_model = _now(Calls.import_model)
    delete_model = _now(Calls.delete_model)
    metrics = _now(Calls.metrics)
    history = _now(Calls.history)
    source = _now(Calls.source)
    diagnosis = _now(Calls.diagnosis)
    remedy = _now(Calls.remedy)
    resume = _now(Calls.resume)
    comparison = _now(Calls.comparison)
    promote = _now(Calls.promote)
    take_snapshot = _now(Calls.take_snapshot)
    download_snapshot = _now(Calls.download_snapshot)
    is_ready = _now(Calls.is_ready)
    wait_until_ready = _now(Calls.wait_until_ready)

    def close(self) -> None:
        """Close all connections; it can be used no more."""
        run(self._driver.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._url!r})"


class AsyncClient:
    """A client of a service; its calls are awaited, on asyncio or trio.

    It has the calls of :class:`Client`. A stream may be an asynchronous iterable too, and
    :meth:`predict_stream` is one.

    Parameters
    ----------
    url
        The service's address, such as ``http://127.0.0.1:8000``.
    token
        The token, or a function that returns it, which is called for each request, and may be asynchronous.
    token_file, deadline, connect_seconds, read_seconds, ssl_context, trust_env
        As for :class:`Client`.
    transport
        What sends in the place of httpx's own, such as ``httpx.AsyncHTTPTransport(uds="nonzero.sock")``.

    Raises
    ------
    InputError
        Where one of these cannot be used.

    Examples
    --------
    >>> AsyncClient("http://127.0.0.1:8000", deadline=10)
    AsyncClient('http://127.0.0.1:8000')
    """

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource | None = None,
        token_file: FileName | None = None,
        deadline: float = DEADLINE,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = _checked(url)
        settings = _settings(self._url, ssl_context, trust_env)
        auth = bearer(token, token_file)
        driver = AsyncDriver(lambda: httpx.AsyncClient(auth=auth, transport=transport, **settings))
        self._calls = Calls(Exchange(driver, self._url, connect_seconds, read_seconds, deadline))
        self._driver = driver

    update = _awaited(Calls.update)
    update_stream = _awaited(Calls.update_stream)
    labels = _awaited(Calls.labels)
    label_stream = _awaited(Calls.label_stream)
    predict = _awaited(Calls.predict)
    predict_one = _awaited(Calls.predict_one)
    predict_candidates = _awaited(Calls.predict_candidates)
    predict_stream = _each_awaited(Calls.predict_stream)
    explain = _awaited(Calls.explain)
    list_models = _awaited(Calls.list_models)
    get_model = _awaited(Calls.get_model)
    create_model = _awaited(Calls.create_model)
    import_model = _awaited(Calls.import_model)
    delete_model = _awaited(Calls.delete_model)
    metrics = _awaited(Calls.metrics)
    history = _awaited(Calls.history)
    source = _awaited(Calls.source)
    diagnosis = _awaited(Calls.diagnosis)
    remedy = _awaited(Calls.remedy)
    resume = _awaited(Calls.resume)
    comparison = _awaited(Calls.comparison)
    promote = _awaited(Calls.promote)
    take_snapshot = _awaited(Calls.take_snapshot)
    download_snapshot = _awaited(Calls.download_snapshot)
    is_ready = _awaited(Calls.is_ready)
    wait_until_ready = _awaited(Calls.wait_until_ready)

    async def close(self) -> None:
        """Close all connections; it can be used no more."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._url!r})"


def _checked(url: str) -> str:
    """Return an address; what is wrong with one is said without what it may hold of secrets."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(f"the address is no URL: {error}") from error
    if found.userinfo:
        raise InputError("the address has a user and a password; take them out, and give a token")
    if found.scheme not in ("http", "https") or not found.host or found.query or found.fragment:
        shown = str(found.copy_with(query=None, fragment=None))
        raise InputError(f"the address is {shown!r}; it is one such as http://127.0.0.1:8000, and no more")
    return str(found).rstrip("/")


def _settings(url: str, ssl_context: ssl.SSLContext | None, trust_env: bool) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": {"User-Agent": f"nonzero-client/{__version__}"},
        "verify": ssl_context or _trusted(trust_env),
        "trust_env": trust_env,
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60),
    }


@functools.cache
def _trusted(trust_env: bool) -> ssl.SSLContext:
    """Return what trusts the usual authorities: to read them takes longer than all else of a new client."""
    return httpx.create_ssl_context(trust_env=trust_env)
