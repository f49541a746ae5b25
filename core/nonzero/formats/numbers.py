# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Decimal text -> numbers: one definition; compiled code reads the easy ones, Python the others.

The value of a decimal text is ``float32(float64(text))``, the float64 correctly rounded. Compiled code reads
a text whose digits are below 2**53 and whose power of ten is within +-22: both are exact in float64 then, and
one multiplication or division rounds correctly (Clinger 1990, the fast path). Everything else is left to
Python's ``float``, which rounds correctly always.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import byte_at, choose, trailing_zeros, word_at
from nonzero.batches.limits import MAX_VALUE, MAX_WEIGHT
from nonzero.errors import InputError
from nonzero.formats.words import EVERY_BYTE, HIGH_BITS
from nonzero.native import inlined

WHOLE: Final = re.compile(rb"\d+")
DECIMAL: Final = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
POWERS: Final = np.array([10.0**e for e in range(23)])
MAX_DIGITS: Final = 19  # so many digits fit into 64 bits
MAX_POWER: Final = 22  # the largest power of ten that float64 holds exactly
EXACT: Final = 2**53

ZEROS: Final = EVERY_BYTE * np.uint64(ord("0"))
OVER_NINE: Final = EVERY_BYTE * np.uint64(0x80 - 10)
"""What makes the high bit of a byte of 10 or more."""
E_MINUS_ZERO_ZERO: Final = np.uint32(int.from_bytes(b"e-00", "little"))
TENS: Final = np.array([10**n for n in range(9)], np.uint64)


@inlined
def scan_digits(data, j, mantissa):
    """Append the decimal digits from ``data[j]`` on to `mantissa`; return it and where they end.

    Eight are looked at at a time; as many bytes behind the last may be read.
    """
    while True:
        digits = word_at(data, j) ^ ZEROS
        others = ((digits + OVER_NINE) | digits) & HIGH_BITS  # exact up to the lowest byte that is no digit
        if others == 0:
            mantissa = mantissa * TENS[np.uintp(8)] + _eight_digits(digits)
            j += 8
            continue
        n = trailing_zeros(others) >> 3
        up = np.uint64(63 - 8 * n)  # and one more: a shift by 64 has no result
        return mantissa * TENS[np.uintp(n)] + _eight_digits(digits << np.uint64(1) << up), j + n


@inlined
def _eight_digits(digits):
    """Return the number of eight digits, each a byte from 0 to 9, the first the lowest."""
    pairs = (digits * np.uint64(10 << 8 | 1) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs * np.uint64(100 << 16 | 1) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return fours * np.uint64(10000 << 32 | 1) >> np.uint64(32)


@inlined
def scan_exponent(data, j):
    """Read the exponent that may stand at ``data[j]``; return it, where it ends, and whether it was read."""
    if byte_at(data, j) | np.uint8(32) != np.uint8(101):
        return np.intp(0), j, True
    j += 1
    down = byte_at(data, j) == np.uint8(45)
    if down or byte_at(data, j) == np.uint8(43):
        j += 1
    start = j
    power, j = scan_digits(data, j, np.uint64(0))
    return -np.intp(power) if down else np.intp(power), j, j > start and j - start <= 4


@inlined
def scan_number(data, j):
    """Read the decimal number that starts at ``data[j]``.

    Something that is no part of a number must follow it (a newline at the latest).

    Returns
    -------
    value : float64
    end : intp
        Where the number ends, if it was read.
    read : bool
        Whether it was; otherwise it is no number, or one that Python must read.
    """
    negative = byte_at(data, j) == np.uint8(45)
    if negative or byte_at(data, j) == np.uint8(43):
        j += 1
    start = j
    mantissa = np.uint64(np.uint8(byte_at(data, j) - np.uint8(48)))
    if mantissa < np.uint64(10) and byte_at(data, j + 1) == np.uint8(46):
        j += 1  # one digit before the point is the rule
    else:
        mantissa, j = scan_digits(data, j, np.uint64(0))
    digits = j - start
    power = np.intp(0)
    if byte_at(data, j) == np.uint8(46):
        point = j + 1
        mantissa, j = scan_digits(data, point, mantissa)
        power = np.intp(point - j)
        digits += j - point
    read = digits > 0 and digits <= MAX_DIGITS and mantissa < np.uint64(EXACT)
    exponent, j, in_range = scan_exponent(data, j)
    read = read and in_range
    power += exponent
    read = read and power >= -MAX_POWER and power <= MAX_POWER
    value = np.float64(mantissa)
    if read:
        value = value / POWERS[np.uintp(-power)] if power < 0 else value * POWERS[np.uintp(power)]
    return (-value if negative else value), j, read


@inlined
def usual_number(data, start, stop):
    """Read ``data[start:stop]``, which is not empty, if it is written as most are: 0.25, -6.2699720e-02.

    That is one digit, a point, one to seven digits, and perhaps ``e-0`` and a digit.

    Returns
    -------
    value : float32
        Between -10 and 10.
    read : bool
        Whether it is so written.
    """
    negative = byte_at(data, start) == np.uint8(45)
    j = start + negative
    whole = np.uint64(np.uint8(byte_at(data, j) - np.uint8(48)))
    point = byte_at(data, j + 1)
    digits = word_at(data, j + 2) ^ ZEROS
    others = ((digits + OVER_NINE) | digits) & HIGH_BITS
    n = trailing_zeros(others | np.uint64(1) << np.uint64(63)) >> 3
    mantissa = whole * TENS[np.uintp(n)] + _eight_digits(digits << np.uint64(1) << np.uint64(63 - 8 * n))
    j += 2 + n
    read = whole < np.uint64(10) and point == np.uint8(46) and n > 0 and others != 0
    power = n
    if j != stop:
        rest = np.uint32(word_at(data, j)) - E_MINUS_ZERO_ZERO
        read = read and j + 4 == stop and np.uint32(rest & np.uint32(0xF0FFFFFF)) == np.uint32(0)
        read = read and np.uint32(rest >> np.uint32(24)) < np.uint32(10)
        power = n + np.intp(rest >> np.uint32(24))
    value = np.float64(mantissa) / POWERS[np.uintp(choose(read, power, np.intp(0)))]
    return np.float32(-value if negative else value), read


@inlined
def value_within(value):
    """Tell whether a number is a feature's value, as float32 at most 1e6 in magnitude."""
    return abs(np.float32(value)) <= np.float32(MAX_VALUE)


@inlined
def label_of_number(value):
    """Return the label 0 or 1 that a number stands for, else NaN."""
    if value == 1.0:
        return np.float32(1)
    return np.float32(0) if value == 0.0 or value == -1.0 else np.float32(np.nan)


def shown(text: bytes) -> str:
    """Show what was received: quoted, and cut where it is long."""
    return repr((text if len(text) <= 40 else text[:40] + b"...").decode(errors="backslashreplace"))


def number_of(text: bytes, what: str) -> float:
    """Read a decimal number, as float64.

    Raises
    ------
    InputError
        Where the text is none; it says that `what` (such as "the label") is not a number.
    """
    if not DECIMAL.fullmatch(text):
        raise InputError(f"{what} {shown(text)} is not a decimal number")
    return float(text)


def value_of(number: float, text: bytes) -> float:
    """Return a feature's value as the float32 that it is kept as.

    Raises
    ------
    InputError
        Beyond 1e6 in magnitude; `text` is shown.
    """
    with np.errstate(over="ignore"):
        value = float(np.float32(number))
    if not abs(value) <= MAX_VALUE:
        way_out = "scale the feature down"
        if WHOLE.fullmatch(text):  # as ids are that were not meant as numbers
            way_out = f"if it is an id, give it as text, or its field the kind category; else {way_out}"
        raise InputError(f"the value {shown(text)} is beyond {MAX_VALUE:g} in magnitude; {way_out}")
    return value


def weight_of(text: bytes) -> float:
    """Read an importance weight, from 0 to 1e6.

    Raises
    ------
    InputError
        Where it is none.
    """
    with np.errstate(over="ignore"):
        weight = float(np.float32(number_of(text, "the importance weight")))
    if not 0 <= weight <= MAX_WEIGHT:
        raise InputError(f"the importance weight {shown(text)} is not from 0 to {MAX_WEIGHT:g}")
    return weight


def label_of(text: bytes) -> float:
    """Read a label: 1, or 0 or -1, in any decimal form (``+1``, ``1.0``).

    Raises
    ------
    InputError
        Where it is another number, or none.
    """
    number = number_of(text, "the label")
    if number not in (1, 0, -1):
        raise InputError(f"the label {shown(text)} is not 1, 0 or -1")
    return float(number == 1)
