"""Format: what is written to read another text format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError
from nonzero.fields.counts import Fields
from nonzero.fields.schema import Schema
from nonzero.formats.assembly import PlainRow
from nonzero.formats.row_arrays import RowArrays, leave_lines


class Format(ABC):
    r"""A text format: how its lines become rows. One object reads one stream.

    A format has two parsers of the same lines. A **plain** one, :meth:`parse_line`, reads one line in Python
    and says what is wrong with it. A **compiled** one, :meth:`read`, takes many whole lines at once and reads
    what is ordinary and right, as the plain one does, some hundred times as fast. Any other line it leaves
    alone, marked as plain.

    To add a format:

    1. Write a class with :attr:`name` and :meth:`parse_line`, and :meth:`alike` and :meth:`skips` where their
       defaults do not suit. That is a format: without a :meth:`read` of its own every line is plain. Then
       write :meth:`read` and its kernel. :mod:`nonzero.formats.libsvm` is the shortest example.
    2. Register it: its entry in :mod:`nonzero.formats.registry`. From then on :func:`nonzero.formats.reader`,
       the command line, the fuzz targets and, where it has a media type, the HTTP API know it.
    3. Hold the two parsers against each other, as ``tests/core/formats/test_libsvm.py`` does with
       ``plain_reader``.

    The kernel writes into :class:`~nonzero.formats.row_arrays.RowArrays`. For the r-th line it calls
    ``begin_row``, then ``put_nonzero`` for each nonzero (a value of 0 is none), sets label, weight, id and
    time where the line has them, and calls ``end_row``. It neither raises nor allocates, and it need not test
    for the buffer's end: the last byte is a newline, and 64 bytes behind it may be read. A line that it does
    not read has no nonzeros; a line of blanks is always one of those. Numbers are read by
    :mod:`nonzero.formats.numbers`, names are hashed by :mod:`nonzero.fields.hashing`, and a format with named
    fields asks :mod:`nonzero.fields.lookup` for the kind of each.

    Everything else has a default that suits a format whose lines stand for themselves. Only delimited text,
    which has a header and line ends inside quotes, replaces more.

    Parameters
    ----------
    schema
        What the fields are: a :class:`~nonzero.Schema`, or what it is made of. None: nothing is declared.

    Attributes
    ----------
    schema
        What the fields are.
    fields
        What this stream asks of the schema, and what it has counted.

    Examples
    --------
    A format of lines such as ``1 news sport``, by its plain parser alone:

    >>> from nonzero.fields.hashing import field_of, index_of
    >>> from nonzero.formats.assembly import PlainRow
    >>> from nonzero.formats.reading import Reader
    >>> class Words(Format):
    ...     name = "words"
    ...
    ...     def parse_line(self, line):
    ...         label, *words = line.split()
    ...         if label not in (b"0", b"1"):
    ...             raise InputError(f"the label {label.decode()!r} is not 0 or 1")
    ...         row = PlainRow(label=float(label))
    ...         for word in words:
    ...             row.add(index_of(b"word=" + word), 1.0, field_of("word"))
    ...         return row
    >>> found = Reader(Words()).feed(b"1 news sport\n?\n")
    >>> found.batch, found.errors
    (Batch(1 examples, 2 nonzeros), (LineError(line=2, reason="the label '?' is not 0 or 1"),))
    """

    name: str
    """What it is called in messages."""

    header: bool = False
    """Whether the first line names columns: it goes to :meth:`read_header`."""

    headless: bool = False
    """Whether the line with which :meth:`read_header` is content is no header, but the first row itself."""

    notes: Sequence[str] = ()
    """What there is to say about the stream, in sentences: of columns left out, of labels missing."""

    in_place: bool = False
    """Whether lines stand for themselves, and :meth:`read` takes bytes that must not be written to."""

    holds: int = 0
    """Up to so many bytes of whole lines may be held back by :meth:`whole` before the first row is read."""

    left: int | None = None
    """Where the last :meth:`read` found lines that are no row yet: their record goes on. None for nowhere."""

    def __init__(self, schema: Schema | Mapping[str, Any] | None = None) -> None:
        self.schema = Schema.of(schema)
        self.fields = Fields(self.schema)

    # -- what every format has -------------------------------------------------------------------------

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        """Parse the whole lines ``data[:end]`` by compiled code; the default leaves all of them to Python.

        Parameters
        ----------
        data
            uint8: the buffer; 64 bytes behind `end` may be read.
        end
            Where the lines end; the byte before is a newline.
        rows
            Where the rows are written, with room for one each two bytes, and for as many nonzeros.

        Returns
        -------
        int
            The number of rows, one a line.
        """
        return int(leave_lines(data, end, rows))

    @abstractmethod
    def parse_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python.

        Parameters
        ----------
        line
            The line without its end; never blank.

        Returns
        -------
        PlainRow
            Its label, weight, id and time, and its features: an index, a value and a field each.

        Raises
        ------
        InputError
            Where it cannot be read; the message is the reason, as a user reads it. A
            :class:`~nonzero.fields.counts.ContradictionError` where a value contradicts the schema.
        """

    # -- what most formats leave as it is --------------------------------------------------------------

    def alike(self) -> Format | None:
        """Return a new object that reads such lines too; None where a line's meaning rests on those before.

        Parts of a stream that end with a line may be read by either, and at the same time.

        Returns
        -------
        Format or None
            With the same schema object.
        """
        return None

    def skips(self, line: bytes) -> bool:  # noqa: ARG002 - most formats have an example in every line
        """Tell whether a line that the compiled parser left holds no example, and is no error.

        Parameters
        ----------
        line
            The line without its end; it may be blank.

        Returns
        -------
        bool
            True for a comment, say; the default is False.
        """
        return False

    def read_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python, and count what it is refused for.

        Parameters
        ----------
        line
            As for :meth:`parse_line`.

        Returns
        -------
        PlainRow
            As :meth:`parse_line` returns.

        Raises
        ------
        InputError
            As :meth:`parse_line` does.
        """
        try:
            return self.parse_line(line)
        except InputError as error:
            self.fields.refused(error)
            raise

    def meet(self, line: bytes) -> None:
        """Make the fields of a stream's first line known, where no line was read by this schema yet.

        Parameters
        ----------
        line
            The line without its end; it may be wrong.
        """
        other = self.alike()
        if other is not None and self.schema.known.is_new() and not self.skips(line):
            with suppress(InputError):
                other.parse_line(line)

    def read_header(self, line: bytes) -> bool:
        """Take one of the first lines, where there is a header.

        Parameters
        ----------
        line
            The line without its end.

        Returns
        -------
        bool
            Whether it was the header; the next line is handed over else.

        Raises
        ------
        FormatError
            Where it is one that cannot be used.
        """
        raise NotImplementedError

    def pass_over(self, data: bytes, *, begins: bool) -> int:  # noqa: ARG002 - a line ends at its newline
        """Return where a line ends that is too long, after its newline.

        Parameters
        ----------
        data
            Its beginning, or what follows on what was given before.
        begins
            Whether it is its beginning.

        Returns
        -------
        int
            A position in `data`; 0 where these bytes do not end it.
        """
        return data.find(b"\n") + 1

    def whole(self, data: bytearray, start: int, end: int) -> int:
        """Return where the last whole line of ``data[:end]`` ends.

        Parameters
        ----------
        data
            The buffer.
        start
            Bytes before it were searched before, in vain.
        end
            Where what is held ends.

        Returns
        -------
        int
            The position after its newline; 0 where there is none.
        """
        return data.rfind(b"\n", start, end) + 1
