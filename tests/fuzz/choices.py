"""Bytes as a source of choices: what a fuzzer changes is what is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Takes numbers off the end of some bytes; when they are used up every choice is 0."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def below(self, n: int) -> int:
        """Choose a number from 0 to n - 1."""
        size = (max(n - 1, 0).bit_length() + 7) // 8
        taken, self.rest = self.rest[len(self.rest) - size :], self.rest[: max(len(self.rest) - size, 0)]
        return int.from_bytes(taken, "little") % n if size else 0

    def one_of(self, choices: Sequence[T]) -> T:
        """Choose one."""
        return choices[self.below(len(choices))]

    def changed(self, original: bytes) -> bytes:
        """Return some bytes with a few of them changed, put in or taken out."""
        data = bytearray(original)
        for _ in range(1 + self.below(8)):
            at = self.below(len(data) + 1)
            match self.below(4):
                case 0:
                    data[at : at + 1] = bytes([self.below(256)])
                case 1:
                    data[at:at] = bytes([self.below(256)])
                case 2:
                    del data[at : at + 1 + self.below(16)]
                case _:
                    data[at : at + 8] = self.one_of(NUMBERS)
        return bytes(data)


NUMBERS = tuple(
    (number % 2**64).to_bytes(8, "little")
    for number in (0, 1, -1, 2**7, 2**8, 2**15, 2**16, 2**31, 2**31 - 1, 2**32, 2**32 - 1, 2**62, 2**63, -2)
)
"""Eight bytes at the borders of what numbers hold."""
