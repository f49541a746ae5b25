"""A range of a file's bytes as whole lines, or whole records, so that several can read one file."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import pairwise
from typing import Final

from nonzero.formats import Parsed, Reader
from nonzero.sources.files import Source

_BLOCK: Final = 1 << 20

_ASKED: Final = 4 << 20
"""So much is asked of a store at once."""

_BEYOND: Final = 1 << 16
"""And so much of it behind the range, where the last line ends."""


class LineRange:
    r"""The lines of a file, or records of delimited text, that begin within a range of its bytes.

    Each line of a file begins in one of ranges that follow each other, so that together they read what one
    reader reads. A line end within quotes of delimited text is none, and where a range begins in the middle
    of a file nobody knows what is within quotes. So whoever joins ranges holds :attr:`end` of one against
    :attr:`start` of the next: where they are the same, it began with a record. Else it is read again, from
    that end on.

    Parameters
    ----------
    source
        A plain file, not compressed, whose size is known.
    first, last
        The range: the first byte's place, and that behind the last byte.
    exact
        Whether a line is known to begin at `first`; else that is the first one behind it.

    Attributes
    ----------
    start
        Where its first line begins, once it is read; None where none begins in the range.
    end
        Where the line behind its last one begins, or the file ends, once all are read; None as for `start`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from nonzero import formats
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "clicks.vw")
    ...     _ = path.write_bytes(b"1 | a\n0 | b\n0 | c\n")
    ...     lines = LineRange(Source(path), 3, 12)
    ...     [len(part.batch) for part in lines.read(formats.reader("vw"))], lines.start, lines.end
    ([1], 6, 12)
    """

    def __init__(self, source: Source, first: int, last: int, *, exact: bool = False) -> None:
        self._source = source
        self._first, self._last = first, last
        self._exact = exact or not first
        self.start: int | None = None
        self.end: int | None = None

    def read(self, reader: Reader) -> Generator[Parsed, None, None]:
        """Yield the rows of these lines, and the lines that could not be read.

        Parameters
        ----------
        reader
            What reads them: a new one for the file's beginning, else one that is ready for its first line.

        Yields
        ------
        Parsed
            Lines are numbered as the reader counts them. Where one ends is decided by places of the file
            alone: a range is handed over alike whether its first line was known or found.
        """
        place = self._first if self._exact else self._first - 1
        with closing(self._text(place)) as blocks:
            for block in blocks:
                begin = 0
                if self.start is None:
                    begin = 0 if self._exact else block.find(b"\n") + 1
                    if self._exact or begin:
                        if place + begin >= self._last:
                            return
                        self.start = place + begin
                    elif place + len(block) >= self._last:
                        return
                    else:
                        begin = len(block)
                while begin < len(block):
                    stop = block.find(b"\n", max(self._last - 1 - place, begin)) + 1
                    yield reader.feed(memoryview(block)[begin : stop or len(block)])
                    begin = stop or len(block)
                    if stop and not reader.is_within:
                        self.end = place + stop
                        return
                place += len(block)
                self._source.position = place
            if self.start is not None:
                yield reader.finish()
                self.end = place

    def _text(self, place: int) -> Generator[bytes, None, None]:
        """Yield the file from a place on: of a store what is in the range ahead, then bit by bit."""
        if self._source.is_local:
            with self._source.opened() as file:
                file.seek(place)
                while block := file.read(_BLOCK - place % _BLOCK):
                    yield block
                    place += len(block)
            return
        stored, size = self._source.stored, self._source.size or 0
        inside = range(place - place % _ASKED + _ASKED, self._last, _ASKED)
        edges = [place, *inside, self._last] if place < self._last else []
        with closing(stored.ranges(pairwise(edges))) as blocks:
            yield from blocks
        for start in range(self._last, size, _BEYOND):
            yield stored.fetch(start, min(start + _BEYOND, size))
