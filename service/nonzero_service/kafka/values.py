"""Values: what messages hold, as lines that lie one behind the other.

An object of Python for each message costs when it is made, when it is looked at, and when it is let go of,
by then far from any processor's own memory. So small ones are put together at once, where they are taken from
the client. Large ones are few. They are put together by who parses them: that finds them in the processor's
own memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from nonzero.formats.reading import PADDING

END: Final = ord("\n")

LARGE: Final = 1 << 12
"""Messages of so many bytes on average are large."""

_BEHIND: Final = bytes(PADDING)


class Values(Sequence[bytes | None]):
    r"""What some messages hold; None is a tombstone. A part of it has the memory of the whole.

    A message is one or more lines, and its last one may lack its end, which it gets here. One of no bytes is
    an empty line, and a tombstone is none. Used by one thread at a time.

    Parameters
    ----------
    values
        Of each message; None is a tombstone.
    sizes
        int64[n]: how many bytes each has; None: they are looked at.

    Examples
    --------
    >>> values = Values([b"1 |a", None, b"0 |b\n"])
    >>> bytes(values.lines), [*values], bytes(values[2:].lines)
    (b'1 |a\n0 |b\n', [b'1 |a', None, b'0 |b\n'], b'0 |b\n')
    """

    __slots__ = ("_apart", "_given", "_gone", "_memory", "_places", "_sizes")

    _memory: bytes  # the lines, each with its end; bytes behind them let all of them be parsed where they are
    _places: NDArray[np.int64]  # [n + 1]: where each message begins in it, and where the last ends
    _given: NDArray[np.bool_]  # [n]: whether its last end was given here
    _gone: NDArray[np.bool_] | None  # [n]: whether it is a tombstone; None where it is known that none is

    def __init__(self, values: Sequence[bytes | None], sizes: NDArray[np.int64] | None = None) -> None:
        if sizes is None:
            sizes = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
        self._apart: Sequence[bytes | None] | None = values  # until they are put together
        self._sizes = sizes
        if sizes.sum() < LARGE * len(values) or not len(values):
            self._join()

    def _join(self) -> None:
        """Put the messages together, where they are not."""
        values, self._apart = self._apart, None
        if values is None:
            return
        gone: NDArray[np.bool_] | None = None
        sizes = self._sizes
        try:
            memory = b"\n".join([*values, _BEHIND])  # type: ignore[list-item]
        except TypeError:  # tombstones are rare: to look for them first would cost each message
            gone = np.fromiter((value is None for value in values), np.bool_, len(values))
            memory = b"\n".join([*(value or b"" for value in values), _BEHIND])
        ends = np.cumsum(sizes + 1)  # with an end each
        bytes_of = np.frombuffer(memory, np.uint8)
        surplus = (sizes > 0) & (bytes_of[ends - 2] == END)  # one that has its end needs no other
        if gone is not None:
            surplus |= gone
        if surplus.any():
            memory = np.delete(bytes_of, ends[surplus] - 1).tobytes()
        self._memory, self._given, self._gone = memory, ~surplus, gone
        self._places = np.zeros(len(values) + 1, np.int64)
        np.cumsum(sizes + self._given, out=self._places[1:])

    @property
    def gone(self) -> NDArray[np.bool_] | None:
        """bool[n]: which are tombstones; None where it is known that none is."""
        self._join()
        return self._gone

    @property
    def lines(self) -> memoryview:
        """All lines, each with its end."""
        self._join()
        return memoryview(self._memory)[self._places[0] : self._places[-1]]

    @property
    def behind(self) -> int:
        """How many bytes of the same memory lie behind the lines."""
        self._join()
        return len(self._memory) - int(self._places[-1])

    @property
    def nbytes(self) -> int:
        """How many bytes the lines have; as many as there are messages may be too many."""
        if self._apart is not None:
            return int(self._sizes.sum()) + len(self._apart)
        return int(self._places[-1] - self._places[0])

    @property
    def number(self) -> int:
        """How many messages hold something, if only an empty line."""
        return len(self) - (0 if self.gone is None else int(np.count_nonzero(self.gone)))

    def held(self) -> list[bytes]:
        """Return what messages hold, but for tombstones."""
        return [value for value in self if value is not None]

    def line_counts(self) -> NDArray[np.int64]:
        """Return int64[m]: how many lines each message has that is no tombstone."""
        ends = np.flatnonzero(np.frombuffer(self.lines, np.uint8) == END)
        counts: NDArray[np.int64] = np.diff(np.searchsorted(ends, self._places - self._places[0]))
        return counts if self.gone is None else counts[~self.gone]

    def __len__(self) -> int:
        return self._given.size if self._apart is None else len(self._apart)

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...

    @overload
    def __getitem__(self, place: slice) -> Values: ...

    def __getitem__(self, place: int | slice) -> bytes | Values | None:
        """Return what one message holds; or a part, which is one of messages that follow each other."""
        if isinstance(place, slice):
            begin, end, _ = place.indices(len(self))
            return self._part(begin, max(begin, end))
        if self._apart is not None:
            return self._apart[place]
        place = range(len(self))[place]
        if self._gone is not None and self._gone[place]:
            return None
        return self._memory[self._places[place] : self._places[place + 1] - self._given[place]]

    def _part(self, begin: int, end: int) -> Values:
        part = Values.__new__(Values)
        part._sizes = self._sizes[begin:end]
        part._apart = None
        if self._apart is not None:
            part._apart = self._apart[begin:end]
            return part
        part._memory = self._memory
        part._places = self._places[begin : end + 1]
        part._given = self._given[begin:end]
        part._gone = None if self._gone is None else self._gone[begin:end]
        return part

    def __iter__(self) -> Iterator[bytes | None]:
        if self._apart is not None:
            yield from self._apart
            return
        places = self._places.tolist()
        without = (self._places[1:] - self._given).tolist()
        gone = [False] * len(self) if self._gone is None else self._gone.tolist()
        for begin, end, lacks in zip(places, without, gone, strict=False):
            yield None if lacks else self._memory[begin:end]
