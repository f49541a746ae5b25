"""CSV text in pieces -> its header and its records: a line end inside quotes is a part of the record."""

from __future__ import annotations

from typing import Final

from nonzero_client.errors import InputError

_DELIMITERS: Final = (b",", b";", b"\t", b"|")
_NAMED: Final = {"tab": b"\t", "\\t": b"\t"}
_MARK: Final = b"\xef\xbb\xbf"


class Records:
    """Puts the lines of a table of text together to records, as the service does.

    Parameters
    ----------
    delimiter
        What stands between columns; None: what the header has.

    Attributes
    ----------
    head
        The header, and what stands before it, once it was read. It goes before each batch.
    """

    def __init__(self, delimiter: str | None = None) -> None:
        self.head = b""
        self._delimiter = b"" if delimiter is None else _NAMED.get(delimiter, delimiter.encode())
        self._header_read = False
        self._held: list[bytes] = []
        self._inside = False

    def add(self, line: bytes) -> bytes | None:
        """Take a line with its end; return the record that it ends.

        Raises
        ------
        InputError
            For a header that does not tell what stands between columns.
        """
        if not self._header_read:
            self.head += line
            self._header_read = self._read_header(line)
            return None
        self._held.append(line)
        self._inside = self._ends_inside(line)
        return None if self._inside else self.rest()

    def rest(self) -> bytes | None:
        """Return what is held: at the end, a record whose quotes were not closed."""
        record, self._held = b"".join(self._held), []
        return record or None

    def _read_header(self, line: bytes) -> bool:
        """Take one of the first lines; return whether it was the header."""
        text = line.rstrip(b"\r\n").removeprefix(_MARK)
        if not text.strip():
            return False
        if len(text) == 5 and text[:4].lower() == b"sep=":
            self._delimiter = self._delimiter or text[4:]
            return False
        self._delimiter = self._delimiter or _delimiter_of(text)
        return True

    def _ends_inside(self, line: bytes) -> bool:
        """Return whether the line ends inside quotes: a quote opens where a cell begins, and nowhere else."""
        j = 0
        if not self._inside:
            opening = 0 if line.startswith(b'"') else line.find(self._delimiter + b'"') + 1
            if not opening and not line.startswith(b'"'):
                return False
            j = opening + 1
        while True:
            j = line.find(b'"', j)
            if j < 0:
                return True
            if line.startswith(b'"', j + 1):
                j += 2
                continue
            opening = line.find(self._delimiter + b'"', j + 1)
            if opening < 0:
                return False
            j = opening + 2


def _delimiter_of(header: bytes) -> bytes:
    outside = b"".join(header.split(b'"')[::2])
    found = [delimiter for delimiter in _DELIMITERS if delimiter in outside]
    if b"\t" in found:
        return b"\t"
    if len(found) > 1:
        shown = " and ".join(repr(one.decode()) for one in found)
        raise InputError(f"the header has {shown} in it; say which stands between columns, by delimiter=")
    return found[0] if found else b","
