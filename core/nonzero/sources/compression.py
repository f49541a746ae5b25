"""gzip and zstd, decompressed in memory that stays flat.

A few compressed bytes can stand for gigabytes. So they go in by slices, and what they stand for comes out by
pieces, between which the reader may give up.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import BinaryIO, Final, cast

import zstandard

DAMAGE: Final = (zlib.error, zstandard.ZstdError, EOFError)
"""What decompressing raises where the bytes are damaged, or end too early."""

_GZIP: Final = ".gz"
_ZSTD: Final = ".zst"


class Decompressor(ABC):
    """Decompresses one stream: :meth:`offer` it, :meth:`read` while :attr:`more`, and :meth:`finish`.

    Parameters
    ----------
    piece
        About how many plain bytes come out at once.
    """

    name: str

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._input = b""
        self._position = 0
        self._begun = False  # whether a member or frame is open

    def offer(self, data: bytes) -> None:
        """Take compressed bytes; all that were offered before must have been read."""
        self._input, self._position = data, 0

    @property
    def more(self) -> bool:
        """Whether there may be something to read."""
        return self._position < len(self._input)

    @abstractmethod
    def read(self) -> list[bytes]:
        """Return the next plain bytes, about a piece of them.

        Raises
        ------
        zlib.error, zstandard.ZstdError
            Where the compressed bytes are damaged.
        """

    def finish(self) -> None:
        """Check that the stream ended where it may.

        Raises
        ------
        EOFError
            Within a member or a frame.
        """
        if self._begun:
            raise EOFError(f"the {self.name} stream ends before its end mark")

    def _slice(self, size: int) -> bytes:
        taken = self._input[self._position : self._position + size]
        self._position += len(taken)
        return taken


class Gzip(Decompressor):
    """gzip: one member or several, one after another.

    Parameters
    ----------
    piece
        As for :class:`Decompressor`.
    padded
        Whether NUL bytes may stand after a member, as gzip itself allows.
    """

    name = "gzip"
    SLICE: Final = 1 << 16

    def __init__(self, piece: int, *, padded: bool = False) -> None:
        super().__init__(piece)
        self._padding = b"\0" if padded else b""
        self._member = zlib.decompressobj(wbits=31)
        self._waiting = b""  # compressed bytes that the member has not looked at yet
        self._holds = False  # whether the member may hold plain bytes back

    @property
    def more(self) -> bool:
        """Whether the member holds bytes back, or not all have gone in."""
        return self._holds or bool(self._waiting) or super().more

    def read(self) -> list[bytes]:
        """Return up to a piece."""
        while True:
            data = self._waiting or self._slice(self.SLICE)
            self._waiting = b""
            if not self._begun and self._padding:
                data = data.lstrip(self._padding)
            if not data and not self._holds:
                if super().more:
                    continue
                return []
            self._begun = True
            plain = self._member.decompress(data, self._piece)
            self._holds = len(plain) == self._piece
            self._waiting = self._member.unconsumed_tail
            if self._member.eof:
                self._waiting = self._member.unused_data
                self._member = zlib.decompressobj(wbits=31)
                self._begun = self._holds = False
            if plain:
                return [plain]


class Zstd(Decompressor):
    """zstd: one frame or several.

    Parameters
    ----------
    piece
        As for :class:`Decompressor`.
    window
        The largest window, in bytes; 0 for the library's own bound of 128 MiB.
    """

    name = "zstd"

    # The library takes no bound on what comes out, but a block of 4 bytes gives 128 KiB at most: so this, 32
    # MiB.
    SLICE: Final = 1 << 10
    LEAST: Final = 1 << 6

    def __init__(self, piece: int, window: int = 0) -> None:
        super().__init__(piece)
        self._step = self.LEAST
        self._library = zstandard.ZstdDecompressor(max_window_size=window)
        self._frame = self._library.decompressobj()

    def read(self) -> list[bytes]:
        """Return a piece, made of whole slices."""
        pieces: list[bytes] = []
        size = 0
        while size < self._piece and (data := self._slice(self._step)):
            self._begun = True
            plain = self._frame.decompress(data)
            # What expands much goes in by smaller slices: a bomb takes megabytes, not dozens of them.
            self._step = min(max(len(data) * self._piece // (len(plain) + 1), self.LEAST), self.SLICE)
            if self._frame.eof:
                self._position -= len(self._frame.unused_data)
                self._frame = self._library.decompressobj()
                self._begun = False
            pieces.append(plain)
            size += len(plain)
        return pieces


def unpacked_name(name: str | PurePath) -> PurePath:
    """Return the name that a file has without compression: what its format is told by.

    Parameters
    ----------
    name
        A file's name or path; a last ``.gz`` or ``.zst`` is left out, in letters of any case.

    Returns
    -------
    PurePath
        `name` itself where it has neither.

    Examples
    --------
    >>> unpacked_name("monday.csv.GZ").name, unpacked_name("monday.csv").name
    ('monday.csv', 'monday.csv')
    """
    path = PurePath(name)
    return path.with_suffix("") if path.suffix.lower() in {_GZIP, _ZSTD} else path


@contextmanager
def packing(file: BinaryIO, name: str | PurePath) -> Iterator[BinaryIO]:
    """Compress what is written to a file, where its name ends in ``.gz`` or ``.zst``.

    Parameters
    ----------
    file
        Where to.
    name
        The name that tells how.

    Yields
    ------
    BinaryIO
        To write plain bytes to; `file` itself where they stay plain.

    Examples
    --------
    >>> import io
    >>> out = io.BytesIO()
    >>> with packing(out, "log.rows.zst") as plain:
    ...     written = plain.write(b"rows")
    >>> zstandard.decompress(out.getvalue(), max_output_size=4)
    b'rows'
    """
    ending = PurePath(name).suffix.lower()
    if ending == _GZIP:
        import gzip  # here: reading needs only zlib

        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # the same bytes at any time
            yield cast(BinaryIO, packed)
    elif ending == _ZSTD:
        with zstandard.ZstdCompressor(3).stream_writer(file, closefd=False) as stream:
            yield cast(BinaryIO, stream)
    else:
        yield file
