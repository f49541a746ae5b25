# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment"
"""Compiled: pages of a Parquet file, from bytes to cells as :mod:`nonzero.formats.arrow_kernels` has them.

Nobody vouches for the bytes. So each place is checked against the end, each code against its dictionary, and
each length against what is left. 64 bytes behind a page may be read.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import address_of, byte_at, choose, put_word, word_at
from nonzero.fields.hashing import NAMES_AT_ONCE, hash_names, put_name
from nonzero.formats.arrow_kernels import NONE
from nonzero.native import inlined, kernel, types

PADDING: Final = 64
"""So many bytes behind a page may be read, and written where it is unpacked."""

STATE: Final = 4
"""A place among runs: the next one; what is left of this one, whether it is packed, its value or bit."""

NUMBERS: Final = 16
"""Numbers of a header's structs, and of the members of each, are below it."""

_BYTES: Final = types.uint8.readonly
_MOST: Final = 1 << 40
"""More than anything in a page."""


@inlined
def _varint(text, at):
    """Read a number of seven bits a byte; a longer one than ten bytes is cut."""
    number, shift = np.uint64(0), np.uint64(0)
    while True:
        byte = np.uint64(byte_at(text, at))
        at += 1
        number |= (byte & np.uint64(127)) << shift
        shift += np.uint64(7)
        if byte < np.uint64(128) or shift > np.uint64(63):
            return number, at


@inlined
def _signed(number):
    """Undo what lets small negative numbers be short."""
    return np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1))


@kernel(types.int64(_BYTES, types.int64, types.int64, types.int64[::1]))
def read_header(data, at, end, found):  # noqa: C901
    """Read a page's header, a struct of Thrift's compact protocol.

    Parameters
    ----------
    data
        The bytes.
    at, end
        Where it begins, and where the bytes end.
    found
        int64[NUMBERS * NUMBERS]: the number `n` of the header is written to ``found[n]``, that of its struct
        `s` to ``found[NUMBERS * s + n]``; a truth is 1 or 0.

    Returns
    -------
    int64
        Where it ends; -1 where it is none, or not whole.
    """
    text = address_of(data)
    path = np.uint64(0)  # the number in each struct that is open, a byte each
    depth = 0
    while at < end:
        head = byte_at(text, at)
        at += 1
        kind = head & np.uint8(15)
        if kind == 0:
            if depth == 0:
                return at
            depth -= 1
            path >>= np.uint64(8)
            continue
        number = np.int64(path & np.uint64(255)) + np.int64(head >> np.uint8(4))
        if head < np.uint8(16):
            long, at = _varint(text, at)
            number = _signed(long)
        if number < 1 or number > 255:
            return -1
        path = path & ~np.uint64(255) | np.uint64(number)
        value = np.int64(0)
        if kind <= 2:
            value = np.int64(kind == 1)
        elif kind == 3:
            at += 1
        elif kind <= 6:
            long, at = _varint(text, at)
            value = _signed(long)
        elif kind == 7:
            at += 8
        elif kind == 8:
            long, at = _varint(text, at)
            if long > np.uint64(end):
                return -1
            at += np.int64(long)
        elif kind == 12 and depth < 7:
            depth += 1
            path <<= np.uint64(8)
            continue
        else:
            return -1
        parent = np.int64(path >> np.uint64(8) & np.uint64(255)) if depth else 0
        if depth < 2 and number < NUMBERS and parent < NUMBERS:
            found[np.uintp(NUMBERS * parent + number)] = value
    return -1


@kernel(types.int64(_BYTES, types.int64, types.int64, types.int64, types.uint8[::1]))
def unsnap(data, at, end, size, out):  # noqa: C901
    """Unpack what Snappy packed; return whether it was `size` bytes, as 1 or 0.

    `out` has room for them, and for PADDING more.
    """
    text, to = address_of(data), address_of(out)
    said, at = _varint(text, at)
    if said != np.uint64(size) or out.size < size + PADDING:
        return 0
    done = 0
    while at < end:
        tag = np.int64(byte_at(text, at))
        at += 1
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                more = length - 60
                length = (
                    np.int64(word_at(text, at) & ((np.uint64(1) << np.uint64(8 * more)) - np.uint64(1))) + 1
                )
                at += more
            if length > end - at or length > size - done:
                return 0
            # Most are short. What is written behind them is written over.
            put_word(to, done, word_at(text, at))
            put_word(to, done + 8, word_at(text, at + 8))
            for j in range(16, length, 8):
                put_word(to, done + j, word_at(text, at + j))
            at += length
        else:
            word = np.int64(word_at(text, at) & np.uint64(0xFFFFFFFF))
            short = kind == 1
            length = choose(short, (tag >> 2 & 7) + 4, (tag >> 2) + 1)
            back = choose(short, tag >> 5 << 8 | word & 255, word & 0xFFFF)
            at += kind
            if kind == 3:
                back = word
                at += 1
            if back == 0 or back > done or length > size - done:
                return 0
            if back >= 8 or length <= back:
                put_word(to, done, word_at(to, done - back))
                put_word(to, done + 8, word_at(to, done - back + 8))
                for j in range(16, length, 8):
                    put_word(to, done + j, word_at(to, done - back + j))
            else:
                for j in range(length):
                    out[np.uintp(done + j)] = out[np.uintp(done + j - back)]
        done += length
    return np.int64(done == size and at == end)


@inlined
def _next_run(text, at, end, width):
    """Read the head of a run of codes of `width` bits.

    Returns
    -------
    at : int64
        Where the next one begins; -1 where this one is none.
    left : int64
        How many codes it has.
    packed : int64
        Whether they stand there one by one.
    value : int64
        Where the first one's bits begin, or what all of them are.
    """
    if at >= end:
        return -1, 0, 0, 0
    head, at = _varint(text, at)
    count = np.int64(head >> np.uint64(1) & np.uint64(_MOST - 1))
    if head & np.uint64(1):
        stop = at + count * width
        if stop > end:
            return -1, 0, 0, 0
        return stop, 8 * count, 1, 8 * at
    size = (width + 7) >> 3
    if at + size > end:
        return -1, 0, 0, 0
    value = word_at(text, at) & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1))
    return at + size, count, 0, np.int64(value)


@kernel(
    types.int64(
        _BYTES,
        types.int64,
        types.int64[::1],
        types.int64,
        types.uint32.readonly,
        types.int64,
        types.uint32[::1],
    )
)
def look_up(data, end, state, width, entries, size, cells):
    """Write the entry of a dictionary that each of the next codes stands for; return how many could be read.

    Parameters
    ----------
    data, end
        The bytes, and where the runs end.
    state
        int64[STATE]: where they go on, which is written anew.
    width
        The bits of a code, 0 to 32.
    entries, size
        The dictionary, and how many entries are its own, one at least. Where there are as many as codes could
        stand for, none needs to be looked at before it is used.
    cells
        Where to: one for each code.
    """
    text = address_of(data)
    at, left, packed, value = state[0], state[1], state[2], state[3]
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    size = np.uint64(size)
    n, done = cells.size, 0
    while done < n:
        if left == 0:
            at, left, packed, value = _next_run(text, at, end, width)
            if at < 0:
                break
            continue
        count = min(left, n - done)
        known = True
        if packed and mask < np.uint64(entries.size):
            most = np.uint64(0)
            for k in range(count):
                bit = value + k * width
                code = word_at(text, bit >> 3) >> np.uint64(bit & 7) & mask
                most = max(most, code)
                cells[np.uintp(done + k)] = entries[np.uintp(code)]
            known = most < size
            value += count * width
        elif packed:
            for k in range(count):
                bit = value + k * width
                code = word_at(text, bit >> 3) >> np.uint64(bit & 7) & mask
                inside = code < size
                known &= inside
                cells[np.uintp(done + k)] = entries[np.uintp(code if inside else np.uint64(0))]
            value += count * width
        else:
            known = np.uint64(value) < size
            entry = entries[np.uintp(value if known else 0)]
            for k in range(count):
                cells[np.uintp(done + k)] = entry
        if not known:
            break
        done += count
        left -= count
    state[0], state[1], state[2], state[3] = at, left, packed, value
    return done


@kernel(types.int64(_BYTES, types.int64, types.int64, types.uint8[::1]))
def read_levels(data, at, end, levels):
    """Write 1 for each value that is there, and 0 for null; return how many are there, or -1 for damage."""
    text = address_of(data)
    n, done, there = levels.size, 0, 0
    while done < n:
        at, left, packed, value = _next_run(text, at, end, 1)
        if at < 0 or (not packed and value > 1):
            return -1
        count = min(left, n - done)
        if not packed:
            for k in range(count):
                levels[np.uintp(done + k)] = np.uint8(value)
            there += count * value
        else:
            for k in range(count):
                bit = byte_at(text, (value + k) >> 3) >> np.uint8((value + k) & 7) & np.uint8(1)
                levels[np.uintp(done + k)] = bit
                there += np.int64(bit)
        done += count
    return there


@kernel(types.void(types.uint8.readonly, types.int64, types.uint32, types.uint32[::1]))
def spread(levels, there, none, cells):
    """Move the first cells, those of the `there` values that are, to their places; the others are `none`."""
    k = there
    for r in range(levels.size - 1, -1, -1):
        k -= np.int64(levels[np.uintp(r)])
        cells[np.uintp(r)] = cells[np.uintp(k)] if levels[np.uintp(r)] else np.uint32(none)


@kernel(
    types.int64(
        _BYTES, types.int64, types.int64, types.int64, types.int64, types.uint32[::1], types.uint32[::1]
    )
)
def hash_values(data, at, end, beginning, length, names, cells):
    """Hash the names of the features of the next texts; return where they end, or -1 for damage.

    Parameters
    ----------
    data, at, end
        The bytes, where the length of the first text is, as four bytes, and where the last one must end.
    beginning, length
        What begins the names, and how long that is.
    names
        Room for what is written down of names.
    cells
        Where to, one a text; of an empty one NONE.
    """
    text = address_of(data)
    start = np.uint64(beginning)
    first = at
    n, some_empty = cells.size, False
    for done in range(0, n, NAMES_AT_ONCE):
        count = min(n - done, NAMES_AT_ONCE)
        for i in range(count):
            if at + 4 > end:
                return -1
            size = np.int64(word_at(text, at) & np.uint64(0xFFFFFFFF))
            at += 4
            if size > end - at:
                return -1
            some_empty |= size == 0
            put_name(names, i, start, length, text, at, at + size)
            at += size
        hash_names(names, count, cells, done)
    if some_empty:
        for r in range(n):
            size = np.int64(word_at(text, first) & np.uint64(0xFFFFFFFF))
            if size == 0:
                cells[np.uintp(r)] = NONE
            first += 4 + size
    return at


@kernel(types.int64(_BYTES, types.int64, types.int64, types.int64[::1]))
def find_values(data, at, end, spans):
    """Write where each of the next texts begins and ends; return where the last ends, or -1 for damage."""
    text = address_of(data)
    for r in range(0, spans.size, 2):
        if at + 4 > end:
            return -1
        size = np.int64(word_at(text, at) & np.uint64(0xFFFFFFFF))
        at += 4
        if size > end - at:
            return -1
        spans[np.uintp(r)] = at
        at += size
        spans[np.uintp(r + 1)] = at
    return at
