"""What delimited text is made of, in plain Python: its delimiter, its records and their cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final

from nonzero.errors import FormatError, InputError
from nonzero.formats.numbers import shown

DELIMITERS: Final = (b",", b";", b"\t", b"|")
"""What is looked for in a header."""

_NAMES: Final = {b",": "','", b";": "';'", b"|": "'|'"}


def check_header(line: bytes) -> None:
    """Refuse a first line that is of another encoding, or of lines that do not end in LF.

    Raises
    ------
    FormatError
        It names what the text seems to be, and how to convert it.
    """
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
        raise FormatError(
            "the text is UTF-16, or not text at all: it is read as UTF-8; convert it first, such as by "
            "iconv -f UTF-16 -t UTF-8 FILE"
        )
    if b"\r" in line:
        raise FormatError(
            "the header has a carriage return (CR) in it; where lines end in CR alone, convert them first, "
            r"such as by tr '\r' '\n' < FILE"
        )


def named_delimiter(line: bytes) -> bytes:
    """Return the delimiter that a line ``sep=;`` before the header names; nothing for another line."""
    return line[4:] if len(line) == 5 and line[:4].lower() == b"sep=" else b""


def find_delimiter(header: bytes) -> bytes:
    r"""Return which of comma, semicolon, tab and pipe stands between a header's names; else a comma.

    A tab wins over the others: it is part of no name.

    Raises
    ------
    FormatError
        Where several of them do.

    Examples
    --------
    >>> find_delimiter(b'click;"site, page"')
    b';'
    """
    outside = b"".join(header.split(b'"')[::2])
    found = [delimiter for delimiter in DELIMITERS if delimiter in outside]
    if b"\t" in found:
        return b"\t"
    if len(found) > 1:
        named = " and ".join(_NAMES[delimiter] for delimiter in found)
        raise FormatError(f"the header has {named} in it; say which stands between columns (--delimiter)")
    return found[0] if found else b","


def records(text: bytes, delimiter: bytes) -> Iterator[list[bytes]]:
    r"""Yield the cells of each record of a sample, by the standard library where there are quotes.

    It reads some records that are refused elsewhere, such as one that goes on after a closing quote.

    Examples
    --------
    >>> list(records(b'1,"a\n""b"" c"\n0,c\n1,', b","))
    [[b'1', b'a\n"b" c'], [b'0', b'c']]
    """
    lines = text.split(b"\n")[:-1]
    if b'"' not in text:
        for line in lines:
            yield line.removesuffix(b"\r").split(delimiter)
        return
    reader = csv.reader((line.decode("latin-1") + "\n" for line in lines), delimiter=delimiter.decode())
    while True:
        try:
            yield [cell.encode("latin-1") for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:  # a carriage return outside quotes, or a very long cell
            continue


def split_cells(record: bytes, delimiter: bytes) -> list[bytes]:
    """Split a record into its cells, without their quotes.

    Raises
    ------
    InputError
        Where a quoted cell does not end, or goes on after its quote.
    """
    if b'"' not in record:
        return record.split(delimiter)
    cells: list[bytes] = []
    j = 0
    while True:
        if record.startswith(b'"', j):
            stop = _closing(record, j + 1)
            if stop < 0:
                lines = record.count(b"\n")
                lost = f", nor in the {lines} lines after it" if lines else ""
                raise InputError(
                    f"a quoted cell does not end in its line{lost}; close it, or double the quote"
                )
            cell, j = record[j + 1 : stop].replace(b'""', b'"'), stop + 1
            if j < len(record) and record[j : j + 1] != delimiter:
                raise InputError(
                    f"{shown(record[j:])} stands after a closing quote; write a quote inside a cell twice"
                )
        else:
            stop = record.find(delimiter, j)
            stop = len(record) if stop < 0 else stop
            cell, j = record[j:stop], stop
        cells.append(cell)
        if j == len(record):
            return cells
        j += 1


def _closing(text: bytes, j: int) -> int:
    """Return where the quote stands that closes the cell of which `j` is the first byte; -1 for none."""
    while True:
        j = text.find(b'"', j)
        if j < 0 or not text.startswith(b'"', j + 1):
            return j
        j += 2


class LongRecord:
    """Looks for the end of a record that is too long to be held, in pieces of it.

    Parameters
    ----------
    delimiter
        What stands between cells.
    """

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._where = _START

    def end_in(self, piece: bytes) -> int:
        """Return where the record ends in its next piece, after its newline; 0 where it goes on."""
        j = 0
        while j < len(piece):
            if self._where == _QUOTED:
                j = piece.find(b'"', j) + 1
                if not j:
                    return 0
                self._where = _AFTER_QUOTE
            elif self._where != _PLAIN:  # where a quote opens the cell, or doubles the one before
                quote = piece.startswith(b'"', j)
                self._where = _QUOTED if quote else _PLAIN
                j += quote
            else:
                newline = piece.find(b"\n", j)
                opening = piece.find(self._delimiter + b'"', j, newline if newline >= 0 else len(piece))
                if opening < 0:
                    self._where = _START if piece.endswith(self._delimiter) else _PLAIN
                    return newline + 1
                self._where, j = _START, opening + 1
        return 0


_START, _PLAIN, _QUOTED, _AFTER_QUOTE = range(4)
