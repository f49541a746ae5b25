# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Buckets of counts: a few categories for whole numbers with a long tail.

Up to 2 a count is its own bucket; above it is ``2 + floor(ln(count) ** 2)``, so that 4, 5 and 6 are told
apart, and 1,030 and 1,090 are not. Compiled code looks small counts up, and finds others among the first
count of each bucket: a logarithm need not be the same on every CPU.
"""

from __future__ import annotations

import math
import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.arithmetic.intrinsics import byte_at
from nonzero.errors import InputError
from nonzero.fields.hashing import index_of
from nonzero.formats.numbers import scan_digits, shown
from nonzero.native import outlined

_COUNT: Final = re.compile(rb"-?\d{1,18}")

LAST_OWN: Final = 2
"""The largest count that is its own bucket."""

LOWEST: Final = -8
"""Compiled code reads counts from here on."""

HIGHEST: Final = 2**31
"""And below this."""

MINUS: Final = ord("-")


def bucket_of(text: bytes, column: str) -> int:
    """Return the bucket of a count.

    Raises
    ------
    InputError
        Where the text is no whole number of at most 18 digits.

    Examples
    --------
    >>> [bucket_of(text, "I1") for text in (b"-1", b"0", b"2", b"3", b"4", b"5", b"1000")]
    [-1, 0, 2, 3, 3, 4, 49]
    """
    if not _COUNT.fullmatch(text):
        raise InputError(f"the value {shown(text)} of the column {column!r} is not a whole number")
    count = int(text)
    return count if count <= LAST_OWN else LAST_OWN + math.floor(math.log(count) ** 2)


_BUCKETS: Final = LAST_OWN + math.floor(math.log(HIGHEST) ** 2)


def _firsts() -> NDArray[np.int64]:
    """Return int64[n]: the first count of each bucket from that of 3 on; some buckets are empty."""
    first = [max(3, math.ceil(math.exp(math.sqrt(k)))) for k in range(1, _BUCKETS - LAST_OWN + 1)]
    return np.array(first, np.int64)


FIRSTS: Final = _firsts()
STEPS: Final = 1 << (FIRSTS.size - 1).bit_length()
FEW: Final = 1024
FEW_BUCKETS: Final = np.array([bucket_of(b"%d" % count, "") for count in range(FEW)], np.int16)
"""Of small counts, which are the most, the bucket is looked up."""


def bucket_indices(name: str) -> NDArray[np.uint32]:
    """Return uint32[n]: the index of the feature of each bucket of a field, from that of -8 on."""
    found = [index_of(f"{name}={bucket}") for bucket in range(LOWEST, _BUCKETS + 1)]
    return np.array(found, np.uint32)


@outlined
def read_count(text, start, stop):
    """Read a count; return the place of its bucket in :func:`bucket_indices`, and whether it was read."""
    negative = byte_at(text, start) == MINUS
    first = start + negative
    mantissa, j = scan_digits(text, first, np.uint64(0))
    read = j == stop and j > first and j - first <= 10
    count = np.int64(mantissa) if read else np.int64(0)
    count = -count if negative else count
    read = read and count >= LOWEST and count < HIGHEST
    if count < FEW:
        bucket = count if count <= LAST_OWN else np.int64(FEW_BUCKETS[np.uintp(count)])
        return bucket - LOWEST, read
    k = 0
    step = STEPS
    while step > 0:  # how many buckets begin at this count or before
        if k + step <= FIRSTS.size and FIRSTS[np.uintp(k + step - 1)] <= count:
            k += step
        step >>= 1
    return LAST_OWN + k - LOWEST, read
