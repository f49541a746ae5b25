"""Slots -> names: of the features that a log, or a list, has shown. A model itself keeps none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.fields.hashing import index_of
from nonzero.formats.assembly import PlainRow
from nonzero.kernels.products import product_index
from nonzero.model.interactions import Interactions

Name = tuple[bytes, ...]
"""A feature's name; of a product the names of both features."""

TIMES: Final = "*"
"""What stands between the names of a product's features."""


class SlotNames:
    """The names of the features in some slots of a model.

    Parameters
    ----------
    model
        The model.
    slots
        int64[n], ascending: those whose names are kept. So the memory is in proportion to them.

    Examples
    --------
    >>> names = SlotNames(LogisticRegression(bits=10), np.array([783]))
    >>> names.take([b"site=news", b"site=blog"])
    >>> names.of(783), names.of(5)
    (['site=news'], [])
    """

    def __init__(self, model: LogisticRegression, slots: NDArray[np.int64]) -> None:
        self._mask = 2**model.bits - 1
        self._slots = slots
        self._pairs = Interactions(model.interactions).pairs.tolist() if model.interactions else []
        self._found: dict[int, dict[Name, None]] = {}

    def take(self, names: Iterable[bytes]) -> None:
        """Take features by their whole names, such as ``site=news``; products are not among them.

        Parameters
        ----------
        names
            The names.
        """
        self._keep({(name,): index_of(name) for name in names})

    def look(self, rows: Sequence[PlainRow]) -> None:
        """Take the features of rows with names, and the products of the model's interactions in them.

        Parameters
        ----------
        rows
            As :func:`nonzero.formats.named_rows.read_named` finds them.
        """
        found: dict[Name, int] = {}
        for row in rows:
            for place, (name, _) in row.names.items():
                found[name,] = row.indices[place]
            if self._pairs:
                found.update(self._products(row))
        self._keep(found)

    def _products(self, row: PlainRow) -> Iterator[tuple[Name, int]]:
        by_field: dict[int, list[int]] = {}
        for place in row.names:
            by_field.setdefault(row.fields[place], []).append(place)
        for left, right, _ in self._pairs:
            rights = by_field.get(right, ())
            for i, a in enumerate(by_field.get(left, ())):
                for b in rights[i + 1 :] if left == right else rights:
                    index = int(product_index(row.indices[a], row.indices[b]))
                    yield (row.names[a][0], row.names[b][0]), index

    def _keep(self, found: Mapping[Name, int]) -> None:
        if not found or not self._slots.size:
            return
        slots = np.fromiter(found.values(), np.int64, len(found)) & self._mask
        places = np.minimum(np.searchsorted(self._slots, slots), self._slots.size - 1)
        wanted = self._slots[places] == slots
        for name, slot, kept in zip(found, slots.tolist(), wanted.tolist(), strict=True):
            if kept:
                self._found.setdefault(slot, {})[name] = None

    @property
    def named(self) -> int:
        """How many of the slots have a name."""
        return len(self._found)

    def parts_of(self, slot: int) -> list[Name]:
        """Return the names of a slot's features as bytes, in the order in which they came."""
        return [*self._found.get(slot, ())]

    def of(self, slot: int) -> list[str]:
        """Return the names of a slot's features as text, in the order in which they came.

        Parameters
        ----------
        slot
            The slot.

        Returns
        -------
        list of str
            None for one that nothing has named; several where features share the slot.
        """
        return [TIMES.join(part.decode(errors="replace") for part in name) for name in self.parts_of(slot)]

    def collisions(self) -> list[int]:
        """Return the slots that several features share, ascending.

        Examples
        --------
        >>> names = SlotNames(LogisticRegression(bits=1), np.array([0, 1]))
        >>> names.take([b"a", b"b", b"c"])
        >>> len(names.collisions()) > 0
        True
        """
        return sorted(slot for slot, names in self._found.items() if len(names) > 1)
