# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,assignment,call-arg"
"""The numbers of JSON as compiled code: read, or copied out as the text that they are as a category.

As in :mod:`nonzero.formats.json_text`, what is refused (by -1) is left to the plain decoder.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nonzero.arithmetic.intrinsics import put_word, trailing_zeros, word_at
from nonzero.formats.numbers import (
    MAX_DIGITS,
    MAX_POWER,
    OVER_NINE,
    POWERS,
    ZEROS,
    scan_digits,
    scan_exponent,
)
from nonzero.formats.words import HIGH_BITS
from nonzero.native import inlined

ZERO: Final = ord("0")
NINE: Final = ord("9")
MINUS: Final = ord("-")
POINT: Final = ord(".")
ROUND_TRIP: Final = 15
"""Decimals of so many digits are different float64 each."""
EXACT: Final = np.uint64(2**53)


@inlined
def read_number(data, j):
    """Read the JSON number that starts at `j`: no ``+1``, ``01``, ``.5`` or ``1.``.

    Returns the position after it and ``float32(float64(text))``, or -1 where it is none or no easy one.
    Up to 19 digits are taken. Below 2**53 they are exact in float64, and one multiplication or division
    rounds correctly. From there on two roundings are wrong by at most 2**-52 in all, which seldom matters to
    a float32: where both ends of an interval wider than that round to one float32, so does what is between.
    """
    negative = data[np.uintp(j)] == ord("-")
    j += negative
    start = j
    mantissa, j = scan_digits(data, start, np.uint64(0))
    digits = j - start
    power = 0
    if digits == 0 or (digits > 1 and data[np.uintp(start)] == ZERO):
        return -1, np.float32(0)
    if data[np.uintp(j)] == ord("."):
        j += 1
        start = j
        if mantissa == 0:
            while data[np.uintp(j)] == ZERO:
                j += 1
            digits = start - j
        mantissa, j = scan_digits(data, j, mantissa)
        if j == start:
            return -1, np.float32(0)
        power = start - j
        digits += j - start
    exponent, j, read = scan_exponent(data, j)
    power += exponent
    if not read or digits > MAX_DIGITS or power < -MAX_POWER or power > MAX_POWER:
        return -1, np.float32(0)
    number = np.float64(mantissa)
    number = number / POWERS[np.uintp(-power)] if power < 0 else number * POWERS[np.uintp(power)]
    value = np.float32(number)
    if mantissa >= EXACT and np.float32(number * (1 - 2.0**-50)) != np.float32(number * (1 + 2.0**-50)):
        return -1, np.float32(0)
    return j, (-value if negative else value)


@inlined
def copy_number(data, j, scratch, p):
    """Copy the JSON number that starts at `j` to ``scratch[p:]``, as the text that it is as a category.

    That is an integer as it is written. Of up to 15 digits the shortest text of the float64 is what is
    written, without zeros at the end of the fraction. Returns the position after it, or -1 where it is none
    or no easy one, and the end of the copy.
    """
    if data[np.uintp(j)] == MINUS:
        scratch[np.uintp(p)] = MINUS
        j += 1
        p += 1
    start = j
    j, p = _copy_digits(data, j, scratch, p)
    digits = j - start
    if digits == 0 or (digits > 1 and data[np.uintp(start)] == ZERO):
        return -1, p
    if data[np.uintp(j)] == POINT:
        whole = p
        scratch[np.uintp(p)] = POINT
        start = j + 1
        j, p = _copy_digits(data, start, scratch, p + 1)
        if j == start or digits + (j - start) > ROUND_TRIP:
            return -1, p
        while scratch[np.uintp(p - 1)] == ZERO and p - 1 > whole:
            p -= 1
        p -= p - 1 == whole
    return (-1 if data[np.uintp(j)] | 32 == ord("e") else j), p


@inlined
def _copy_digits(data, j, scratch, p):
    """Copy decimal digits, eight bytes at a time; return where they end, here and there."""
    while True:
        w = word_at(data, j)
        put_word(scratch, p, w)
        above = w ^ ZEROS
        others = ((above + OVER_NINE) | above) & HIGH_BITS  # exact up to the lowest byte that is no digit
        if others != 0:
            k = np.int64(trailing_zeros(others)) >> 3
            return j + k, p + k
        j += 8
        p += 8


@inlined
def read_whole(data, j):
    """Read a whole number below 10**18."""
    start = j
    number = 0
    c = data[np.uintp(j)]
    while ZERO <= c <= NINE:
        number = number * 10 + (np.int64(c) - ZERO)
        j += 1
        c = data[np.uintp(j)]
    if j == start or j > start + 18 or (j > start + 1 and data[np.uintp(start)] == ZERO):
        return -1, 0
    return j, number
