"""Files of object stores, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO, Final, cast

from nonzero.sources.places import Remote
from nonzero.sources.store_errors import StoreError, explained
from nonzero.sources.stores import filesystem

_PART: Final = 1 << 25
"""A file is sent by parts of so many bytes. Stores take 10,000 of them."""


@contextmanager
def storing(place: Remote) -> Iterator[BinaryIO]:
    """Open a file of a store to write, which takes its name when it is whole.

    Parameters
    ----------
    place
        The name, which a file may have that is replaced then.

    Yields
    ------
    BinaryIO
        To write to. Where the block ends by an exception, nothing is left and nothing replaced.

    Raises
    ------
    StoreError
        Where the store refuses.
    """
    file = _begun(place)
    try:
        yield cast(BinaryIO, _Sent(file, place))
        with explained(place):
            file.close()
            file.commit()
    except BaseException:
        _give_up(file)
        raise


@contextmanager
def storing_at_end(place: Remote) -> Iterator[IO[bytes]]:
    """Open a file of this machine, written to at any place, that is sent to a store when the block ends.

    Parameters
    ----------
    place
        As for :func:`storing`.

    Yields
    ------
    IO
        To write to, without a buffer.

    Raises
    ------
    OSError
        Where this machine's disk refuses.
    StoreError
        Where the store does.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        yield file
        file.seek(0)
        with storing(place) as out:
            shutil.copyfileobj(file, out, _PART)


def try_writing(place: Remote) -> None:
    """Raise what :func:`storing` would, as far as it can be known before there is anything to write.

    An upload is begun and given up.

    Parameters
    ----------
    place
        The name, which stays as it is.

    Raises
    ------
    StoreError
        Where the store refuses.
    """
    file = _begun(place)
    try:
        with explained(place):
            begin = getattr(file, "_initiate_upload", None)  # which fsspec has its packages write
            if begin is not None:
                begin()
    finally:
        _give_up(file)


def _begun(place: Remote) -> Any:
    if place.is_web:
        raise StoreError(
            f"{place} cannot be written: files of a web server are only read; name one of an object store, "
            "such as s3://BUCKET/NAME, or of this machine"
        )
    with explained(place):
        files, path = filesystem(place)
        return files.open(path, "wb", block_size=_PART, autocommit=False)


def _give_up(file: Any) -> None:
    with suppress(Exception):  # why it is given up is what matters
        file.discard()
    file.closed = True  # so that it is not sent when it is collected


class _Sent:
    """A file as it is written to a store: what the store refuses is said in a sentence."""

    def __init__(self, file: Any, place: Remote) -> None:
        self._file = file
        self._place = place
        self.closed = False

    def write(self, data: Any) -> int:
        """Write all of it."""
        with explained(self._place):
            self._file.write(data)
        return len(memoryview(data).cast("B"))

    def tell(self) -> int:
        """Return how many bytes were written."""
        return int(self._file.tell())

    def flush(self) -> None:
        """Do nothing: the file is sent by parts of a size."""

    def writable(self) -> bool:
        """Whether it can be written to."""
        return True

    def readable(self) -> bool:
        """Whether it can be read."""
        return False

    def seekable(self) -> bool:
        """Whether it can be written to anywhere."""
        return False

    def close(self) -> None:
        """Do nothing: it is closed when the block ends."""
