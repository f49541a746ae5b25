"""The budget of descriptors: how many connections and models there may be under the limit of open files."""

from __future__ import annotations

from typing import Final

import structlog

from nonzero_service.http.limits import EXTRA
from nonzero_service.journal.descriptors import NAMED, WAYS, limit, raise_limit
from nonzero_service.journal.errors import NoDescriptorsError
from nonzero_service.settings import Settings

OF_A_MODEL: Final = 16
"""Ten for lock, mark and the journal's three connections; two for memory that workers read; the rest for a
snapshot that is written, and for looks at the journal."""

OF_A_WORKER: Final = 128
"""Connections over which a worker passes on what the writer answers."""

RESERVE: Final = 128
"""What the interpreter, the event loop, the log, temporary files and the like take."""

FEWEST_MODELS: Final = 8
"""There is to be room for so many."""

FEWEST_CONNECTIONS: Final = 16


def fitted(settings: Settings) -> Settings:
    """Raise the limit of open files, and return settings whose connections fit under it.

    Where it is too small for ``max_connections`` a warning says how many there may be, and which limit it is.
    """
    raise_limit()
    folder = settings.data_dir / "models"
    models = sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
    needed = OF_A_MODEL * (max(models, FEWEST_MODELS))
    connections = max(limit() - _others(settings) - needed, FEWEST_CONNECTIONS)
    if connections >= settings.max_connections:
        return settings
    structlog.get_logger("server").warning(
        "fewer connections are served than max_connections says",
        connections=connections,
        max_connections=settings.max_connections,
        reason=f"{NAMED} is {limit()}, and {models} models and all else need some of that; {WAYS}",
    )
    return settings.model_copy(update={"max_connections": connections})


def check_descriptors(settings: Settings, models: int) -> None:
    """Refuse one more model where the connections that were promised would want its descriptors.

    Parameters
    ----------
    settings
        As :func:`fitted` returned them.
    models
        How many there are.

    Raises
    ------
    NoDescriptorsError
        It names the limit, and the way out.
    """
    room = limit() - _others(settings) - settings.max_connections
    most = max(room // OF_A_MODEL, FEWEST_MODELS)
    if models >= most:
        raise NoDescriptorsError(
            f"there are {models} models, and {NAMED}, which is {limit()}, has room for {most} beside "
            f"{settings.max_connections} connections; {WAYS}, set a smaller max_connections, or delete one"
        )


def _others(settings: Settings) -> int:
    return RESERVE + EXTRA + OF_A_WORKER * (settings.workers - 1)
