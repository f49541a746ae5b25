"""Where commands write: files that are whole or not there, and standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from nonzero.persistence.whole_files import whole_file
from nonzero.sources.compression import packing
from nonzero.sources.files import STDIN
from nonzero.sources.places import Place, Remote, place_of
from nonzero.sources.store_errors import StoreError


@contextmanager
def opened(output: str | Place) -> Iterator[BinaryIO]:
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
    if str(output) == STDIN:
        with open(os.dup(1), "wb") as out:  # noqa: PTH123 - a descriptor, which is no path
            yield out
        return
    with whole_file(output) as file, packing(file, str(output)) as out:
        yield out


def left(output: str | Place) -> str:
    """Say what an output is that was not written to its end.

    Parameters
    ----------
    output
        The file's name.
    """
    if str(output) == STDIN:
        return "standard output is cut"
    return f"nothing was written: {place_of(output)} is {as_before(place_of(output))}"


def as_before(place: Place) -> str:
    """Say what a file is that was to be written and was not."""
    if not isinstance(place, Remote):
        return "as it was" if place.exists() else "not there"
    from nonzero.sources.stores import is_there

    try:
        return "as it was" if is_there(place) else "not there"
    except StoreError:
        return "as it was, as far as can be known"
