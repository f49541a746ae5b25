"""The front: what stands between the socket and the application, in the order in which a request meets it.

``connection`` takes bytes and finds requests in them; ``heads`` says which of these are none. ``guard`` lets
a request in, by its token (``access``, ``tokens``), by whose page asks (``origins``) and by the room that
there is (``admission``).
What is let in begins in its turn (``turns``), what is not is told so in a while (``refusing``).
A request that is whole by then may be answered at once; every other one becomes a task of the application.
``exchange`` is one request with its answer on the way through the application; ``answering`` is what every
answer says. ``watch`` ends what takes too long; ``accepting`` takes new connections beside the event loop.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

from nonzero_service.front.connection import Connection
from nonzero_service.front.shared import Front
from nonzero_service.metrics.counts import Counts
from nonzero_service.requests import AtOnce
from nonzero_service.settings import Settings

__all__ = ["connections"]


def connections(
    settings: Settings, counts: Counts, at_once: AtOnce = lambda _: False
) -> type[asyncio.Protocol]:
    """Return what makes connections, as ``uvicorn.Config(http=...)`` takes it.

    Parameters
    ----------
    settings
        Their bounds.
    counts
        Where what was refused before it was a request is counted.
    at_once
        Answers a request that is whole without a task, or takes it on; False where the application has to.
    """
    return cast(type[asyncio.Protocol], partial(Connection, Front(settings, counts, at_once)))
