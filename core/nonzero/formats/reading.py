"""Reader: bytes in chunks of any size -> batches, line by line, in memory that stays flat."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import FormatError, InputError, LineError
from nonzero.fields.conflicts import NO_CONFLICTS
from nonzero.fields.counts import Fields
from nonzero.formats.rows import PLAIN, Row, Rows, assemble, assemble_with, summarize

__all__ = ["MAX_LINE", "PADDING", "Buffer", "Format", "Parsed", "Reader"]

Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]
"""Bytes, or what shows itself as bytes."""

MAX_LINE: Final = 16 * 2**20
"""The longest line that is read unless said otherwise, in bytes."""

PIECE: Final = 2**20
"""At most so many bytes are parsed at once: they and what is found in them stay in the cache."""

NEWLINE: Final = np.uint8(ord("\n"))

PADDING: Final = 64
"""So many bytes behind the last line may be read (not understood) by compiled code."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some programs write before text in UTF-8."""

NOTHING: Final = np.empty(0, np.uint8)

MET: Final = 2**16
"""A first line of more bytes is not looked at before it is read: in Python that takes a second a megabyte."""


class Parsed(NamedTuple):
    """What some bytes held."""

    batch: Batch
    """The rows of the lines that could be read."""
    lines: NDArray[np.int64]
    """int64[n]: the line number of each row, counted from 1 over all that the reader was fed."""
    errors: tuple[LineError, ...]
    """The lines that could not be read."""
    lines_read: int
    """How many lines were finished: rows, errors and lines skipped (and, in delimited text, line ends inside
    quotes)."""
    conflicts: Mapping[str, int] = NO_CONFLICTS
    """How many values came in another kind than their field's, by its name; those of refused lines too."""
    skipped: tuple[int, ...] = ()
    """The numbers of the lines that hold no example and are no error, where the format has such: blank lines,
    and comments."""


class Format(ABC):
    """What a reader needs to know of a format; one object reads one stream.

    A compiled parser takes all whole lines at once; the lines that it marks as plain are read one by one by
    :meth:`parse_line`, which must read every line as the compiled parser does.
    """

    name: str

    header: bool = False
    """Whether the first line names columns: it goes to :meth:`read_header`."""

    notes: Sequence[str] = ()
    """What there is to say about the stream, in sentences: of columns left out, of labels missing."""

    fields: Fields
    """What the fields are, and what came of them."""

    holds: int = 0
    """Up to so many bytes of whole lines may be held back by :meth:`whole` before the first row is read."""

    @abstractmethod
    def read(self, data: NDArray[np.uint8], end: int, rows: Rows) -> int:
        """Parse the whole lines ``data[:end]``, the last byte a newline, into `rows`.

        64 bytes behind `end` may be read. Returns the number of rows.
        """

    left: int | None = None
    """Where the last :meth:`read` found lines that are no row yet: their record goes on. None for nowhere."""

    @abstractmethod
    def parse_line(self, line: bytes) -> Row:
        """Parse one line, without its end.

        Raises
        ------
        InputError
            Where it cannot be read; the message is the reason.
        """

    def skips(self, line: bytes) -> bool:  # noqa: ARG002 - most formats have an example in every line
        """Tell whether a line that the compiled parser left holds no example, and is no error."""
        return False

    def alike(self) -> Format | None:
        """Return a new object that reads such lines too; None where a line's meaning rests on those before.

        Parts of a stream that end with a line may be read by either, and at the same time.
        """
        return None

    def meet(self, line: bytes) -> None:  # noqa: ARG002 - most formats have no fields in their lines
        """Look at the first line of a stream, without its end: its fields are known then."""
        return

    def read_header(self, line: bytes) -> bool:
        """Take one of the first lines, without its end, where there is a header; tell whether it was that."""
        raise NotImplementedError

    def pass_over(self, data: bytes, *, begins: bool) -> int:  # noqa: ARG002 - a line ends at its newline
        """Return where a line ends that is too long, after its newline; 0 where these bytes do not end it.

        Parameters
        ----------
        data
            Its beginning, or what follows on what was given before.
        begins
            Whether it is its beginning.
        """
        return data.find(b"\n") + 1

    def whole(self, data: bytearray, start: int, end: int) -> int:
        """Return where the last whole line of ``data[:end]`` ends, 0 where there is none.

        Bytes before `start` were searched before, in vain.
        """
        return data.rfind(b"\n", start, end) + 1


class Reader:
    r"""Reads a stream of lines, handed over in chunks that end anywhere.

    Any chunking gives the same rows. Lines end in LF or CRLF; the last one may lack its end. A byte order
    mark at the stream's start is passed over. A line that cannot be read is an error that names its number
    and the reason, and the rest goes on.

    Parameters
    ----------
    form
        What reads the lines; see :func:`nonzero.formats.reader`.
    max_line
        The longest line, in bytes. A longer one is an error, and is passed over without being kept.

    Examples
    --------
    >>> from nonzero import formats
    >>> reader = formats.reader("vw")
    >>> len(reader.feed(b"1 | a b\n-1 | ").batch), reader.feed(b"c\n").lines, len(reader.finish().batch)
    (1, array([2]), 0)
    """

    def __init__(self, form: Format, max_line: int = MAX_LINE) -> None:
        self.format = form
        self.max_line = max_line
        self._held = 0  # bytes of an unfinished line, at the buffer's start
        self._line = 0  # lines finished so far
        self._passing = False  # inside a line that is too long
        self._passed = 0  # line ends inside it that nobody was told of yet
        self._header = form.header
        self._finished = False
        self._met = False
        self._begun = False  # whether a byte order mark may no longer come
        self._beginning = NOTHING  # what may be the start of one
        self._rows = Rows.allocate(0, 0)
        self._capacity = -1
        self._buffer = bytearray()
        self._reserve(0)

    def alike(self) -> Reader | None:
        """Return a new reader for other parts of the stream; None where it must be read in its order.

        It takes a byte order mark as any other bytes: the stream's start is for who cuts it into parts.
        """
        form = self.format.alike()
        if form is None:
            return None
        other = Reader(form, self.max_line)
        other._begun = True
        return other

    def feed(self, *data: Buffer) -> Parsed:
        """Read the lines that these bytes finish.

        Parameters
        ----------
        data
            Anything with the buffer interface: bytes, bytearray, memoryview, an array of uint8. Several are
            read as if they were one, which they need not be made for it.
        """
        if self._finished:
            raise ValueError("this reader is finished; make a new one for another stream")
        parts: list[Parsed] = []
        searched = self._held
        for one in data:
            view = np.frombuffer(one, np.uint8)
            for start in range(0, view.size, PIECE):
                piece = view[start : start + PIECE]
                if not self._begun:
                    piece = self._past_mark(piece)
                if self._held + piece.size > searched + PIECE:
                    parts += self._read(searched)
                    searched = self._held
                self._hold(piece)
        if self._held > searched:
            parts += self._read(searched)
        return self._counted(self._joined(parts))

    def finish(self) -> Parsed:
        """Read the last line, where it lacks its end; the reader takes nothing after this."""
        self._finished = True
        parts: list[Parsed] = []
        if self._beginning.size:  # it was no mark
            self._hold(self._beginning)
        if self._held:
            if self._buffer[self._held - 1] != ord("\n"):  # whole lines may have been held back
                self._buffer[self._held] = ord("\n")
                self._held += 1
            parsed, whole = self._parse(self._held)
            parts.append(parsed)
            if whole < self._held:
                parts.append(self._unfinished(bytes(self._buffer[whole : self._held - 1])))
            self._held = 0
        return self._counted(self._joined(parts))

    def _unfinished(self, record: bytes) -> Parsed:
        """Refuse a last record that does not end."""
        try:
            self.format.parse_line(record)
            reason = "the record does not end"
        except InputError as error:
            reason = str(error)
        first, lines = self._line + 1, 1 + record.count(b"\n")
        self._line += lines
        return Parsed(Batch.empty(), np.empty(0, np.int64), (LineError(first, reason),), lines)

    def _past_mark(self, piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return what follows a byte order mark at the stream's start; nothing while it may be one."""
        if piece.size >= len(BYTE_ORDER_MARK) and piece[0] != BYTE_ORDER_MARK[0] and not self._beginning.size:
            self._begun = True
            return piece
        if self._beginning.size:
            piece = np.concatenate([self._beginning, piece])
        beginning = piece[: len(BYTE_ORDER_MARK)].tobytes()
        if len(beginning) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(beginning):
            self._beginning = piece
            return piece[:0]
        self._begun, self._beginning = True, piece[:0]
        return piece[len(BYTE_ORDER_MARK) :] if beginning == BYTE_ORDER_MARK else piece

    def _hold(self, piece: NDArray[np.uint8]) -> None:
        """Add bytes to what is held; without the rest of a line that is too long."""
        if self._passing:
            cut = self.format.pass_over(piece.tobytes(), begins=False)
            lines = int(np.count_nonzero(piece[: cut or piece.size] == NEWLINE)) - (cut > 0)
            self._line, self._passed = self._line + lines, self._passed + lines
            if not cut:
                return
            self._passing, piece = False, piece[cut:]
        end = self._held + piece.size
        self._reserve(end)
        self._array[self._held : end] = piece
        self._held = end

    def _read(self, searched: int) -> list[Parsed]:
        """Parse what is whole of what is held: at most PIECE bytes after those that were searched in vain."""
        end = self._held
        parts: list[Parsed] = []
        whole = self.format.whole(self._buffer, searched, end)
        if whole:
            parsed, whole = self._parse(whole)
            parts.append(parsed)
            self._array[: end - whole] = self._array[whole:end]
        self._held = end - whole
        if self._held > max(self.max_line, self.format.holds):
            parts.append(self._give_up())
        return parts

    def _give_up(self) -> Parsed:
        """Let go of what is held: the beginning of a line that is too long."""
        if self._header:
            self.format.read_header(bytes(self._buffer[: self._held]))
            raise FormatError(f"the header is longer than {self.max_line} bytes")
        begun = bytes(self._buffer[: self._held])
        self.format.pass_over(begun, begins=True)
        self._held, self._passing = 0, True
        error = self._too_long(self._line + 1)
        lines = 1 + begun.count(b"\n")
        self._line += lines
        return Parsed(Batch.empty(), np.empty(0, np.int64), (error,), lines)

    def _parse(self, end: int) -> tuple[Parsed, int]:
        """Parse the whole lines ``buffer[:end]``; returns where those begin that are no row yet, or `end`."""
        behind = self._read_header(end)
        end -= behind
        if not self._met:
            self._meet()
        rows, first = self._rows, self._line
        n = self.format.read(self._array, end, rows)
        lines = rows.lines[:n] + (first + 1)
        summary = summarize(rows, n)
        self._line += int(rows.lines[n])
        if self.format.left is not None:
            left, end = end, self.format.left
            self._array[behind + end : behind + left] = self._array[end:left].copy()
        if end <= self.max_line and not summary[0] & PLAIN:
            parsed = Parsed(assemble(rows, n, self._buffer, summary), lines, (), int(rows.lines[n]))
            return parsed, behind + end
        spans = rows.spans[:n]
        too_long = spans[:, 1] - spans[:, 0] > self.max_line
        read: dict[int, Row | None] = {}
        errors: list[LineError] = []
        skipped: list[int] = []
        for r in np.flatnonzero(rows.plain[:n] | too_long).tolist():
            begin, stop = spans[r].tolist()
            number = int(lines[r])
            read[r] = None
            if stop - begin > self.max_line:
                errors.append(self._too_long(number))
                continue
            line = _without_end(bytes(self._buffer[begin:stop]))
            if self.format.skips(line):
                skipped.append(number)
                continue
            try:
                if not line.strip():
                    raise InputError("the line is empty")
                read[r] = self.format.parse_line(line)
            except InputError as error:
                errors.append(LineError(number, str(error)))
        if errors or skipped:
            lines = np.delete(lines, [r for r, row in read.items() if row is None])
        parsed = Parsed(
            assemble_with(rows, n, self._buffer, read),
            lines,
            tuple(errors),
            int(rows.lines[n]),
            skipped=tuple(skipped),
        )
        return parsed, behind + end

    def _read_header(self, end: int) -> int:
        """Take the header out of ``buffer[:end]``, where it is still to come, and tell its length."""
        behind = 0
        while self._header and behind < end:
            stop = self._buffer.find(b"\n", behind)
            self._header = not self.format.read_header(_without_end(bytes(self._buffer[behind:stop])))
            self._line += 1
            behind = stop + 1
        if behind:
            self._array[: end - behind] = self._array[behind:end]
        return behind

    def _meet(self) -> None:
        """Let the format look at the first line."""
        self._met = True
        stop = self._buffer.find(b"\n")
        if stop <= MET:
            self.format.meet(_without_end(bytes(self._buffer[:stop])))

    def _too_long(self, line: int) -> LineError:
        return LineError(
            line, f"the line is longer than {self.max_line} bytes; split it, or allow longer lines"
        )

    def _reserve(self, size: int) -> None:
        """Make room for `size` bytes and what is found in them; give back what a long line needed.

        A reader of a few lines takes little: room for a whole piece takes a millisecond to make.
        """
        if size <= self._capacity <= 4 * max(size, PIECE):
            return
        held, old = self._held, self._buffer
        self._capacity = size + size // 2
        self._buffer = bytearray(self._capacity + 1 + PADDING)
        self._buffer[:held] = old[:held]
        self._array: NDArray[np.uint8] = np.frombuffer(self._buffer, np.uint8)
        # What is held has no line end, so that a piece adds at most as many lines as bytes. A nonzero
        # takes at least two bytes.
        self._rows = Rows.allocate(min(self._capacity, PIECE) + 2, self._capacity // 2 + 2)

    def _counted(self, parsed: Parsed) -> Parsed:
        """Tell the conflicts of what was read, and count the line ends inside of what was passed over."""
        if self._passed:
            parsed = parsed._replace(lines_read=parsed.lines_read + self._passed)
            self._passed = 0
        conflicts = self.format.fields.take()
        return parsed._replace(conflicts=conflicts) if conflicts else parsed

    def _joined(self, parts: list[Parsed]) -> Parsed:
        """Join what the pieces of one call held."""
        if len(parts) == 1:
            return parts[0]
        return Parsed(
            Batch.concatenate([part.batch for part in parts if len(part.batch)]),
            np.concatenate([np.empty(0, np.int64), *(part.lines for part in parts)]),
            tuple(error for part in parts for error in part.errors),
            sum(part.lines_read for part in parts),
            skipped=tuple(line for part in parts for line in part.skipped),
        )


def _without_end(line: bytes) -> bytes:
    """Take the carriage return of a CRLF line end off."""
    return line[:-1] if line.endswith(b"\r") else line
