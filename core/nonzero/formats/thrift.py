"""Structs of Thrift's compact protocol, which the foot of a Parquet file is."""

from __future__ import annotations

from typing import Any, Final

_DEEPEST: Final = 32
"""No struct of Parquet's is so deep."""

_INTEGERS: Final = frozenset((4, 5, 6))


class DamagedError(ValueError):
    """The bytes are no such struct."""


def read_struct(data: bytes, at: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    r"""Read a struct.

    Parameters
    ----------
    data
        The bytes.
    at
        Where it begins.
    depth
        In how many others it is.

    Returns
    -------
    members : dict
        By their numbers: truths, integers, bytes, lists, and structs as dicts. A float is None.
    end : int
        Where it ends.

    Raises
    ------
    DamagedError
        Where it is none, or not whole.

    Examples
    --------
    >>> read_struct(b"\\x15\\x02\\x18\\x01a\\x00")
    ({1: 1, 2: b'a'}, 6)
    """
    if depth > _DEEPEST:
        raise DamagedError("structs are too deep")
    members: dict[int, Any] = {}
    number = 0
    try:
        while head := data[at]:
            at += 1
            kind = head & 15
            if head >> 4:
                number += head >> 4
            else:
                number, at = _signed(data, at)
            if kind <= 2:
                members[number] = kind == 1
            else:
                members[number], at = _value(kind, data, at, depth)
    except IndexError:
        raise DamagedError("a struct is not whole") from None
    return members, at + 1


def _value(kind: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return _signed(data, at)
    if kind == 8:
        size, at = _varint(data, at)
        if size > len(data) - at:
            raise DamagedError("a text is not whole")
        return data[at : at + size], at + size
    if kind == 12:
        return read_struct(data, at, depth + 1)
    if kind in (9, 10):
        return _list(data, at, depth)
    if kind in (1, 2, 3):
        return data[at], at + 1
    if kind == 7:
        return None, at + 8
    raise DamagedError(f"there is a member of the type {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    if depth > _DEEPEST:
        raise DamagedError("lists are too deep")
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data) - at:
        raise DamagedError("a list is not whole")
    items = []
    for _ in range(size):
        item, at = _value(kind, data, at, depth + 1)
        items.append(item)
    return items, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise DamagedError("a number is too long")


def _signed(data: bytes, at: int) -> tuple[int, int]:
    number = data[at]  # most have one byte
    if number < 128:
        at += 1
    else:
        number, at = _varint(data, at)
    return (number >> 1) ^ -(number & 1), at
