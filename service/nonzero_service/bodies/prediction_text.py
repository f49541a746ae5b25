# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""Predictions as JSON text, compiled: formatting each in Python costs more than predicting it.

A probability has nine significant digits, correctly rounded, as C's ``%.9g`` writes it: they say which
float32 it is. It is ``m / 2**s`` with m below 2**24; multiplied by a power of ten that gives it nine digits
before the point, that is a whole number of 88 bits at most, shifted by s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero.formats.words import copied
from nonzero.native import inlined, kernel, types

DIGITS: Final = 9
SMALLEST: Final = np.float32(1e-10)
"""Python writes the digits of probabilities below this, of which there are few.

One among the thousands of a piece is no reason to write all of them so: a model that had learned one log six
times had some, and its streamed predictions took 2.5 microseconds of the processor, not 0.9.
"""

TENS: Final = np.array([10**k for k in range(20)], np.uint64)
BOUNDS: Final = np.array([10.0**-k for k in range(12)])

TEN: Final = np.uint64(10)
ZERO: Final = np.uint64(ord("0"))
LOW: Final = np.uint64(0xFFFFFFFF)
HALF: Final = np.uint64(32)
ONE: Final = np.uint64(1)

BEFORE: Final = np.frombuffer(b'{"probability":', np.uint8)
NAMED: Final = np.frombuffer(b',"id":"', np.uint8)
KEPT: Final = np.frombuffer(b'"', np.uint8)
NOT_KEPT: Final = np.frombuffer(b'","kept":false', np.uint8)
"""What follows an id."""
MOST: Final = len(b'{"probability":1.23456789e-10,"id":"","kept":false}\n')
END, POINT = np.uint8(ord("}")), np.uint8(ord("."))


@inlined
def nine_digits(p, bits):
    """Nine digits of a probability of these bits, rounded to even, and how far the first is behind the point.

    Of 1 it is 0: the first one is before the point.
    """
    down = 0
    while np.float64(p) < BOUNDS[down]:
        down += 1
    m = np.uint64(bits & np.uint32(0x7FFFFF)) | np.uint64(0x800000)
    s = np.uint64(150) - np.uint64(bits >> np.uint32(23))
    tens = TENS[DIGITS - 1 + down]
    low = m * (tens & LOW)
    high = m * (tens >> HALF) + (low >> HALF)
    low = high << HALF | low & LOW
    high >>= HALF
    q = high << (np.uint64(64) - s) | low >> s
    rest = low & ((ONE << s) - ONE)
    middle = ONE << (s - ONE)
    q += np.uint64(rest > middle or (rest == middle and q & ONE == ONE))
    if q == TENS[DIGITS]:
        return TENS[DIGITS - 1], down - 1
    return q, down


@inlined
def put_digits(q, n, out, at):
    """Write the n digits of a number; return where they end."""
    for k in range(n):
        out[np.uintp(at + n - 1 - k)] = ZERO + q % TEN
        q //= TEN
    return at + n


@inlined
def put_number(p, bits, out, at):
    """Write a probability from `SMALLEST` to 1; return where it ends."""
    q, down = nine_digits(p, bits)
    n = DIGITS
    while q % TEN == 0:
        q //= TEN
        n -= 1
    if down == 0:
        return put_digits(q, n, out, at)
    if down <= 4:
        for k in range(down + 1):
            out[np.uintp(at + k)] = ZERO
        out[np.uintp(at + 1)] = POINT
        return put_digits(q, n, out, at + down + 1)
    end = put_digits(q, n, out, at + 1)
    out[np.uintp(at)] = out[np.uintp(at + 1)]
    out[np.uintp(at + 1)] = POINT
    at = end if n > 1 else at + 1
    out[np.uintp(at)], out[np.uintp(at + 1)] = ord("e"), ord("-")
    return put_digits(np.uint64(down), 2, out, at + 2)


@kernel(
    types.intp(
        types.float32.readonly,
        types.uint32.readonly,
        types.uint8.readonly,
        types.int64.readonly,
        types.boolean.readonly,
        types.uint8.readonly,
        types.int64.readonly,
        types.uint8.readonly,
        types.uint8,
        types.uint8[::1],
    )
)
def _write(probabilities, bits, text, ends, given, small, small_ends, behind, separator, out):
    """Write an object for each, and the separator behind it; return how many bytes, -1 for one left out."""
    at, k = np.intp(0), 0
    for r in range(probabilities.size):
        p = probabilities[r]
        at = copied(BEFORE, 0, BEFORE.size, out, at)
        if p < SMALLEST:
            at = copied(small, small_ends[k], small_ends[k + 1], out, at)
            k += 1
        elif p <= np.float32(1):
            at = put_number(p, bits[r], out, at)
        else:
            return -1
        if ends.size and (given.size == 0 or given[r]):
            at = copied(NAMED, 0, NAMED.size, out, at)
            at = copied(text, ends[r], ends[r + 1], out, at)
            at = copied(behind, 0, behind.size, out, at)
        out[np.uintp(at)], out[np.uintp(at + 1)] = END, separator
        at += 2
    return at


NO_TEXT: Final = np.empty(0, np.uint8)
NO_ENDS: Final = np.empty(0, np.int64)
ALL: Final = np.empty(0, np.bool_)


def format_predictions(
    probabilities: NDArray[np.float32],
    ids: Sequence[str | None] | None,
    separator: bytes,
    *,
    kept: bool = True,
) -> bytes | None:
    """Return ``{"probability": ..., "id": ...}`` of each prediction, with a byte behind each.

    With ``"kept": false`` behind the id, where what has one is not kept.

    None where Python has to write them: ids that JSON does not write as they are, or what is no probability.
    """
    text, ends, given = NO_TEXT, NO_ENDS, ALL
    if ids is not None:
        if not isinstance(ids, Ids) or not ids.plain:
            return None
        text, ends = np.frombuffer(ids.text, np.uint8), ids.ends
        given = ALL if ids.given is None else ids.given
    out = np.empty(MOST * probabilities.size + text.size, np.uint8)
    bits, behind = probabilities.view(np.uint32), KEPT if kept else NOT_KEPT
    small, small_ends = _small_numbers(probabilities)
    size = _write(probabilities, bits, text, ends, given, small, small_ends, behind, ord(separator), out)
    return None if size < 0 else out[:size].tobytes()


def _small_numbers(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the text of all probabilities below `SMALLEST`, one after another, and where each ends."""
    if not probabilities.size or probabilities[probabilities.argmin()] >= SMALLEST:
        return NO_TEXT, NO_ENDS
    texts = [b"%.9g" % p for p in probabilities[probabilities < SMALLEST].tolist()]
    return np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)])
