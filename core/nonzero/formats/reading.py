"""Reader: bytes in chunks of any size -> batches, line by line, in memory that stays flat."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.assembly import PlainRow, assemble, assemble_with
from nonzero.formats.format import Format
from nonzero.formats.parsed import Buffer, Parsed
from nonzero.formats.row_arrays import NAMED, PLAIN, RowArrays, summarize

MAX_LINE: Final = 16 * 2**20
"""The longest line that is read unless said otherwise, in bytes."""

PARSED_AT_ONCE: Final = 2**20
"""At most so many bytes are parsed at once: they and what is found in them stay in the cache."""

NEWLINE: Final = np.uint8(ord("\n"))

PADDING: Final = 64
"""So many bytes behind the last line may be read (not understood) by compiled code."""

_WORTHWHILE: Final = 1 << 16
"""Fewer bytes are not parsed where they are: to copy them is nothing beside the calls."""

_SEARCHED: Final = 1 << 16
"""So far a line's end is looked for at either end of a piece."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some programs write before text in UTF-8."""

LONGEST_MET: Final = 2**16
"""A first line of more bytes is not looked at before it is read: in Python that takes a second a megabyte."""


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
        self._rows = RowArrays.allocate(0, 0)
        self._capacity = -1
        self._buffer = bytearray()
        self._reserve(0)

    @property
    def unread(self) -> int:
        r"""How many bytes at the end of what was fed are no whole line yet, or no whole record.

        Examples
        --------
        >>> from nonzero import formats
        >>> table = formats.reader("csv", boolean=())
        >>> _ = table.feed(b'click,site\n1,"a\n')
        >>> table.unread
        5
        """
        return self._held

    @property
    def is_within(self) -> bool:
        r"""Whether what was fed ends within a line, or within a record.

        Examples
        --------
        >>> from nonzero import formats
        >>> lines = formats.reader("vw")
        >>> _ = lines.feed(b"1 | a\n0 |")
        >>> lines.is_within
        True
        """
        return self._held > 0 or self._passing

    def alike(self) -> Reader | None:
        r"""Return a new reader for other parts of the stream; None where it must be read in its order.

        It takes a byte order mark as any other bytes: the stream's start is for who cuts it into parts.

        Returns
        -------
        Reader or None
            One that reads parts which begin and end with a line, also in another thread.

        Examples
        --------
        >>> from nonzero import formats
        >>> other = formats.reader("vw").alike()
        >>> other.feed(b"1 | a\n").batch
        Batch(1 examples, 1 nonzeros)
        """
        form = self.format.alike()
        if form is None:
            return None
        other = Reader(form, self.max_line)
        other._begun = True
        return other

    def feed(self, *data: Buffer, behind: int = 0) -> Parsed:
        r"""Read the lines that these bytes finish.

        Parameters
        ----------
        data
            Anything with the buffer interface: bytes, bytearray, memoryview, an array of uint8. Several are
            read as if they were one, which they need not be made for it.
        behind
            So many bytes of the same memory may be looked at behind the last of them, whatever they are.

        Returns
        -------
        Parsed
            The rows of these lines, and the lines that could not be read.

        Raises
        ------
        FormatError
            For a header that cannot be used, or is longer than `max_line`.
        ValueError
            For a reader that is finished.

        Examples
        --------
        >>> from nonzero import formats
        >>> found = formats.reader("vw").feed(b"1 | a\n", b"2 | a\n")
        >>> found.batch, found.lines.tolist(), found.errors
        (Batch(1 examples, 1 nonzeros), [1], (LineError(line=2, reason="the label '2' is not 1, 0 or -1"),))
        """
        if self._finished:
            raise ValueError("this reader is finished; make a new one for another stream")
        parts: list[Parsed] = []
        searched = self._held
        for place, one in enumerate(data, 1):
            view = np.frombuffer(one, np.uint8)
            after = behind if place == len(data) else 0
            for start in range(0, view.size, PARSED_AT_ONCE):
                piece = view[start : start + PARSED_AT_ONCE]
                parsed, taken = self._read_in_place(piece, view.size - start - piece.size + after)
                if parsed is not None:
                    parts.append(parsed)
                    piece, searched = piece[taken:], 0
                if self._held + piece.size > searched + PARSED_AT_ONCE:
                    parts += self._read(searched)
                    searched = self._held
                self._hold(piece)
        if self._held > searched:
            parts += self._read(searched)
        return self._counted(Parsed.concatenate(parts))

    def finish(self) -> Parsed:
        """Read the last line, where it lacks its end; the reader takes nothing after this.

        Returns
        -------
        Parsed
            Its row, where there is one, or its error.

        Raises
        ------
        FormatError
            For a header that cannot be used.

        Examples
        --------
        >>> from nonzero import formats
        >>> lines = formats.reader("vw")
        >>> lines.feed(b"1 | a").batch, lines.finish().batch
        (Batch(0 examples, 0 nonzeros), Batch(1 examples, 1 nonzeros))
        """
        self._finished = True
        parts: list[Parsed] = []
        if self._held:
            if self._buffer[self._held - 1] != ord("\n"):  # whole lines may have been held back
                self._buffer[self._held] = ord("\n")
                self._held += 1
            parsed, whole = self._parse(self._held)
            parts.append(parsed)
            if whole < self._held:
                parts.append(self._unfinished(bytes(self._buffer[whole : self._held - 1])))
            self._held = 0
        return self._counted(Parsed.concatenate(parts))

    def _unfinished(self, record: bytes) -> Parsed:
        """Refuse a last record that does not end."""
        try:
            self.format.read_line(record)
            reason = "the record does not end"
        except InputError as error:
            reason = str(error)
        first, lines = self._line + 1, 1 + record.count(b"\n")
        self._line += lines
        return Parsed.of_error(LineError(first, reason), lines)

    def _pass_mark(self) -> None:
        """Let go of a byte order mark at the stream's start, once enough bytes are there to tell."""
        start = bytes(self._buffer[: min(self._held, len(BYTE_ORDER_MARK))])
        self._begun = start == BYTE_ORDER_MARK or not BYTE_ORDER_MARK.startswith(start)
        if start == BYTE_ORDER_MARK:
            self._held -= len(start)
            self._array[: self._held] = self._array[len(start) : len(start) + self._held]

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
        """Parse what is whole of what is held; the first `searched` bytes were searched in vain."""
        if not self._begun:
            self._pass_mark()
            searched = 0
        end = self._held
        parts: list[Parsed] = []
        whole = self.format.whole(self._buffer, searched, end)
        if whole:
            parsed, whole = self._parse(whole)
            parts.append(parsed)
            self._array[: end - whole] = self._array[whole:end]
        self._held = end - whole
        if self._begun and self._held > max(self.max_line, self.format.holds):
            parts.append(self._give_up())
        return parts

    def _read_in_place(self, piece: NDArray[np.uint8], behind: int) -> tuple[Parsed | None, int]:
        """Parse whole lines where they are, behind what is held; only that line is put together.

        Parameters
        ----------
        piece
            Some bytes.
        behind
            So many behind them may be read too.

        Returns
        -------
        parsed : Parsed or None
            Their rows; None where they are to be held first.
        taken : int
            How many bytes were read.
        """
        usual = self.format.in_place and self._begun and self._met and not (self._passing or self._header)
        if piece.size < _WORTHWHILE or not usual:
            return None, 0
        begin, end = lines_in(piece, behind, begun=self._held > 0)
        if begin >= end or self._held + begin > self.max_line:
            return None, 0
        self._reserve(self._held + end)
        rows, first, nnz, lines = self._rows, 0, 0, 0
        if self._held:
            self._hold(piece[:begin])
            first = self.format.read(self._array, self._held, rows)
            nnz, lines = int(rows.indptr[first]), int(rows.lines[first])
        n = first + self.format.read(piece[begin:], end - begin, rows.behind(first, nnz))
        rows.indptr[first : n + 1] += nnz
        rows.lines[first : n + 1] += lines
        summary = summarize(rows, n)
        stop = self._held + end - begin
        if summary[0] & (PLAIN | NAMED) or stop > self.max_line:  # the text is asked for
            self._array[self._held : stop] = piece[begin:end]
            rows.spans[first:n] += self._held
            rows.ids[first:n] += np.where(rows.ids[first:n] < 0, 0, self._held)
        self._held = 0
        return self._made(n, stop, summary), end

    def _give_up(self) -> Parsed:
        """Let go of what is held: the beginning of a line that is too long."""
        if self._header:
            self.format.read_header(bytes(self._buffer[: self._held]))
            raise self._long_header()
        begun = bytes(self._buffer[: self._held])
        self.format.pass_over(begun, begins=True)
        self._held, self._passing = 0, True
        error = self._too_long(self._line + 1)
        lines = 1 + begun.count(b"\n")
        self._line += lines
        return Parsed.of_error(error, lines)

    def _parse(self, end: int) -> tuple[Parsed, int]:
        """Parse the whole lines ``buffer[:end]``; returns where those begin that are no row yet, or `end`."""
        behind = self._read_header(end)
        end -= behind
        if not self._met:
            self._meet()
        n = self.format.read(self._array, end, self._rows)
        if self.format.left is not None:
            left, end = end, self.format.left
            self._array[behind + end : behind + left] = self._array[end:left].copy()
        return self._made(n, end, summarize(self._rows, n)), behind + end

    def _made(self, n: int, end: int, summary: tuple[int, int]) -> Parsed:
        """Return what was found in ``buffer[:end]``, of which a summary says what it has."""
        rows = self._rows
        lines = rows.lines[:n] + (self._line + 1)
        self._line += int(rows.lines[n])
        if end <= self.max_line and not summary[0] & PLAIN:
            return Parsed(assemble(rows, n, self._buffer, summary), lines, (), int(rows.lines[n]))
        spans = rows.spans[:n]
        too_long = spans[:, 1] - spans[:, 0] > self.max_line
        read: dict[int, PlainRow | None] = {}
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
                read[r] = self.format.read_line(line)
            except InputError as error:
                errors.append(LineError(number, str(error)))
        if errors or skipped:
            lines = np.delete(lines, [r for r, row in read.items() if row is None])
        return Parsed(
            assemble_with(rows, n, self._buffer, read),
            lines,
            tuple(errors),
            int(rows.lines[n]),
            skipped=tuple(skipped),
        )

    def _read_header(self, end: int) -> int:
        """Take the header out of ``buffer[:end]``, where it is still to come, and tell its length."""
        behind = 0
        while self._header and behind < end:
            stop = self._buffer.find(b"\n", behind)
            if stop - behind > self.max_line and not self.format.headless:
                raise self._long_header()
            self._header = not self.format.read_header(_without_end(bytes(self._buffer[behind:stop])))
            if not self._header and self.format.headless:
                break
            self._line += 1
            behind = stop + 1
        if behind:
            self._array[: end - behind] = self._array[behind:end]
        return behind

    def _meet(self) -> None:
        """Let the format look at the first line."""
        self._met = True
        stop = self._buffer.find(b"\n")
        if stop <= LONGEST_MET:
            self.format.meet(_without_end(bytes(self._buffer[:stop])))

    def _long_header(self) -> FormatError:
        return FormatError(f"the header is longer than {self.max_line} bytes")

    def _too_long(self, line: int) -> LineError:
        return LineError(
            line, f"the line is longer than {self.max_line} bytes; split it, or allow longer lines"
        )

    def _reserve(self, size: int) -> None:
        """Make room for `size` bytes and what is found in them; give back what a long line needed.

        A reader of a few lines takes little: room for a whole piece takes a millisecond to make.
        """
        if size <= self._capacity <= 4 * max(size, PARSED_AT_ONCE):
            return
        held, old = self._held, self._buffer
        self._capacity = size + size // 2
        self._buffer = bytearray(self._capacity + 1 + PADDING)
        self._buffer[:held] = old[:held]
        self._array: NDArray[np.uint8] = np.frombuffer(self._buffer, np.uint8)
        # What is held has hardly a line end, so that a piece adds at most as many lines as bytes. A nonzero
        # takes at least two bytes.
        room = min(self._capacity, PARSED_AT_ONCE) + 2 * PADDING
        self._rows = RowArrays.allocate(room, self._capacity // 2 + 2)

    def _counted(self, parsed: Parsed) -> Parsed:
        """Tell the conflicts of what was read, and count the line ends inside of what was passed over."""
        if self._passed:
            parsed = parsed._replace(lines_read=parsed.lines_read + self._passed)
            self._passed = 0
        conflicts = self.format.fields.take()
        return parsed._replace(conflicts=conflicts) if conflicts else parsed


def lines_in(piece: NDArray[np.uint8], behind: int, *, begun: bool) -> tuple[int, int]:
    """Return where whole lines begin and end in some bytes, so that PADDING bytes behind may be read.

    Parameters
    ----------
    piece
        The bytes.
    behind
        So many behind them may be read too.
    begun
        Whether they begin within a line.
    """
    begin = 0
    if begun:
        begin = piece[:_SEARCHED].tobytes().find(b"\n") + 1
        if not begin:
            return 0, 0
    stop = piece.size - max(PADDING - behind, 0)
    start = max(stop - _SEARCHED, 0)
    last = piece[start:stop].tobytes().rfind(b"\n")
    # A line that is longer than what is searched ends in what comes: such a piece is held.
    return begin, 0 if last < 0 else start + last + 1


def _without_end(line: bytes) -> bytes:
    """Take the carriage return of a CRLF line end off."""
    return line[:-1] if line.endswith(b"\r") else line
