"""Where commands write: files that are whole or not there, and standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from nonzero.persistence.whole_files import whole_file
from nonzero.sources.compression import packing
from nonzero.sources.files import STDIN


@contextmanager
def opened(output: str) -> Iterator[BinaryIO]:
    """Open what is written; packed as its name says. ``-`` is standard output.

    Parameters
    ----------
    output
        The file's name.

    Yields
    ------
    BinaryIO
        To write to. Where the block ends by an exception, a file that was there stays as it was.
    """
    if output == STDIN:
        with open(os.dup(1), "wb") as out:  # noqa: PTH123 - a descriptor, which is no path
            yield out
        return
    with whole_file(output) as file, packing(file, output) as out:
        yield out
