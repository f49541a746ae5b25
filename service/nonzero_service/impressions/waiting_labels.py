"""Labels of topics that came before their impressions, and wait for them.

Two topics have no common order: a click may be read before the impression that it is of. It stands in the
journal then, in the ``source`` row of its group, and is joined in the group in which its impression comes.
So it is found again at a start, and by whoever follows.

All here follows from the rows: which labels wait, until when by the watermark, and how many at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero_service.impressions.verdicts import Verdict

MOST: Final = 100_000
"""So many of them; then the oldest is given up."""

UNPLACED: Final = 0
"""The position of a row that is not in the journal yet."""


class WaitingLabel(NamedTuple):
    """A label that waits."""

    id: str
    label: int
    """0 or 1."""
    time_ms: int
    """When it was given, in milliseconds since 1970."""


class _Held(NamedTuple):
    """Where a label stands."""

    label: WaitingLabel
    since_ms: int
    """The latest time of any until then: so the first of them is the first whose time is over."""
    serial: int
    position: int


class WaitingLabels:
    """The labels of one model that wait. Used under the store's lock.

    Parameters
    ----------
    undo
        Takes what undoes a change, before it is made.
    """

    def __init__(self, undo: Callable[[Callable[[], object]], object]) -> None:
        self._undo = undo
        self._held: dict[int, _Held] = {}  # by the hash of the id, in the order in which they came
        self._newest_ms = 0
        self._serial = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[WaitingLabel]:
        return (one.label for one in self._held.values())

    @property
    def needed_from(self) -> int | None:
        """The first position of the journal that tells of one of them; None where none does."""
        first = next(iter(self._held.values()), None)
        return None if first is None or first.position == UNPLACED else first.position

    def add(
        self, hashes: NDArray[np.uint64], labels: Sequence[WaitingLabel], position: int = UNPLACED
    ) -> tuple[list[WaitingLabel], list[Verdict], int]:
        """Let labels wait, of which each is the first of its id.

        Parameters
        ----------
        hashes
            uint64[n]: of their ids.
        labels
            The labels, in order.
        position
            That of the row that tells of them.

        Returns
        -------
        list[WaitingLabel], list[Verdict], int
            Those that wait from now on; what the others met, of whose ids a label waits already; and how many
            gave way.
        """
        before, newest = self._serial, self._newest_ms
        added: list[int] = []

        def withdraw() -> None:
            for h in added:
                self._held.pop(h, None)
            self._serial, self._newest_ms = before, newest

        self._undo(withdraw)
        new: list[WaitingLabel] = []
        met: list[Verdict] = []
        for h, label in zip(hashes.tolist(), labels, strict=True):
            there = self._held.get(h)
            if there is not None:
                met.append("duplicate" if there.label.label == label.label else "conflicting")
                continue
            self._newest_ms = max(self._newest_ms, label.time_ms)
            self._serial += 1
            added.append(h)
            self._held[h] = _Held(label, self._newest_ms, self._serial, position)
            new.append(label)
        return new, met, self._give_up(len(self._held) - MOST)

    def place(self, position: int) -> None:
        """Note where the row stands that tells of those who are not placed yet."""
        for h in reversed(self._held):
            one = self._held[h]
            if one.position != UNPLACED:
                return
            self._held[h] = one._replace(position=position)

    def take(self, hashes: NDArray[np.uint64]) -> list[WaitingLabel]:
        """Give back those whose impressions have come, in the order in which they came."""
        if not self._held:
            return []
        came = self._held.keys() & set(hashes.tolist())
        if not came:
            return []
        return [one.label for one in self._remove(sorted(came, key=lambda h: self._held[h].serial))]

    def expire(self, before_ms: int) -> int:
        """Give up those that were given before a time; return how many."""
        count = 0
        for one in self._held.values():
            if one.since_ms >= before_ms:
                break
            count += 1
        return self._give_up(count)

    def clear(self) -> int:
        """Give up all of them; return how many."""
        return self._give_up(len(self._held))

    def _give_up(self, count: int) -> int:
        """Give up the first of them."""
        if count <= 0:
            return 0
        return len(self._remove([h for _, h in zip(range(count), self._held, strict=False)]))

    def _remove(self, hashes: Sequence[int]) -> list[_Held]:
        gone: dict[int, _Held] = {}

        def restore() -> None:
            if gone:
                all_of_them = {**self._held, **gone}
                self._held = dict(sorted(all_of_them.items(), key=lambda item: item[1].serial))

        self._undo(restore)
        for h in hashes:
            gone[h] = self._held.pop(h)
        return list(gone.values())
