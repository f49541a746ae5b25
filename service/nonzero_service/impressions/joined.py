"""The body of a ``joined`` row: examples that were impressions, and what each of them becomes.

Version 1, little-endian::

    count uint32, four zeros; states uint8[count], padded to 8; numbers uint64[count]; hashes uint64[count]
    a batch, as rows of the kind ``batch`` have it

The batch is all that is learned from. The rest tells a start which impressions have had their example. Where
examples of an update are among them that are no impressions, the number of these is -1; earlier releases left
them out. Where none is an impression, nothing is said of any.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import Batch
from nonzero.batches.codec import encode_batch
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError

VERSION: Final = 1
_HEADER: Final = struct.Struct("<I4x")


@dataclass(frozen=True, eq=False)
class References:
    """Which impressions examples come from, and what these become.

    Parameters
    ----------
    numbers
        int64[n]: their numbers; -1 of an example that is none, among others that are.
    hashes
        uint64[n]: of their ids; a number given anew, after a power cut took what had it, has another.
    states
        uint8[n]: of :class:`~nonzero_service.impressions.states.ImpressionState`.
    """

    numbers: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    states: NDArray[np.uint8]

    def __len__(self) -> int:
        return self.numbers.size

    def rows(self, start: int, stop: int) -> References:
        """Return some of them."""
        place = slice(start, stop)
        return References(self.numbers[place], self.hashes[place], self.states[place])

    @property
    def known(self) -> References:
        """Those that are impressions."""
        known = self.numbers >= 0
        if known.all():
            return self
        return References(self.numbers[known], self.hashes[known], self.states[known])

    @staticmethod
    def unknown(count: int) -> References:
        """Return what stands for so many examples that were no impressions, among others that were."""
        pending = np.full(count, ImpressionState.PENDING, np.uint8)
        return References(np.full(count, -1, np.int64), np.zeros(count, np.uint64), pending)

    @staticmethod
    def none() -> References:
        """Return no references: of examples that were no impressions."""
        return References(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint8))

    @staticmethod
    def concatenate(parts: list[References]) -> References:
        """Return several as one."""
        if len(parts) == 1:
            return parts[0]
        return References(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.hashes for part in parts]),
            np.concatenate([part.states for part in parts]),
        )


def encode_joined(batch: Batch, references: References) -> bytes:
    """Return a body of version 1."""
    n = len(references) if (references.numbers >= 0).any() else 0
    references = references.rows(0, n)
    return b"".join(
        [
            _HEADER.pack(n),
            references.states.tobytes(),
            bytes(-n % 8),
            references.numbers.tobytes(),
            references.hashes.tobytes(),
            encode_batch(batch),
        ]
    )


def decode_joined(body: bytes) -> tuple[Batch, References]:
    """Return what :func:`encode_joined` encoded.

    Raises
    ------
    BodyError
        Where the body is cut short, or its batch is none.
    """
    if len(body) < _HEADER.size:
        raise BodyError(f"a joined body has at least {_HEADER.size} bytes, this one has {len(body)}")
    n = int(_HEADER.unpack_from(body)[0])
    numbers = _HEADER.size + n + -n % 8
    batch = numbers + 16 * n
    if batch > len(body):
        raise BodyError(f"a joined body of {len(body)} bytes cannot refer to {n} impressions")

    def column(dtype: Any, at: int) -> NDArray[Any]:
        return np.frombuffer(body, dtype, n, at).copy()

    references = References(
        column("<i8", numbers), column("<u8", numbers + 8 * n), column(np.uint8, _HEADER.size)
    )
    return decode_batch(body[batch:]), references
