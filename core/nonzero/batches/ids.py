# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
"""The ids of a batch's examples, as one buffer: a string each would cost more than reading the example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self, overload

import numpy as np
from numpy.typing import NDArray

from nonzero.native import kernel, types

# What JSON writes in a string as it is: printable ASCII but for the quotation mark and the backslash.
FIRST, LAST, QUOTE, BACKSLASH = np.uint8(0x20), np.uint8(0x7E), np.uint8(0x22), np.uint8(0x5C)


@kernel(
    types.boolean(
        types.uint8.readonly, types.Array(types.int64, 2, readonly=True), types.int64[::1], types.uint8[::1]
    )
)
def _gather(data, spans, ends, out):
    """Copy spans of a buffer one after another; whether JSON can write all of them as they are."""
    at = 0
    for r in range(spans.shape[0]):
        start, end = max(spans[r, 0], 0), max(spans[r, 1], 0)
        for j in range(end - start):
            out[np.uintp(at + j)] = data[np.uintp(start + j)]
        at += end - start
        ends[r + 1] = at
    special = False
    for j in range(out.size):  # of all at once, many bytes at a time
        byte = out[j]
        special |= (byte < FIRST) | (byte > LAST) | (byte == QUOTE) | (byte == BACKSLASH)
    return not special


class Ids(Sequence[str | None]):
    """Ids in order; None for an example without one. An immutable sequence of ``str | None``.

    Parameters
    ----------
    text
        UTF-8, one id after another.
    ends
        int64[n + 1]: id ``r`` is ``text[ends[r]:ends[r + 1]]``.
    given
        bool[n]: which examples have one; None where all have.
    plain
        Whether JSON can write all of them between quotation marks as they are; None where that is not known.
    """

    def __init__(
        self,
        text: bytes,
        ends: NDArray[np.int64],
        given: NDArray[np.bool_] | None = None,
        plain: bool | None = None,
    ) -> None:
        self.text = text
        self.ends = ends
        self.given = None if given is None or given.all() else given
        self._plain = plain

    @classmethod
    def of(cls, names: Sequence[str | None]) -> Ids:
        """Make it of strings; what is one already is returned as it is."""
        if isinstance(names, Ids):
            return names
        encoded = [b"" if name is None else name.encode() for name in names]
        ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=ends[1:])
        given = np.fromiter((name is not None for name in names), np.bool_, len(encoded))
        return cls(b"".join(encoded), ends, given)

    @classmethod
    def of_spans(cls, data: bytearray, spans: NDArray[np.int64]) -> Self:
        """Take them out of a buffer; `spans`, int64[n, 2], are start and end, -1 for none."""
        given = spans[:, 0] >= 0
        size = int((spans[:, 1] - spans[:, 0]).sum())
        ends, out = np.zeros(len(spans) + 1, np.int64), np.empty(size, np.uint8)
        plain = bool(_gather(np.frombuffer(data, np.uint8), spans, ends, out))
        return cls(out.tobytes(), ends, given, plain)

    @classmethod
    def concatenate(cls, parts: Sequence[Sequence[str | None]]) -> Ids:
        """Join several."""
        whole = [cls.of(part) for part in parts]
        offsets = np.cumsum([0, *(len(one.text) for one in whole)])
        ends = [one.ends[1:] + offset for one, offset in zip(whole, offsets, strict=False)]
        return cls(
            b"".join([one.text for one in whole]),
            np.concatenate([np.zeros(1, np.int64), *ends]),
            np.concatenate([np.empty(0, np.bool_), *(one.known for one in whole)]),
            True if all(one.plain for one in whole) else None,
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """bool[n]: which examples have an id."""
        return np.ones(len(self), np.bool_) if self.given is None else self.given

    @property
    def plain(self) -> bool:
        """Whether JSON can write all of them between quotation marks as they are; False where unknown."""
        return bool(self._plain)

    @cached_property
    def pieces(self) -> list[bytes]:
        """The UTF-8 of each, empty for none."""
        text = self.text
        return [text[start:end] for start, end in pairwise(self.ends.tolist())]

    def __len__(self) -> int:
        return self.ends.size - 1

    @overload
    def __getitem__(self, place: int) -> str | None: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    def __getitem__(self, place: int | slice) -> str | Ids | None:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                return Ids.of([self[r] for r in range(start, stop, step)])
            ends = self.ends[start : max(stop, start) + 1]
            given = None if self.given is None else self.given[start:stop]
            return Ids(self.text[ends[0] : ends[-1]], ends - ends[0], given, self._plain)
        r = range(len(self))[place]
        if self.given is not None and not self.given[r]:
            return None
        return self.text[self.ends[r] : self.ends[r + 1]].decode()

    def __iter__(self) -> Iterator[str | None]:
        for name, known in zip(self.pieces, self.known.tolist(), strict=True):
            yield name.decode() if known else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__: Final[Any] = None

    def __repr__(self) -> str:
        return f"Ids({list(self)!r})"
