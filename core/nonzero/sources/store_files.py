"""Files of object stores and web servers: any range of them, read ahead, and always of one version."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from nonzero.sources.pipeline import in_turns
from nonzero.sources.places import Remote
from nonzero.sources.store_errors import StoreError, changed, explained, passes, said
from nonzero.sources.stores import filesystem

PART: Final = 8 << 20
"""So much is asked for at once: its transfer takes several times as long as a store needs to begin."""

AT_ONCE: Final = 6
"""So many parts are asked for at the same time: a connection to a store is slower than a network is."""

_HEAD: Final = 1 << 16
"""The beginning, which is looked at several times, is kept."""

FIRST: Final = 1 << 20
"""What is read next, alone: many files are looked at, and then one is read at a time."""

SMALL: Final = 1 << 22
"""A file of at most so many bytes is fetched once: asking twice would take longer."""

_TRIES: Final = 5
"""So often a web server is asked."""

_TRIES_OF_STORES: Final = 2
"""So often another store is, of which its package has asked several times itself."""

_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 8.0
"""Seconds; a pause is twice as long as the one before, and a part of it is chance."""

_IDENTITY: Final = (
    "size", "ETag", "etag", "generation", "md5Hash", "content_md5",
    "LastModified", "Last-Modified", "last_modified", "mtime", "updated", "created",
)  # fmt: skip
"""What tells a version of a file from another, of all that stores say: the best first."""


class StoreFile:
    """A file of a store: its size, and any range of its bytes, for any thread.

    A range that breaks off is asked for again, from where it was. All ranges are of the file that was opened:
    one that was replaced meanwhile is an error.

    Parameters
    ----------
    place
        Where it is.

    Attributes
    ----------
    size
        Its bytes; None where the server does not say, or gives no ranges. It is read once and in order then.

    Raises
    ------
    StoreError
        Where it cannot be opened.
    """

    def __init__(self, place: Remote) -> None:
        self.place = place
        with explained(place):
            self._fs, self._path = filesystem(place)
            file, self._info = self._opened_on_the_web() if place.is_web else self._opened()
        if self._info.get("type") == "directory":
            raise StoreError(f"{place} is a folder; give its files, such as '{place.joined('*.parquet')}'")
        if place.info is not None and _differ(place.info, self._info):
            raise changed(place)
        self._file = file
        self.size: int | None = self._info.get("size")
        self._range = _range_of(file)
        with explained(place):
            if place.is_web and self.size is not None and not self._gives_ranges():
                self.size = None
        self._held = b""
        self._lock = threading.Lock()

    @property
    def version(self) -> dict[str, Any]:
        """What tells this version of the file from others, as a place's ``info`` has it."""
        return {name: self._info[name] for name in _IDENTITY if self._info.get(name) is not None}

    def _opened(self) -> tuple[Any, Mapping[str, Any]]:
        file = self._fs.open(self._path, "rb", cache_type="none")
        info = getattr(file, "details", None) or self._fs.info(self._path)
        return file, dict(info)

    def _opened_on_the_web(self) -> tuple[Any, Mapping[str, Any]]:
        info = self._fs.info(self._path)
        headers = {**self._fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
        tag = info.get("ETag", "")
        if tag.startswith('"'):  # a weak one matches nothing
            headers["If-Match"] = tag
        size = info.get("size")
        block = 0 if size is None or not info.get("partial", True) else PART
        file = self._fs.open(
            self._path, "rb", block_size=block, cache_type="none", size=size, headers=headers
        )
        return file, info

    def _gives_ranges(self) -> bool:
        """Ask a web server for its file's last byte; many of them know nothing but whole files."""
        if not self.size:
            return False
        try:
            return len(self._asked(self.size - 1, self.size)) == 1
        except ValueError:
            self._file = self._fs.open(self._path, "rb", block_size=0, size=self.size)
            return False

    def fetch(self, start: int, end: int) -> bytes:
        """Return a range of its bytes, as one request or more.

        Parameters
        ----------
        start, end
            From where, and up to where.

        Raises
        ------
        StoreError
            Where the store refuses, or does not answer when it is asked again and again.
        """
        parts: list[bytes] = []
        while start < end:
            with explained(self.place):
                part = self._asked(start, end)
            if not part:
                raise changed(self.place)
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _asked(self, start: int, end: int) -> bytes:
        """Ask for a range; again where that may help."""
        pause = _PAUSE
        for _ in range(1, _TRIES if self.place.is_web else _TRIES_OF_STORES):
            try:
                return self._range(start, end)
            except Exception as error:
                if not passes(error):
                    raise
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that many do not come at once
            pause = min(2 * pause, _LONGEST_PAUSE)
        return self._range(start, end)

    def ranges(self, wanted: Iterable[tuple[int, int]]) -> Generator[bytes, None, None]:
        """Yield ranges in their order; several are fetched at the same time.

        Parameters
        ----------
        wanted
            Where each begins and ends.
        """
        return in_turns(wanted, [self._one] * AT_ONCE, AT_ONCE)

    def _one(self, wanted: tuple[int, int]) -> bytes:
        return self.fetch(*wanted)

    def whole(self, start: int, end: int) -> bytes:
        """Return a range of any size, fetched by several requests at the same time."""
        if end - start <= PART:
            return self.fetch(start, end)
        return b"".join(self.ranges(_parts(start, end)))

    def head(self) -> bytes:
        """Return its beginning, which is kept."""
        with self._lock:
            if not self._held:
                self._held = self.fetch(0, min(self.size or 0, _HEAD))
            return self._held

    def check(self) -> None:
        """Look whether it is still the file that was opened.

        Raises
        ------
        ChangedError
            Where it is not.
        """
        with explained(self.place):
            if _differ(self._info, self._fs.info(self._path)):
                raise changed(self.place)

    def read_on(self, size: int) -> bytes:
        """Return the next bytes of a file that is read in order, as its size is not known.

        Raises
        ------
        StoreError
            Where it breaks off: nobody can continue it.
        """
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            if not passes(error):
                raise said(self.place, error) from error
            raise StoreError(
                f"{self.place} broke off, and its server gives no part of a file, so that it cannot go on; "
                "try again, or download it first"
            ) from error

    def close(self) -> None:
        """Let go of it."""
        with suppress(Exception):  # what was read is read
            self._file.close()


class StoreStream:
    """The bytes of a file from its beginning on, in order, read ahead in bounded memory.

    Parameters
    ----------
    file
        The file.
    """

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._parts = self._read()
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next bytes, so many where there are as many."""
        parts: list[memoryview | bytes] = []
        missing = size
        while missing:
            if not self._rest:
                self._rest = memoryview(next(self._parts, b""))
                if not self._rest:
                    break
            part = self._rest[:missing]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            missing -= len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _read(self) -> Generator[bytes, None, None]:
        file, size = self._file, self._file.size
        if size is None:
            while part := file.read_on(FIRST):
                yield part
            return
        yield file.head()
        begun = len(file.head())
        following = min(size, FIRST)
        if begun < following:
            yield file.fetch(begun, following)
        if following < size:
            yield from file.ranges(_parts(following, size))
        if size > _HEAD:
            file.check()

    def __enter__(self) -> StoreStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()


def _parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    for place in range(start, end, PART):
        yield place, min(place + PART, end)


def _range_of(file: Any) -> Callable[[int, int], bytes]:
    """Return what fetches a range of a file, for any thread."""
    fetch = getattr(file, "_fetch_range", None)  # which fsspec has its packages write
    if fetch is not None:
        return lambda start, end: bytes(fetch(start, end))
    lock = threading.Lock()

    def read(start: int, end: int) -> bytes:
        with lock:
            file.seek(start)
            return bytes(file.read(end - start))

    return read


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two descriptions are of different versions, as far as both say it."""
    both = [name for name in _IDENTITY if one.get(name) is not None and other.get(name) is not None]
    # Times are of different precision in a listing: they count where there is nothing better.
    return any(one[name] != other[name] for name in both[:2])
