"""The foot of a Parquet file: its columns, and where the pages of each stand."""

from __future__ import annotations

import base64
import binascii
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

from nonzero.formats.arrow_types import Meaning
from nonzero.formats.thrift import DamagedError, read_struct

MAGIC: Final = b"PAR1"

_LONGEST: Final = 1 << 22
"""A longer foot is read faster by pyarrow, which is worth importing then."""

PLAIN: Final = 0
RUNS: Final = 3
DICTIONARY: Final = (2, 8)
"""How values are written that are codes of a dictionary: the number of old, and that of now."""

_ENCODINGS: Final = frozenset((PLAIN, RUNS, *DICTIONARY))

UNPACKED, SNAPPY, GZIP, ZSTD = 0, 1, 2, 6
_CODECS: Final = frozenset((UNPACKED, SNAPPY, GZIP, ZSTD))

_TRUTH, _INT32, _INT64, _FLOAT, _DOUBLE, _BYTES = 0, 1, 2, 4, 5, 6
_INTEGERS: Final = {11: "u4", 12: "u4", 13: "u4", 14: "u8", 15: "i4", 16: "i4", 17: "i4", 18: "i8"}
"""The dtype of the integers that a converted type stands for, as they are stored."""

_TEXT_TYPE, _TEXT_LOGICAL, _INTEGER_LOGICAL = 0, 1, 10

_ARROW_TYPES: Final = frozenset((2, 3, 5, 6, 20, 24))
"""Integers, floats, truths and texts, by the numbers of Arrow's types, which say more than Parquet's."""


class Leaf(NamedTuple):
    """A column that is read without pyarrow."""

    name: str
    meaning: Meaning
    """TEXT, TRUTH or NUMBER."""
    dtype: str
    """Of numbers: as they are stored, little endian."""
    optional: bool
    """Whether values may be null."""


class ColumnChunk(NamedTuple):
    """The pages of a column in a row group."""

    begin: int
    size: int
    codec: int


class Group(NamedTuple):
    """A row group."""

    rows: int
    chunks: list[ColumnChunk]
    size: int
    """The bytes of all of them."""


class Foot(NamedTuple):
    """What stands in the foot of a file."""

    leaves: list[Leaf]
    groups: list[Group]
    pandas: bytes | None
    """What pandas has written."""

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [leaf.name for leaf in self.leaves]


def read_foot(path: str | Path) -> Foot | None:
    """Return the foot of a file whose columns are all texts, numbers or truths, written in the usual ways.

    Returns
    -------
    Foot or None
        None for any other file, a damaged one among them: pyarrow reads it, or says what is wrong with it.

    Raises
    ------
    OSError
        For a file that cannot be read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        if size < 12:
            return None
        file.seek(size - 8)
        (length,) = struct.unpack("<I", file.read(4))
        if file.read(4) != MAGIC or length > min(size - 12, _LONGEST):
            return None
        file.seek(size - 8 - length)
        try:
            members, _ = read_struct(file.read(length))
            return _foot(members, size - 8 - length)
        except (DamagedError, KeyError, TypeError, AttributeError, IndexError, ValueError, struct.error):
            return None


def _foot(members: dict[int, Any], end: int) -> Foot | None:
    root, *elements = members[2]
    said = {one[1]: one.get(2) for one in members.get(5, [])}
    if (
        root.get(5) != len(elements)
        or 8 in members
        or not _is_plain(said.get(b"ARROW:schema"), len(elements))
    ):
        return None
    leaves = [_leaf(element) for element in elements]
    groups = [_group(group, elements, end) for group in members[4]]
    if None in leaves or None in groups:
        return None
    return Foot([leaf for leaf in leaves if leaf], [group for group in groups if group], said.get(b"pandas"))


def _leaf(element: dict[int, Any]) -> Leaf | None:
    """Return the column that an element of the schema is; None for one of another type."""
    stored, converted, logical = element.get(1), element.get(6), element.get(10)
    name = element[4].decode()
    if 5 in element or element.get(3) not in (0, 1):
        return None
    optional = element[3] == 1
    (kind,) = logical or (None,)
    if stored == _BYTES and (converted == _TEXT_TYPE or (converted is None and kind == _TEXT_LOGICAL)):
        return Leaf(name, Meaning.TEXT, "", optional)
    if stored in (_INT32, _INT64):
        dtype = "i4" if stored == _INT32 else "i8"
        if converted is not None or kind is not None:
            dtype = _INTEGERS.get(converted or 0, "")
            if kind not in (None, _INTEGER_LOGICAL) or dtype[1:] != ("4" if stored == _INT32 else "8"):
                return None
        return Leaf(name, Meaning.NUMBER, dtype, optional)
    if converted is not None or kind is not None:
        return None
    if stored in (_FLOAT, _DOUBLE):
        return Leaf(name, Meaning.NUMBER, "f4" if stored == _FLOAT else "f8", optional)
    return Leaf(name, Meaning.TRUTH, "", optional) if stored == _TRUTH else None


def _group(group: dict[int, Any], elements: list[dict[int, Any]], end: int) -> Group | None:
    """Return a row group; None where something of it is unusual."""
    rows, chunks = group[3], []
    if len(group[1]) != len(elements):
        return None
    for chunk, element in zip(group[1], elements, strict=True):
        about = chunk[3]
        usual = about[1] == element[1] and about[4] in _CODECS and _ENCODINGS.issuperset(about[2])
        if not usual or about[5] != rows or 1 in chunk or 8 in chunk:
            return None
        begin = about.get(11) or about[9]
        chunks.append(ColumnChunk(min(begin, about[9]), about[7], about[4]))
    if any(chunk.begin < 4 or chunk.size < 0 or chunk.begin + chunk.size > end for chunk in chunks):
        return None
    return Group(rows, chunks, sum(chunk.size for chunk in chunks))


def _is_plain(written: bytes | None, columns: int) -> bool:
    """Whether the types that Arrow has written beside Parquet's are those that are read without pyarrow."""
    if written is None:
        return True
    try:
        message = base64.b64decode(written)
    except binascii.Error:
        return False
    if b"ARROW:extension" in message:
        return False
    head = 8 if message[:4] == b"\xff\xff\xff\xff" else 4
    schema = _member(message, head + _uint(message, head), 2)
    fields = _member(message, schema, 1) if schema else 0
    if not fields or _uint(message, fields) != columns:
        return False
    for k in range(columns):
        at = fields + 4 + 4 * k
        field = at + _uint(message, at)
        kind = _place(message, field, 2)
        if not kind or message[kind] not in _ARROW_TYPES:
            return False
    return True


# -- the tables of flatbuffers, by which Arrow writes its schema --------------------------------------------


def _uint(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _place(data: bytes, table: int, slot: int) -> int:
    """Return where a member of a table is; 0 where it has none."""
    slots = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, slots)
    if 4 + 2 * slot >= size:
        return 0
    offset = int(struct.unpack_from("<H", data, slots + 4 + 2 * slot)[0])
    return table + offset if offset else 0


def _member(data: bytes, table: int, slot: int) -> int:
    """Return where a table, or a list, is that a member stands for; 0 for none."""
    at = _place(data, table, slot)
    return at + _uint(data, at) if at else 0
