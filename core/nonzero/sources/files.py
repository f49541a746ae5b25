"""Files of examples, plain or compressed, as blocks of text; and the format that a name implies."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from nonzero.errors import FormatError
from nonzero.formats.registry import COLUMNAR, FORMATS
from nonzero.sources.compression import DAMAGE, Decompressor, Gzip, Zstd, unpacked_name
from nonzero.sources.places import Place, Remote, place_of

if TYPE_CHECKING:  # imported for the first URL
    from nonzero.sources.store_files import StoreFile, StoreStream
    from nonzero.sources.store_reader import StoreReader

STDIN: Final = "-"
"""The name that stands for standard input."""

_BLOCK: Final = 1 << 20
"""Large beside the cost of a call, small beside memory and caches."""

SAMPLE: Final = 1 << 20
"""A part of a file that is looked at before it is read, in bytes."""

_SAMPLE_OF_A_PIPE: Final = 8 * SAMPLE

_COMPRESSED_BLOCK: Final = 1 << 16
"""So much is read of a compressed file at once, in bytes."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n, 0x2A, 0x4D, 0x18]) for n in range(16)))

ROWS: Final = "rows"
"""What a file of hashed rows is called, and ends in: :mod:`nonzero.sources.rows_file`."""

ROWS_MAGIC: Final = b"\x93NZROWS\n"
"""What it begins with."""

_FORMATS: Final = {ending: name for name, entry in FORMATS.items() for ending in entry.endings} | {
    f".{ROWS}": ROWS
}
_FORMATS.update((ending, name) for name, endings in COLUMNAR.items() for ending in endings)


def format_of(name: str | PurePath | Remote) -> str:
    """Return the format that a file's name implies: one of text, ``parquet``, ``arrow`` or ``rows``.

    Parameters
    ----------
    name
        The file's name or path; a last ``.gz`` or ``.zst`` is passed over.

    Raises
    ------
    FormatError
        Where the name tells nothing.

    Examples
    --------
    >>> format_of("clicks/monday.csv.gz")
    'csv'
    """
    found = _FORMATS.get(unpacked_name(str(name)).suffix.lower())
    if found is None:
        names = [*FORMATS, *COLUMNAR, ROWS]
        what = "standard input" if str(name) == STDIN else f"the name {str(name)!r}"
        raise FormatError(
            f"{what} does not tell its format (known endings: {', '.join(_FORMATS)}); "
            f"name it: {', '.join(names[:-1])} or {names[-1]}"
        )
    return found


def total_size(sources: Iterable[Source]) -> int | None:
    """Return how many bytes some files have on disk; None where nobody knows of one.

    Parameters
    ----------
    sources
        The files.

    Examples
    --------
    >>> total_size([]), total_size([Source("/dev/null")])
    (0, None)
    """
    sizes = [source.size for source in sources]
    return None if None in sizes else sum(size or 0 for size in sizes)


class Source:
    """A file, here or at a URL, or standard input, read once as blocks of decompressed bytes.

    Compression is recognised by the first bytes, not by the name, so that it is found on standard input too.
    Files of several gzip members or zstd frames are read to their end; memory is bounded by the block.

    Parameters
    ----------
    path
        The file, or its URL; ``"-"`` is standard input.
    block
        About how many bytes of text a block holds, at least 64.

    Attributes
    ----------
    path
        Where it is.
    name
        What to call it in messages.
    size
        Its bytes on disk or in the store, None where nobody knows (standard input, pipes, some web servers).
    position
        How many of those bytes have been read so far.
    packed
        Whether it is compressed; known once something of it has been read.
    format
        Where it is a table of delimited text, its format: ``"csv"``, until somebody says otherwise.

    Raises
    ------
    OSError
        While iterating: for a file that cannot be opened or read.
    FormatError
        While iterating: for a compressed file that is damaged or ends early.
    StoreError
        For a URL: at once where there is no such file, and while iterating.

    Examples
    --------
    >>> sum(len(block) for block in Source("/dev/null"))
    0
    """

    def __init__(self, path: str | Place, block: int = _BLOCK) -> None:
        self.path = place_of(path)
        self.block = block
        self.is_stdin = str(path) == STDIN
        self.name = "standard input" if self.is_stdin else str(self.path)
        self._stored: StoreFile | None = None
        if isinstance(self.path, Remote):
            info = self.path.info or {}
            # What a listing has said is enough until it is read: there may be thousands of files.
            self.size = info["size"] if info.get("size") is not None else self.stored.size
        else:
            regular = not self.is_stdin and self.path.is_file()
            self.size = self.path.stat().st_size if regular else None
        self.position = 0
        self.columns: object = None  # who reads it as a columnar file, if anybody does
        self.format = "csv"
        self._peeked: list[bytes] = []
        self._blocks = self._read_blocks()
        self.packed = False

    def __iter__(self) -> Iterator[bytes]:
        while self._peeked:
            yield self._peeked.pop(0)
        yield from self._blocks

    def peek(self, size: int) -> bytes:
        """Return the beginning of the text, at least so many bytes where there are as many.

        It is kept, and read again from memory.
        """
        held = sum(map(len, self._peeked))
        while held < size and (block := next(self._blocks, b"")):
            self._peeked.append(block)
            held += len(block)
        return b"".join(self._peeked)

    def start(self, size: int) -> bytes:
        """Return the first bytes of the text, and keep no regular file open for it.

        Whether it is packed is known then.

        Parameters
        ----------
        size
            At most so many, up to 64.

        Returns
        -------
        bytes
            Fewer where there are no more.

        Examples
        --------
        >>> Source("/dev/null").start(8)
        b''
        """
        if self.size is None or self._peeked:
            return self.peek(size)[:size]
        other = Source(self.path, block=64)
        if not self.is_local:
            other._stored = self.stored
        with closing(other._read_blocks()) as blocks:
            begun = next(blocks, b"")
            while len(begun) < size and (block := next(blocks, b"")):
                begun += block
        self.packed = other.packed
        return begun[:size]

    def forget(self) -> None:
        """Let go of what was looked at, as somebody else reads the file.

        Examples
        --------
        >>> source = Source("/dev/null")
        >>> source.forget()
        """
        self._peeked.clear()
        self._blocks.close()
        self._blocks = self._read_blocks()

    def samples(self) -> list[tuple[bytes, bool]]:
        """Return parts of the text before it is read: what can be had of it cheaply.

        Returns
        -------
        list of (bytes, bool)
            Each part, and whether it begins where a line does. Of a plain file: a megabyte at its beginning,
            in its middle and at its end, or all of it. Of a compressed one its first 2 MB, for what is behind
            must be decompressed. Of standard input and pipes the first 8 MB.
        """
        first = self.peek(SAMPLE)
        if self.size is None:
            return [(self.peek(_SAMPLE_OF_A_PIPE), True)]
        if self.packed:
            return [(self.peek(2 * SAMPLE), True)]
        if self.size <= 3 * SAMPLE:
            return [(self.peek(self.size), True)]
        middle = max((self.size - SAMPLE) // 2, len(first))
        with self.opened() as file:
            rest = []
            for start in (middle, max(self.size - SAMPLE, middle + SAMPLE)):
                file.seek(start)
                rest.append((file.read(SAMPLE), False))
        return [(first, True), *rest]

    @property
    def is_local(self) -> bool:
        """Whether it is a file, or a pipe, of this machine."""
        return isinstance(self.path, Path)

    @property
    def stored(self) -> StoreFile:
        """The file in its store, of a URL; it is opened when it is first asked for."""
        if self._stored is None:
            from nonzero.sources.store_files import StoreFile

            self._stored = StoreFile(cast(Remote, self.path))
        return self._stored

    def opened(self) -> BinaryIO | StoreReader:
        """Open it as it lies there, to be read at any place; only where its size is known."""
        if isinstance(self.path, Path):
            return self.path.open("rb")
        from nonzero.sources.store_reader import StoreReader

        return StoreReader(self.stored, [(0, self.stored.head())])

    def _read_blocks(self) -> Generator[bytes, None, None]:
        with self._open() as file:
            start = self._read(file, 4)
            self.packed = start.startswith((_GZIP, *_ZSTD))
            if self.packed:
                engine = Gzip(self.block, padded=True) if start.startswith(_GZIP) else Zstd(self.block)
                yield from self._decompressed(engine, self._blocks_of(start, file, _COMPRESSED_BLOCK))
            else:
                yield from self._blocks_of(start, file, self.block)

    def _open(self) -> AbstractContextManager[BinaryIO | StoreStream]:
        if not isinstance(self.path, Path):
            from nonzero.sources.store_files import StoreStream

            return StoreStream(self.stored)
        if not self.is_stdin:
            return self.path.open("rb")
        if sys.stdin is None:  # so Python says that the process was started without it
            raise FormatError(
                "standard input is closed; name a file, or hand one over, as in nonzero ... < FILE"
            )
        return nullcontext(sys.stdin.buffer)

    def _read(self, file: BinaryIO | StoreStream, size: int) -> bytes:
        data = file.read(size)
        self.position += len(data)
        return data

    def _blocks_of(self, start: bytes, file: BinaryIO | StoreStream, size: int) -> Iterator[bytes]:
        block = start + self._read(file, size - len(start))
        while block:
            yield block
            block = self._read(file, size)

    def _decompressed(self, engine: Decompressor, blocks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for block in blocks:
                engine.offer(block)
                while engine.more:
                    if text := b"".join(engine.read()):
                        yield text
            engine.finish()
        except DAMAGE as error:
            raise FormatError(
                f"{self.name} is damaged, or not whole, after {self.position} compressed bytes: {error}; "
                "fetch or compress it again"
            ) from error
