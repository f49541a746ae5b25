"""What a table's columns are by their values: some number the rows, some hold True and False alone."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from itertools import islice, pairwise
from typing import Final

FEWEST_VALUES: Final = 100
"""A column with fewer values than this is kept, whatever they are."""

BOOLEANS: Final = frozenset((b"True", b"False", b"true", b"false"))

_AT_ONCE: Final = 2000
"""So many rows are taken at once: most columns are settled by the first of them."""


class _Seen:
    """What was seen of a column."""

    def __init__(self) -> None:
        self.values: set[bytes] = set()
        self.count = 0
        self.all_differ = True
        self.counts_up = True
        self.boolean = True

    @property
    def settled(self) -> bool:
        return not (self.all_differ or self.counts_up or self.boolean)


class Judge:
    """Judges columns by samples of any tables; the order of the tables changes nothing.

    Examples
    --------
    >>> judge = Judge()
    >>> judge.add(["index", "new"], [[b"%d" % n, b"True"] for n in range(200)])
    >>> judge.numberings(), judge.booleans()
    ({'index': 200}, ['new'])
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def add(self, columns: Sequence[str], rows: Iterable[Sequence[bytes]]) -> None:
        """Look at consecutive rows, a cell for each column; columns without a name are passed over."""
        places = [(place, self._seen.setdefault(name, _Seen())) for place, name in enumerate(columns) if name]
        last: dict[int, bytes] = {}
        left = iter(rows)
        while some := list(islice(left, _AT_ONCE)):
            places = [(place, seen) for place, seen in places if not seen.settled]
            if not places:
                return
            for place, seen in places:
                values = [value for cells in some if (value := cells[place])]
                if values:
                    _look(seen, values, last.get(place))
                    last[place] = values[-1]

    def add_columns(self, columns: Iterable[tuple[str, Generator[list[bytes], None, None]]]) -> None:
        """Look at consecutive rows, each column by itself, and no more of it than is needed.

        Parameters
        ----------
        columns
            The name of each, and its cells in parts; what makes them is closed.
        """
        for name, parts in columns:
            seen = self._seen.setdefault(name, _Seen())
            last = None
            with closing(parts):
                while not seen.settled and (part := next(parts, None)) is not None:
                    values = [value for value in part if value]
                    if values:
                        _look(seen, values, last)
                        last = values[-1]

    def numberings(self) -> dict[str, int]:
        """Return the columns that number the rows, and how many of their values were seen.

        They have another value in each row of all samples, or count up by one from row to row.
        """
        return {
            name: seen.count
            for name, seen in self._seen.items()
            if seen.count >= FEWEST_VALUES and (seen.all_differ or seen.counts_up)
        }

    def booleans(self) -> list[str]:
        """Return the columns in which nothing else was seen than True, False, true and false."""
        return [name for name, seen in self._seen.items() if seen.count and seen.boolean]


def _look(seen: _Seen, values: list[bytes], before: bytes | None) -> None:
    """Look at consecutive values of a column; `before` is the one before the first."""
    seen.count += len(values)
    if seen.all_differ:
        known = len(seen.values)
        seen.values.update(values)
        seen.all_differ = len(seen.values) == known + len(values)
        if not seen.all_differ:
            seen.values = set()
    if seen.counts_up:
        seen.counts_up = _count_up(values if before is None else [before, *values])
    if seen.boolean:
        seen.boolean = BOOLEANS.issuperset(values)


def _count_up(values: list[bytes]) -> bool:
    """Whether each of some texts is the integer after the one before it."""
    if not all(value.isdigit() and len(value) < 20 for value in values[:2]):
        return False
    return all(
        value.isdigit() and len(value) < 20 and int(value) == int(one) + 1 for one, value in pairwise(values)
    )
