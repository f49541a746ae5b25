"""Interactions: products of the features of two fields, made of hashed rows just before a model takes them.

For each pair of nonzeros of the two fields an example gets one more: its value is the product of theirs
(within +-1e6), its field that of the pair's name, ``site*hour``, and its index

    abs() of the signed MurmurHash3 (x86, 32 bit, seed 0) of the two indices, four bytes each, little endian

of the whole indices, not of slots, so that it depends on no table. Products follow the example's own
nonzeros, pair after pair as they were named, and within a pair in the order of the first feature, then the
second. Of a field with itself each two different nonzeros make one product.

An example has at most 65,536 nonzeros with its products: those beyond are left out. Indices that were given
directly have no field, and make none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import SettingsError
from nonzero.fields.hashing import field_of
from nonzero.fields.schema import Schema
from nonzero.kernels.products import ExpandedRows, expand, measure
from nonzero.kernels.shared_products import Found, expand_shared, measure_shared
from nonzero.model.batch_rows import rows_of

PIECE: Final = 2**19
"""At most about so many nonzeros are made at once: they stay in a cache, and memory stays flat."""

NO_REPEATS: Final = np.empty(0, np.uint8)

MAX_PAIRS: Final = 256
MAX_TEXT: Final = 8192  # characters: what processes share has so much room, and more


def check_declared(names: Sequence[str], schema: Schema) -> None:
    """Refuse interactions with a field of which a schema says that it never comes.

    Parameters
    ----------
    names
        The pairs, as :class:`Interactions` takes them.
    schema
        The model's.

    Raises
    ------
    SettingsError
        For a field that is ignored, or refused; of the latter it names the nearest that is declared.
    """
    for name in names:
        for field in name.split("*"):
            kind = schema.kind_of(field)
            if kind == "refuse":
                raise SettingsError(f"the interaction {name!r}: {schema.unknown_field(field)}")
            if kind == "ignore":
                raise SettingsError(
                    f"the interaction {name!r}: the schema ignores the field {field!r}, so that it has no "
                    "products; declare it otherwise, or leave the interaction out"
                )


class Interactions:
    """Pairs of fields, and the products of their features.

    Parameters
    ----------
    names
        The pairs, such as ``site*hour``: names of fields, which are what stands before ``=``, columns and VW
        namespaces.

    Raises
    ------
    SettingsError
        For a pair that is none, or that was named before, the other way round too; and for a text in the
        place of a list.
    """

    def __init__(self, names: Sequence[str]) -> None:
        if isinstance(names, str):
            raise SettingsError(f"interactions is the text {names!r}; give a list, such as [{names!r}]")
        seen: set[frozenset[str]] = set()
        pairs = []
        for name in names:
            left, star, right = name.partition("*") if isinstance(name, str) else ("", "", "")
            if not (left and star and right) or "*" in right:
                raise SettingsError(f"the interaction {name!r} is not two names of fields, such as site*hour")
            if frozenset((left, right)) in seen:
                raise SettingsError(f"the interaction {name!r} is named twice")
            seen.add(frozenset((left, right)))
            pairs.append((field_of(left), field_of(right), field_of(name)))
        size = sum(len(name.encode()) for name in names)
        if len(pairs) > MAX_PAIRS or size > MAX_TEXT:
            raise SettingsError(
                f"there are {len(pairs)} interactions, of {size} bytes of text; "
                f"a model has at most {MAX_PAIRS}, of {MAX_TEXT}"
            )
        self.names = tuple(names)
        self.pairs: NDArray[np.uint16] = np.array(pairs, np.uint16).reshape(-1, 3)

    def pieces(self, batch: Batch, out: NDArray[np.float32]) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        """Yield the rows with their products, some at a time, and of `out`, float32[n], the part of each."""
        n = len(batch)
        if batch.fields is None or not n:
            yield batch, out
            return
        ends, repeats = self._ends(batch)
        if ends[n] <= PIECE:
            yield self._expanded(batch, ends, repeats), out
            return
        start = 0
        while start < n:
            stop = max(int(np.searchsorted(ends, ends[start] + PIECE, side="right")) - 1, start + 1)
            rows = batch.rows(start, stop) if stop - start < n else batch
            piece = self._expanded(rows, ends[start : stop + 1] - ends[start], repeats[start:stop])
            yield piece, out[start:stop]
            start = stop

    def nonzeros(self, batch: Batch) -> int:
        """Return how many nonzeros the rows have with their products."""
        return batch.nnz if batch.fields is None else int(self._ends(batch)[0][-1])

    def _ends(self, batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return int64[n + 1]: where each row ends with its products.

        And uint8[n]: which rows have the fields of the one before; empty where they do not begin alike.
        """
        n = len(batch)
        ends = np.empty(n + 1, np.int64)
        if not batch.shared:
            measure(rows_of(batch), self.pairs, ends)
            return ends, NO_REPEATS
        repeats = np.empty(n, np.uint8)
        measure_shared(rows_of(batch), self.pairs, batch.shared, ends, repeats)
        return ends, repeats

    def _expanded(self, batch: Batch, ends: NDArray[np.int64], repeats: NDArray[np.uint8]) -> Batch:
        n = int(ends[-1])
        values = np.empty(1 if batch.values is None else n, np.float32)
        made = ExpandedRows(ends, np.empty(n, np.uint32), values, np.empty(n, np.uint16))
        if batch.shared:
            # At most: as if all that is not shared were of one row.
            longest = batch.nnz - (len(batch) - 1) * batch.shared
            room = Found(
                np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty(len(batch), np.int64)
            )
            expand_shared(rows_of(batch), self.pairs, batch.shared, made, room, repeats)
        else:
            longest = int(np.diff(batch.indptr).max(initial=0))
            expand(rows_of(batch), self.pairs, made, np.empty(longest, np.int64))
        given = None if batch.values is None else values
        return Batch.trusted(ends, made.indices, given, batch.labels, batch.weights, made.fields)
