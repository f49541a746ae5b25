"""Room in which a thread reads JSON examples that are in memory, and what it makes of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import InputError, LineError
from nonzero.fields.counts import Fields
from nonzero.fields.hashing import NAME_WORDS
from nonzero.fields.lookup import EVENTS, NEW_LINES
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.assembly import PlainRow, assemble, assemble_with
from nonzero.formats.expected import Expected
from nonzero.formats.json_examples import read_examples
from nonzero.formats.json_plain import row_of
from nonzero.formats.json_sequences import read_sequence
from nonzero.formats.json_text import MARGIN
from nonzero.formats.parsed import Buffer
from nonzero.formats.reading import PADDING
from nonzero.formats.row_arrays import PLAIN, RowArrays, summarize

ROWS_AT_ONCE: Final = 1024
"""So many examples are read at once: they and their bytes stay in the cache."""

ROOM: Final = 16 * ROWS_AT_ONCE
"""For so many rows there is room: a list is read at once where it has no more."""

NEWLINE: Final = ord("\n")


class Workspace:
    """What reading needs beside its result: allocation costs more than one row."""

    fields: Fields
    """What the fields are, and what came of them."""

    def __init__(self, size: int = 2**14) -> None:
        self._expected = Expected()
        self._names = np.empty(NAME_WORDS, np.uint32)
        self.use(untracked)
        self._reserve(size)

    def use(self, schema: Schema) -> None:
        """Read by a schema from now on."""
        self.schema = schema
        self.fields = Fields.of_thread(schema)

    def _reserve(self, size: int) -> None:
        self.size = size
        self.buffer = bytearray(size + PADDING)
        self._bytes = memoryview(self.buffer)  # a bytearray copies what is put into a part of it, first
        self.array = np.frombuffer(self.buffer, np.uint8)
        self.scratch = np.empty(size + MARGIN, np.uint8)
        self.rows = RowArrays.allocate(ROOM, size // 2 + 1)

    def one(self, line: Buffer) -> tuple[int, int] | None:
        """Read a single line without its end, into the first row; return what :func:`summarize` says of it.

        None where it is long, or compiled code cannot read it.
        """
        end = len(line) + 1
        if end > self.size:
            return None
        self.buffer[: end - 1] = line
        self.buffer[end - 1] = NEWLINE
        if self._compiled(end) != 1:
            return None
        summary = summarize(self.rows, 1)
        return None if summary[0] & PLAIN else summary

    def _compiled(self, end: int) -> int:
        """Read what is in the buffer by compiled code; where it left names that are new, once more."""
        n = self._once(end)
        if self.fields.events[EVENTS] and self.fields.left_new():
            asked = Fields(self.schema)
            for r in np.flatnonzero(self.rows.plain[:n]).tolist()[:NEW_LINES]:
                start, stop = self.rows.spans[r].tolist()
                with suppress(InputError):
                    row_of(bytes(self.buffer[start:stop]), asked)
            n = self._once(end)
        return n

    def _once(self, end: int) -> int:
        known, table = self._expected.of(self.schema), self.fields.table
        return int(read_examples(self.array, end, self.scratch, self.rows, known, self._names, table))

    def _put(self, text: bytes) -> None:
        """Put text into the buffer, which is made as large as that takes, and no larger than it should be."""
        size = len(text)
        if not size <= self.size <= 64 * max(size, 2**16):
            self._reserve(size)
        self._bytes[:size] = text

    def _read(self, lines: bytes) -> tuple[int, tuple[int, int]]:
        """Read whole lines by compiled code; return how many, and what :func:`summarize` says of them."""
        self._put(lines)
        n = self._compiled(len(lines))
        return n, summarize(self.rows, n)

    def read(self, lines: bytes) -> tuple[int, dict[int, str]]:
        """Read at most ROWS_AT_ONCE whole lines; return how many, and the reasons of those that are wrong."""
        n, self.summary = self._read(lines)
        self.by_python: dict[int, PlainRow | None] = {}
        wrong: dict[int, str] = {}
        if self.summary[0] & PLAIN:
            for r in np.flatnonzero(self.rows.plain[:n]).tolist():
                start, end = self.rows.spans[r].tolist()
                try:
                    self.by_python[r] = row_of(lines[start:end], self.fields)
                except InputError as error:
                    self.fields.refused(error)
                    wrong[r] = str(error)
        return n, wrong

    def read_all(self, examples: Sequence[bytes]) -> tuple[list[Batch], list[LineError]]:
        """Read examples that hold no newline; return them, some a batch, and what is wrong with which."""
        batches: list[Batch] = []
        errors: list[LineError] = []
        for first in range(0, len(examples), ROWS_AT_ONCE):
            n, wrong = self.read(b"\n".join([*examples[first : first + ROWS_AT_ONCE], b""]))
            errors.extend(LineError(first + r + 1, reason) for r, reason in wrong.items())
            if not errors:
                batches.append(self.batch(n))
        return batches, errors

    def hold(self, line: bytes) -> None:
        """Take a line, without its end, to be read by :meth:`sequence`."""
        self._put(line)
        self.buffer[len(line)] = NEWLINE

    def sequence(self, start: int, row: int = 0) -> tuple[int, int, bool]:
        """Read examples with commas between them, of the line that is held, while there is room for a row.

        Parameters
        ----------
        start
            Where the first of them is.
        row
            Its row: those before it stay as they are.

        Returns
        -------
        tuple[int, int, bool]
            The row behind the last, LEFT_ALONE where compiled code cannot read all of them; where what
            follows them is, and whether it follows a comma.
        """
        known, table = self._expected.of(self.schema), self.fields.table
        end, stop, more = read_sequence(
            self.array, start, self.scratch, self.rows, row, known, self._names, table
        )
        return end, stop, more == 1

    def sequence_batch(self, n: int) -> Batch:
        """Copy the first `n` rows of a sequence out as a batch."""
        return assemble(self.rows, n, self.buffer, summarize(self.rows, n))

    def compiled(self, lines: bytes) -> tuple[Batch, NDArray[np.bool_]]:
        """Read at most ROWS_AT_ONCE whole lines; return the rows that compiled code can read, and which."""
        n, summary = self._read(lines)
        read = self.rows.plain[:n] == 0
        if not summary[0] & PLAIN:
            return assemble(self.rows, n, self.buffer, summary), read
        left: dict[int, PlainRow | None] = dict.fromkeys(np.flatnonzero(~read).tolist())
        return assemble_with(self.rows, n, self.buffer, left), read

    def batch(self, n: int) -> Batch:
        """Copy the first `n` rows, all of them right, out as a batch."""
        if self.by_python:
            return assemble_with(self.rows, n, self.buffer, self.by_python)
        return assemble(self.rows, n, self.buffer, self.summary)


class _Own(threading.local):
    """Each thread's own workspace."""

    def __init__(self) -> None:
        self.workspace = Workspace()


_own: Final = _Own()


def own_workspace(schema: Schema = untracked) -> Workspace:
    """Return this thread's workspace, to read by a schema: what it reads is there until it reads again."""
    workspace = _own.workspace
    if workspace.schema is not schema:
        workspace.use(schema)
    return workspace
