"""The function that a cluster is given by its source: it may meet a process without this package.

Nothing of the package is imported before it is seen to be the same one: two versions may hash names apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def read(version: str, reading: Mapping[str, Any], piece: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the parts of a block; or, first and last, a text that says why this process cannot.

    Parameters
    ----------
    version
        That of the process that learns.
    reading, piece
        As for :func:`nonzero_service.cli.backfill.tasks.parts_of`.
    """
    import socket

    try:
        from nonzero import __version__
        from nonzero_service.cli.backfill.tasks import parts_of
    except ImportError as error:
        yield f"{socket.gethostname()} has no nonzero {version} that works: {error}"
        return
    if __version__ != version:
        yield f"{socket.gethostname()} has nonzero {__version__}, and this process {version}"
        return
    yield from parts_of(reading, piece)
