# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg"
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
from nonzero.batches.limits import MAX_VALUE
from nonzero.compiled import inlined, kernel, types
from nonzero.errors import SettingsError
from nonzero.fields.hashing import field_of, finish, mix_word, to_index
from nonzero.fields.schema import Schema

__all__ = ["MAX_NONZEROS", "MAX_PAIRS", "Interactions", "check_declared", "product_index"]

MAX_NONZEROS: Final = 65_536
"""How many nonzeros an example has at most, products included."""

PIECE: Final = 2**19
"""At most about so many nonzeros are made at once: they stay in a cache, and memory stays flat."""

MAX_PAIRS: Final = 256
MAX_TEXT: Final = 8192  # characters: what processes share has so much room, and more
LARGEST = np.float32(MAX_VALUE)

INDPTR, INDICES = types.int64.readonly, types.uint32.readonly
VALUES, FIELDS = types.float32.readonly, types.uint16.readonly
PAIRS = types.uint16[:, ::1]


@inlined
def mixed(left, right):
    """The index of the product of two features."""
    h = mix_word(mix_word(np.uint32(0), np.uint32(left)), np.uint32(right))
    return to_index(finish(h, np.uint32(0), 8))


@kernel(types.uint32(types.uint32, types.uint32))
def product_index(left, right):
    """Return the index of the product of two features, from their indices."""
    return mixed(left, right)


@kernel(types.void(INDPTR, FIELDS, PAIRS, types.int64[::1]))
def measure(indptr, fields, pairs, ends):
    """Write int64[n + 1]: where each row ends with its products."""
    ends[0] = 0
    for r in range(indptr.size - 1):
        lo, hi = indptr[r], indptr[r + 1]
        products = 0
        for q in range(pairs.shape[0]):
            lefts, rights = 0, 0
            for j in range(lo, hi):
                lefts += fields[np.uintp(j)] == pairs[q, 0]
                rights += fields[np.uintp(j)] == pairs[q, 1]
            products += lefts * (lefts - 1) // 2 if pairs[q, 0] == pairs[q, 1] else lefts * rights
        ends[r + 1] = ends[r] + (hi - lo) + min(products, max(MAX_NONZEROS - (hi - lo), 0))


@inlined
def multiply(a, b):
    """The product of two values, within +-1e6."""
    return min(max(a * b, -LARGEST), LARGEST)


@inlined
def copy_row(lo, hi, i, indices, values, value_mask, fields, new_indices, new_values, new_fields):
    """Copy a row's own nonzeros to position i; returns the position behind them."""
    for j in range(lo, hi):
        new_indices[np.uintp(i)] = indices[np.uintp(j)]
        new_fields[np.uintp(i)] = fields[np.uintp(j)]
        new_values[np.uintp(i & value_mask)] = values[np.uintp(j & value_mask)]
        i += 1
    return i


@inlined
def gather(lo, hi, fields, field, positions):
    """Write down where a field's nonzeros stand in a row; returns how many they are."""
    found = 0
    for j in range(lo, hi):
        if fields[np.uintp(j)] == field:
            positions[np.uintp(found)] = j
            found += 1
    return found


BATCH = (INDPTR, INDICES, VALUES, types.intp, FIELDS)
EXPANDED = (INDPTR, types.uint32[::1], types.float32[::1], types.uint16[::1])


@kernel(types.void(*BATCH, PAIRS, *EXPANDED, types.int64[::1]))
def expand(
    indptr, indices, values, value_mask, fields, pairs,
    ends, new_indices, new_values, new_fields, positions,
):  # fmt: skip
    """Write the rows with their products; `positions` has room for a row's.

    Values are taken from, and written to, ``j & value_mask``: a single 1 where every value is 1.
    """
    for r in range(indptr.size - 1):
        lo, hi, end = indptr[r], indptr[r + 1], ends[r + 1]
        i = copy_row(
            lo, hi, ends[r], indices, values, value_mask, fields, new_indices, new_values, new_fields
        )
        for q in range(pairs.shape[0]):
            found = gather(lo, hi, fields, pairs[q, 1], positions) if i < end else 0
            first = 0
            for j in range(lo, hi if found else lo):
                if fields[np.uintp(j)] == pairs[q, 0]:
                    first += pairs[q, 0] == pairs[q, 1]  # of one field: only those behind
                    for k in range(first, min(found, first + end - i)):
                        right = positions[np.uintp(k)]
                        new_indices[np.uintp(i)] = mixed(indices[np.uintp(j)], indices[np.uintp(right)])
                        new_fields[np.uintp(i)] = pairs[q, 2]
                        new_values[np.uintp(i & value_mask)] = multiply(
                            values[np.uintp(j & value_mask)], values[np.uintp(right & value_mask)]
                        )
                        i += 1


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
        For a pair that is none, or that was named before, the other way round too.
    """

    def __init__(self, names: Sequence[str]) -> None:
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
        ends = np.empty(n + 1, np.int64)
        measure(batch.indptr, batch.fields, self.pairs, ends)
        start = 0
        while start < n:
            stop = max(int(np.searchsorted(ends, ends[start] + PIECE, side="right")) - 1, start + 1)
            rows = batch.rows(start, stop) if stop - start < n else batch
            yield self._expanded(rows, ends[start : stop + 1] - ends[start]), out[start:stop]
            start = stop

    def _expanded(self, batch: Batch, ends: NDArray[np.int64]) -> Batch:
        n = int(ends[-1])
        indices, fields = np.empty(n, np.uint32), np.empty(n, np.uint16)
        values = np.empty(1 if batch.values is None else n, np.float32)
        taken = (np.ones(1, np.float32), 0) if batch.values is None else (batch.values, -1)
        longest = np.empty(int(np.diff(batch.indptr).max(initial=0)), np.int64)
        expand(
            batch.indptr,
            batch.indices,
            *taken,
            batch.fields,
            self.pairs,
            ends,
            indices,
            values,
            fields,
            longest,
        )
        return Batch.trusted(
            ends,
            indices,
            None if batch.values is None else values,
            batch.labels,
            batch.weights,
            fields,
        )
