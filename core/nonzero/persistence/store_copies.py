"""Files of stores as files of this machine, for as long as they are read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nonzero.sources.places import Remote
from nonzero.sources.store_files import PART, StoreFile, StoreStream


@contextmanager
def copied(place: Remote) -> Iterator[Path]:
    """Copy a file of a store into the folder for temporary files; the copy is gone when the block ends.

    Parameters
    ----------
    place
        Where it is.

    Yields
    ------
    Path
        The copy.

    Raises
    ------
    StoreError
        Where the store refuses.
    OSError
        Where there is no room.
    """
    with tempfile.NamedTemporaryFile(prefix="nonzero-", suffix=f"-{place.name[-80:]}") as file:
        with StoreStream(StoreFile(place)) as stream:
            while part := stream.read(PART):
                file.write(part)
        file.flush()
        yield Path(file.name)
