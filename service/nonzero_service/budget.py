"""The budget of descriptors: how many connections and models there may be under the limit of open files."""

from __future__ import annotations

from typing import Final

import structlog

from nonzero_service.http.limits import EXTRA
from nonzero_service.journal.descriptors import NAMED, WAYS, limit, raise_limit
from nonzero_service.journal.errors import NoDescriptorsError
from nonzero_service.journal.sqlite import open_journals
from nonzero_service.settings import Settings

OF_A_MODEL: Final = 2
"""For memory that workers read; without workers a model that is idle has none."""

OF_A_JOURNAL: Final = open_journals.OF_A_JOURNAL + 2
"""Of one that is open, and whose WAL is moved by a further connection."""

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
    needed = _of_a_model(settings) * max(models, FEWEST_MODELS)
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
    of_a_model = _of_a_model(settings)
    if not of_a_model:
        return
    room = limit() - _others(settings) - settings.max_connections
    most = max(room // of_a_model, FEWEST_MODELS)
    if models >= most:
        raise NoDescriptorsError(
            f"there are {models} models, and {NAMED}, which is {limit()}, has room for {most} beside "
            f"{settings.max_connections} connections; {WAYS}, set a smaller max_connections, or delete one"
        )


def _of_a_model(settings: Settings) -> int:
    return OF_A_MODEL if settings.workers > 1 else 0


def _others(settings: Settings) -> int:
    journals = OF_A_JOURNAL * open_journals.most_open()
    return RESERVE + EXTRA + OF_A_WORKER * (settings.workers - 1) + journals
