"""A client of either kind, used as the sync one is: each test holds both to the same."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from nonzero_client import AsyncClient, Client

__all__ = ["Calling", "calling"]

Calling = Client
"""As a test sees it, whichever it is."""


class _Awaiting:
    """Calls an asynchronous client from code that has no event loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._runner = asyncio.Runner()
        self.inner = self._runner.run(self._made(*args, **kwargs))

    async def _made(self, *args: Any, **kwargs: Any) -> AsyncClient:
        return AsyncClient(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self.inner)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found = getattr(self.inner, name)(*args, **kwargs)
            if inspect.isawaitable(found):
                return self._runner.run(_awaited(found))
            return self._each(found)

        return call

    def _each(self, items: AsyncIterator[Any]) -> Any:
        try:
            while True:
                try:
                    yield self._runner.run(_awaited(anext(items)))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(items.aclose())  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self.inner.close())
        self._runner.close()


async def _awaited(found: Any) -> Any:
    return await found


def calling(kind: type[Client | AsyncClient], *args: Any, **kwargs: Any) -> Calling:
    """Make a client of a kind."""
    made: Any = Client(*args, **kwargs) if kind is Client else _Awaiting(*args, **kwargs)
    return made  # type: ignore[no-any-return]
