"""Batch: checked sparse rows, the one currency between bytes, journal and table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nonzero.batches.columns import (
    check_size,
    checked_indices,
    checked_indptr,
    checked_labels,
    checked_values,
    checked_weights,
    sealed,
)
from nonzero.batches.ids import Ids
from nonzero.errors import BatchError
from nonzero.fields.hashing import NO_FIELD
from nonzero.fields.schema import Schema
from nonzero.notebook import table_html

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Dicts: TypeAlias = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples as rows of nonzeros, in compressed sparse row form.

    Make one with :meth:`from_dicts`, :meth:`from_arrow`, :meth:`from_csr` or :func:`nonzero.formats.parse`;
    the constructor checks every rule below, and everything after trusts a batch.

    Parameters
    ----------
    indptr
        int64[n + 1]; row ``r`` is ``indices[indptr[r]:indptr[r + 1]]``. A row may be empty: its example still
        has the intercept.
    indices
        uint32[nnz], at most ``2**31``: the whole hash of a feature's name, of which a table takes the low
        bits, or a slot given directly (its field is :data:`~nonzero.fields.hashing.NO_FIELD`). An index
        named twice in a row counts twice.
    values
        float32[nnz], finite, at most 1e6 in magnitude; None where every value is 1.
    labels
        float32[n]: 0, 1, or NaN for an example without a label (None: no example has one).
    weights
        float32[n]: importance weights, from 0 (counted, not learned) to 1e6 (None: every weight is 1).
    fields
        uint16[nnz]: the group that each nonzero came from (None: every index was given directly).
    ids
        The example's own names, where they were given.
    times
        int64[n]: milliseconds since 1970, -1 where not given (None: none were).

    Raises
    ------
    BatchError
        Where a rule is broken; it names the row, the value and the rule.

    Examples
    --------
    >>> batch = Batch.from_dicts([{"site": "news", "bid": 0.5}, {}], labels=[1, 0])
    >>> len(batch), batch.nnz, batch.indptr.tolist()
    (2, 2, [0, 2, 2])
    """

    hash_dicts: ClassVar[Callable[[Dicts, Schema | Mapping[str, Any] | None], Batch]]
    """What :meth:`from_dicts` hashes with: :mod:`nonzero.formats` puts it here, for formats make batches."""

    join_dicts: ClassVar[Callable[[Mapping[str, Any], Dicts, Schema | Mapping[str, Any] | None], Batch]]
    """What :meth:`from_candidates` reads with: from there too."""

    read_table: ClassVar[Callable[[Any, Mapping[str, Any]], Batch]]
    """What :meth:`from_arrow` reads with: :mod:`nonzero.formats` puts it here too."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    values: NDArray[np.float32] | None
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]
    fields: NDArray[np.uint16] | None = None
    ids: Sequence[str | None] | None = None
    times: NDArray[np.int64] | None = None

    def __init__(
        self,
        indptr: ArrayLike,
        indices: ArrayLike,
        values: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        fields: ArrayLike | None = None,
        ids: Sequence[str | None] | None = None,
        times: ArrayLike | None = None,
    ) -> None:
        rows = checked_indptr(indptr)
        n, nnz = rows.size - 1, int(rows[-1])
        columns = checked_indices(indices, rows)
        check_size("indices", columns, nnz, "nonzero")
        numbers = None if values is None else checked_values(values, rows)
        if numbers is not None:
            check_size("values", numbers, nnz, "nonzero")
        groups = None if fields is None else np.ascontiguousarray(fields, np.uint16)
        if groups is not None:
            check_size("fields", groups, nnz, "nonzero")
        moments = None if times is None else np.ascontiguousarray(times, np.int64)
        if moments is not None:
            check_size("times", moments, n, "row")
        if ids is not None and len(ids) != n:
            raise BatchError(f"there are {len(ids)} ids for {n} rows; give one id (or None) a row")
        vars(self).update(  # the class is frozen
            # A copy: kernels would go astray by what its owner writes into it later.
            indptr=sealed(rows.copy()),
            indices=sealed(columns),
            values=sealed(numbers),
            labels=sealed(checked_labels(labels, n)),
            weights=sealed(checked_weights(weights, n)),
            fields=sealed(groups),
            ids=ids,
            times=sealed(moments),
        )

    @classmethod
    def trusted(
        cls,
        indptr: NDArray[np.int64],
        indices: NDArray[np.uint32],
        values: NDArray[np.float32] | None,
        labels: NDArray[np.float32],
        weights: NDArray[np.float32],
        fields: NDArray[np.uint16] | None = None,
        ids: Sequence[str | None] | None = None,
        times: NDArray[np.int64] | None = None,
        largest_slot: int | None = None,
        shared: int | None = None,
    ) -> Self:
        """Make a batch of contiguous arrays that keep every rule: for parsers, which check as they read.

        Parameters
        ----------
        indptr, indices, values, labels, weights, fields, ids, times
            As for :class:`Batch`, of exactly its dtypes. `indptr` becomes read-only.
        largest_slot, shared
            The attributes of these names; None where they are not known.

        Returns
        -------
        Batch
            A batch over these very arrays. Nothing is checked: wrong ones end the process when they are used.

        Examples
        --------
        >>> import numpy as np
        >>> label, weight = np.array([1], np.float32), np.array([1], np.float32)
        >>> Batch.trusted(np.array([0, 2]), np.array([3, 5], np.uint32), None, label, weight)
        Batch(1 examples, 2 nonzeros)
        """
        batch = cls.__new__(cls)
        indptr.flags.writeable = False  # kernels go by it
        known = {} if largest_slot is None else {"largest_slot": largest_slot}
        if shared is not None:
            known["shared"] = shared
        vars(batch).update(
            known,
            indptr=indptr,
            indices=indices,
            values=values,
            labels=labels,
            weights=weights,
            fields=fields,
            ids=ids,
            times=times,
        )
        return batch

    @classmethod
    def empty(cls) -> Self:
        """Return a batch without rows.

        Returns
        -------
        Batch
            Of 0 examples.

        Examples
        --------
        >>> Batch.empty()
        Batch(0 examples, 0 nonzeros)
        """
        return cls([0], [])

    @classmethod
    def from_csr(cls, X: Any, y: ArrayLike | None = None, weights: ArrayLike | None = None) -> Self:  # noqa: N803
        """Take the rows of a scipy.sparse matrix or array, whose columns are slots.

        Parameters
        ----------
        X
            Anything with scipy's ``tocsr``, shape (n, columns). Explicit zeros are kept: they are nonzeros of
            value 0.
        y
            Labels: 0 or 1 (-1 and booleans are read too), shape (n,). None: no example has one.
        weights
            Importance weights, shape (n,), from 0 to 1e6. None: every weight is 1.

        Returns
        -------
        Batch
            Of n examples, whose indices were given directly.

        Raises
        ------
        BatchError
            For columns beyond ``2**31``, values that are not finite or beyond 1e6, and labels that are none.

        Examples
        --------
        >>> from scipy.sparse import csr_matrix
        >>> Batch.from_csr(csr_matrix([[0, 2.5], [0, 0]]), [1, 0]).values.tolist()
        [2.5]
        """
        if not hasattr(X, "tocsr"):
            raise BatchError(
                f"X is a {type(X).__name__}, and no scipy.sparse matrix; give scipy.sparse.csr_array(X), or "
                "features by name to Batch.from_dicts"
            )
        csr = X.tocsr()
        return cls(csr.indptr, csr.indices, csr.data, labels=y, weights=weights)

    @staticmethod
    def from_dicts(
        examples: Dicts,
        labels: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> Batch:
        """Hash examples given as dicts of features.

        ``{"site": "news"}`` is the feature ``site=news`` with value 1, ``{"bid": 0.5}`` is ``bid`` with value
        0.5, ``{"tags": ["a", "b"]}`` is ``tags=a`` and ``tags=b``, True is 1, False is 0 and so absent, and
        so is None. A set is the list of its texts in alphabetical order, bytes are text in UTF-8, dates and
        times are text as ISO 8601 has it (``isoformat()``), NumPy's scalars and arrays are what they hold.

        Parameters
        ----------
        examples
            A mapping of features an example.
        labels, weights
            As for :class:`Batch`.
        schema
            What the fields are, such as a model's :attr:`~nonzero.LogisticRegression.schema`: conflicts are
            counted there. None: each value is judged by itself.

        Returns
        -------
        Batch
            One row an example, in their order; its indices are whole hashes, for a table of any size.

        Raises
        ------
        BatchError
            For a value that is no feature, naming its row and name.

        Examples
        --------
        >>> import numpy as np
        >>> said = {"ad": "category", "bid": "number", "request": "ignore"}
        >>> batch = Batch.from_dicts([{"ad": np.int64(7), "bid": "0.5", "request": b"x"}], schema=said)
        >>> same = Batch.from_dicts([{"ad": "7", "bid": 0.5}])
        >>> bool((batch.indices == same.indices).all()), batch.values.tolist()
        (True, [1.0, 0.5])
        """
        return Batch.hash_dicts(examples, schema).labelled(labels, weights)

    @staticmethod
    def from_candidates(
        shared: Mapping[str, Any],
        candidates: Dicts,
        labels: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> Batch:
        """Hash candidates over a context that they share, for ranking: what is shared is hashed once.

        Parameters
        ----------
        shared
            The features that all have, as for :meth:`from_dicts`, such as those of the page and the user.
        candidates
            A mapping of its own features a candidate. A name that is shared too counts twice.
        labels, weights
            Of each candidate, as for :class:`Batch`.
        schema
            As for :meth:`from_dicts`.

        Returns
        -------
        Batch
            One row a candidate, in their order: all of its example, the shared features first.

        Raises
        ------
        BatchError
            For a value that is no feature; of a candidate it names the row.

        Examples
        --------
        >>> batch = Batch.from_candidates({"site": "news", "hour": "9"}, [{"ad": "7"}, {"ad": "8", "bid": 2}])
        >>> same = Batch.from_dicts(
        ...     [{"site": "news", "hour": "9", "ad": "7"}, {"site": "news", "hour": "9", "ad": "8", "bid": 2}]
        ... )
        >>> bool((batch.indices == same.indices).all()), batch.values.tolist() == same.values.tolist()
        (True, True)
        """
        return Batch.join_dicts(shared, candidates, schema).labelled(labels, weights)

    @staticmethod
    def from_arrow(
        table: Any,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> Batch:
        """Read the rows of a table, a frame or a stream, by the Arrow C stream interface.

        A row is read as :meth:`from_dicts` reads it as a dict, and null is nothing. Needs pyarrow, the extra
        ``[arrow]``.

        Parameters
        ----------
        table
            Whatever has ``__arrow_c_stream__`` or ``__arrow_c_array__``: a table, record batch or stream of
            pyarrow, a frame of pandas or polars, a relation of DuckDB, structs of nanoarrow. A stream is read
            to its end.
        label
            The column that holds the label. None: the one that is called label, click, clicked, target or y,
            in any case; without one the rows have no labels.
        weight, id, time
            The columns that hold importance weights, ids, and times (timestamps, or milliseconds since 1970).
            None: there is none.
        schema
            As for :meth:`from_dicts`. Every other column is a field.

        Returns
        -------
        Batch
            One row a row, in their order; its indices are whole hashes, for a table of any size.

        Raises
        ------
        BatchError
            For what is no table, and naming the first rows that cannot be read.
        FormatError
            For a column that is missing, or of a type that is no feature: its name, its type and the way out.

        Examples
        --------
        >>> import pyarrow
        >>> clicks = pyarrow.table({"site": ["news", None], "bid": [0.5, 2], "click": [True, False]})
        >>> batch = Batch.from_arrow(clicks)
        >>> batch, batch.labels.tolist(), batch.values.tolist()
        (Batch(2 examples, 3 nonzeros), [1.0, 0.0], [1.0, 0.5, 2.0])
        >>> same = Batch.from_dicts([{"site": "news", "bid": 0.5}, {"site": None, "bid": 2}])
        >>> bool((batch.indices == same.indices).all())
        True
        """
        return Batch.read_table(
            table, {"label": label, "weight": weight, "id": id, "time": time, "schema": schema}
        )

    @staticmethod
    def from_pandas(
        frame: Any,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> Batch:
        """Read the rows of a frame of pandas: :meth:`from_arrow` of it.

        An index without a name is left out, and one with a name is a column. NaN in a column of numpy's
        floats is null.

        Parameters
        ----------
        frame
            A ``pandas.DataFrame``, of pandas 2.2 or newer.
        label, weight, id, time, schema
            As for :meth:`from_arrow`.

        Returns
        -------
        Batch

        Raises
        ------
        BatchError, FormatError
            As for :meth:`from_arrow`.

        Examples
        --------
        >>> import pandas
        >>> frame = pandas.DataFrame({"site": ["news", "sport"], "click": [1, 0]}, index=[7, 3])
        >>> Batch.from_pandas(frame)
        Batch(2 examples, 2 nonzeros)
        """
        return Batch.from_arrow(frame, label, weight, id, time, schema)

    @staticmethod
    def from_polars(
        frame: Any,
        label: str | None = None,
        weight: str | None = None,
        id: str | None = None,
        time: str | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> Batch:
        """Read the rows of a frame of polars: :meth:`from_arrow` of it.

        Parameters
        ----------
        frame
            A ``polars.DataFrame``. NaN in it is an error: make it null by ``fill_nan(None)``.
        label, weight, id, time, schema
            As for :meth:`from_arrow`.

        Returns
        -------
        Batch

        Raises
        ------
        BatchError, FormatError
            As for :meth:`from_arrow`.

        Examples
        --------
        >>> import polars
        >>> frame = polars.DataFrame({"tags": [["a", "b"], None], "click": [1, 0]})
        >>> Batch.from_polars(frame).indptr.tolist()
        [0, 2, 2]
        """
        return Batch.from_arrow(frame, label, weight, id, time, schema)

    def labelled(self, labels: ArrayLike | None = None, weights: ArrayLike | None = None) -> Batch:
        """Return the same rows with other labels and weights.

        Parameters
        ----------
        labels, weights
            As for :class:`Batch`. None: as they are.

        Returns
        -------
        Batch
            It shares its rows with this one.

        Raises
        ------
        BatchError
            For labels that are none, weights out of their range, and another number of them than of rows.

        Examples
        --------
        >>> Batch.from_dicts([{"site": "news"}]).labelled([1]).labels.tolist()
        [1.0]
        """
        batch = object.__new__(Batch)
        vars(batch).update(vars(self))
        if labels is not None:
            vars(batch)["labels"] = checked_labels(labels, len(self))
        if weights is not None:
            vars(batch)["weights"] = checked_weights(weights, len(self))
        return batch

    def to_csr(self, bits: int) -> csr_matrix:
        """Make a ``scipy.sparse.csr_matrix`` of the rows, duplicates of a slot summed.

        Parameters
        ----------
        bits
            log2 of the number of columns, 1 to 30. Hashed indices take their low bits.

        Returns
        -------
        csr_matrix
            float32, shape (n, 2**bits).

        Raises
        ------
        BatchError
            Where an index that was given directly is no column of so small a matrix.

        Examples
        --------
        >>> Batch([0, 3], [1, 2, 2], [1, 2, 3]).to_csr(bits=2).toarray().tolist()
        [[0.0, 1.0, 5.0, 0.0]]
        """
        from scipy.sparse import csr_matrix

        self.check_slots(bits)
        columns = (self.indices & np.uint32(2**bits - 1)).astype(np.int64)
        values = np.ones(self.nnz, np.float32) if self.values is None else self.values.copy()
        matrix = csr_matrix((values, columns, self.indptr.copy()), shape=(len(self), 2**bits))
        matrix.sum_duplicates()
        return matrix

    def check_slots(self, bits: int) -> None:
        """Refuse indices that were given directly and are outside a table of ``2**bits`` slots.

        Parameters
        ----------
        bits
            log2 of the number of slots, 1 to 30.

        Raises
        ------
        BatchError
            It names the first such row, its largest index and the table's size.

        Examples
        --------
        >>> Batch([0, 1], [9]).check_slots(bits=4)
        >>> try:
        ...     Batch([0, 1], [9]).check_slots(bits=3)
        ... except BatchError as error:
        ...     print(str(error).partition(";")[0])
        row 0: index 9 is outside the table of 2**3 = 8 slots
        """
        if self.largest_slot < 2**bits:
            return
        outside = np.flatnonzero(self.rows_outside(bits))
        row = int(outside[0])
        named = self.indices[self.indptr[row] : self.indptr[row + 1]]
        raise BatchError(
            f"row {row}: index {int(named.max())} is outside the table of 2**{bits} = {2**bits} slots; "
            f"use more bits, or indices below {2**bits}"
        )

    def rows_outside(self, bits: int) -> NDArray[np.bool_]:
        """Tell which rows name, directly, a slot outside a table of ``2**bits``.

        Parameters
        ----------
        bits
            log2 of the number of slots, 1 to 30.

        Returns
        -------
        bool[n]
            True for each such row.

        Examples
        --------
        >>> Batch([0, 1, 2], [9, 7]).rows_outside(bits=3).tolist()
        [True, False]
        """
        direct = self.indices >= np.uint32(2**bits)
        if self.fields is not None:
            direct &= self.fields == NO_FIELD
        before = np.concatenate(([0], np.cumsum(direct)))
        result: NDArray[np.bool_] = before[self.indptr[1:]] > before[self.indptr[:-1]]
        return result

    @cached_property
    def largest_slot(self) -> int:
        """The largest index that was given directly; -1 where there is none."""
        if not self.nnz:
            return -1
        if self.fields is None:
            return int(self.indices.max())
        return (
            int(np.max(self.indices, where=self.fields == NO_FIELD, initial=0))
            if not self.fields.all()
            else -1
        )

    @cached_property
    def shared(self) -> int:
        """With how many nonzeros all rows begin alike, where whoever made the batch knows it; else 0."""
        return 0

    def rows(self, start: int, stop: int) -> Batch:
        """Return consecutive rows as a batch that shares this one's memory.

        Parameters
        ----------
        start, stop
            The first row, and the one after the last: from 0 to the number of rows.

        Returns
        -------
        Batch
            Of ``stop - start`` examples.

        Examples
        --------
        >>> Batch([0, 1, 2], [9, 7]).rows(1, 2).indices.tolist()
        [7]
        """
        lo, hi = int(self.indptr[start]), int(self.indptr[stop])
        ids = None if self.ids is None else self.ids[start:stop]
        return self.part(self.indptr[start : stop + 1] - lo, slice(lo, hi), slice(start, stop), ids)

    def select(self, kept: NDArray[np.bool_]) -> Batch:
        """Return some rows as a batch of its own.

        Parameters
        ----------
        kept
            bool[n]: True for each row that is taken.

        Returns
        -------
        Batch
            Those rows, in their order.

        Examples
        --------
        >>> import numpy as np
        >>> Batch([0, 1, 2], [9, 7]).select(np.array([False, True])).indices.tolist()
        [7]
        """
        lengths = np.diff(self.indptr)
        indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths[kept])))
        ids = None if self.ids is None else [self.ids[row] for row in np.flatnonzero(kept).tolist()]
        return self.part(indptr, np.repeat(kept, lengths), kept, ids)

    def part(
        self,
        indptr: NDArray[np.int64],
        nonzeros: slice | NDArray[np.bool_ | np.int64],
        rows: slice | NDArray[np.bool_ | np.int64],
        ids: Sequence[str | None] | None,
    ) -> Batch:
        """Return some rows and their nonzeros, as numpy would select them of an array, without a check.

        Parameters
        ----------
        indptr
            int64[m + 1]: where each of these rows starts among these nonzeros.
        nonzeros
            Which of the nonzeros, in order.
        rows
            Which of the rows, in order.
        ids
            The ids of these rows; None where they have none.

        Returns
        -------
        Batch

        Examples
        --------
        >>> import numpy as np
        >>> batch = Batch([0, 2, 3], [1, 2, 3])
        >>> batch.part(np.array([0, 1]), slice(2, 3), slice(1, 2), None).indices
        array([3], dtype=uint32)
        """
        return Batch.trusted(
            indptr,
            self.indices[nonzeros],
            None if self.values is None else self.values[nonzeros],
            self.labels[rows],
            self.weights[rows],
            None if self.fields is None else self.fields[nonzeros],
            ids,
            None if self.times is None else self.times[rows],
        )

    @staticmethod
    def concatenate(batches: Sequence[Batch]) -> Batch:
        """Return the rows of several batches as one, in order.

        Parameters
        ----------
        batches
            Any number of them, also none.

        Returns
        -------
        Batch
            All their rows. Values, fields, ids and times are there where any of the batches has them.

        Examples
        --------
        >>> Batch.concatenate([Batch([0, 1], [9]), Batch([0, 2], [7, 8])]).indptr.tolist()
        [0, 1, 3]
        """
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return Batch.empty()
        offsets = np.cumsum([0, *(batch.nnz for batch in batches)])
        indptr = [batch.indptr[1:] + offset for batch, offset in zip(batches, offsets, strict=False)]
        valued = any(batch.values is not None for batch in batches)
        grouped = any(batch.fields is not None for batch in batches)
        named = any(batch.ids is not None for batch in batches)
        timed = any(batch.times is not None for batch in batches)
        # To look for it among all fields costs a tenth of reading them from text.
        slots: list[int] = [vars(batch)["largest_slot"] for batch in batches if "largest_slot" in vars(batch)]
        return Batch.trusted(
            np.concatenate([np.zeros(1, np.int64), *indptr]),
            np.concatenate([batch.indices for batch in batches]),
            np.concatenate([batch.explicit_values() for batch in batches]) if valued else None,
            np.concatenate([batch.labels for batch in batches]),
            np.concatenate([batch.weights for batch in batches]),
            np.concatenate([_or_filled(b.fields, b.nnz, NO_FIELD, np.uint16) for b in batches])
            if grouped
            else None,
            Ids.concatenate([batch.ids or [None] * len(batch) for batch in batches]) if named else None,
            np.concatenate([_or_filled(b.times, len(b), -1, np.int64) for b in batches]) if timed else None,
            max(slots) if len(slots) == len(batches) else None,
        )

    def explicit_values(self) -> NDArray[np.float32]:
        """Return the values, ones where there are none.

        Returns
        -------
        float32[nnz]
            :attr:`values` itself where it is not None.

        Examples
        --------
        >>> Batch([0, 2], [7, 8]).explicit_values().tolist()
        [1.0, 1.0]
        """
        return np.ones(self.nnz, np.float32) if self.values is None else self.values

    def __len__(self) -> int:
        return self.indptr.size - 1

    @property
    def nnz(self) -> int:
        """The number of nonzeros."""
        return self.indices.size

    @property
    def nbytes(self) -> int:
        """The memory of the arrays, in bytes."""
        arrays = (self.indptr, self.indices, self.values, self.labels, self.weights, self.fields, self.times)
        return sum(array.nbytes for array in arrays if array is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Have copies, pickles and joblib make a batch by the constructor.

        So it is checked, and read-only, as this one is: numpy's arrays forget in a pickle that they are.
        """
        arrays = (self.indptr, self.indices, self.values, self.labels, self.weights, self.fields)
        return type(self), (*arrays, self.ids, self.times)

    def __repr__(self) -> str:
        return f"Batch({len(self)} examples, {self.nnz} nonzeros)"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: how much there is of what."""
        known = self.labels[~np.isnan(self.labels)]
        clicks = f"{int(known.sum()):,} of {len(known):,} labels" if len(known) else "no labels"
        weights = (
            "1 each" if (self.weights == 1).all() else f"{float(self.weights.sum(dtype=float)):,.6g} in all"
        )
        columns = (("values", self.values), ("fields", self.fields), ("ids", self.ids), ("times", self.times))
        rows = [
            ("examples", f"{len(self):,}"),
            ("nonzeros", f"{self.nnz:,}"),
            ("clicks", clicks),
            ("weights", weights),
            ("beside them", ", ".join(name for name, there in columns if there is not None) or "nothing"),
            ("memory", f"{self.nbytes:,} bytes"),
        ]
        return table_html("Batch", rows)


def _or_filled(array: NDArray[Any] | None, n: int, filler: int, dtype: type) -> NDArray[Any]:
    return np.full(n, filler, dtype) if array is None else array


def check_batch(given: Any) -> Batch:
    """Return a batch as it is.

    Raises
    ------
    BatchError
        For anything else: it says what makes a batch of it.
    """
    if isinstance(given, Batch):
        return given
    way = "Batch.from_csr(X, y)" if hasattr(given, "tocsr") else "Batch.from_dicts(rows, labels)"
    if hasattr(given, "__arrow_c_stream__"):
        way = 'Batch.from_arrow(table, label="click")'
    elif hasattr(given, "to_dict") and hasattr(given, "columns"):
        way = 'Batch.from_pandas(frame, label="click")'
    elif hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
        way = 'Batch.from_arrow(table, label="click")'
    elif isinstance(given, np.ndarray):
        way = "Batch.from_csr(scipy.sparse.csr_array(X), y)"
    raise BatchError(f"this is a {type(given).__name__}, not a Batch; make one with {way}")
