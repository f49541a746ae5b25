"""The table: the learned state, one row a coordinate."""

from __future__ import annotations

import mmap
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import SettingsError
from nonzero.model.places import Places
from nonzero.persistence.pages import HUGE_PAGE, allocate, take

MAX_BITS: Final = 30
"""The largest table: ``2**30`` slots."""

LANE_COUNTS: Final = (1, 8)
"""How many lanes a table can have: one (8 bytes a slot), or eight (a 64-byte cache line a slot)."""

LARGE: Final = 1 << 24
"""Bytes of the largest table whose rows stand where their slots are from the beginning."""

AT_ONCE: Final = 1 << 14
"""So many rows are moved at once."""


def check_size(bits: int, lanes: int) -> None:
    """Refuse what no table can be.

    Raises
    ------
    SettingsError
        For bits or lanes that are out of their range.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise SettingsError(
            f"bits is {bits!r}; a table has 2**bits slots, with bits a whole number from 1 to {MAX_BITS}"
        )
    if lanes not in LANE_COUNTS:
        raise SettingsError(f"there are {lanes} lanes; a table has 1 lane or 8")


class Table:
    """Weights and accumulators of every slot and the intercept.

    The rows of a large table of eight lanes first stand one behind the other, in the order of their touch: a
    small log takes memory in proportion to the rows that it touches, where their slots lie in all pages of
    the table. :meth:`spread` puts them where their slots are, which spares everyone looking up where they
    stand.

    Parameters
    ----------
    bits
        log2 of the number of slots, 1 to 30.
    lanes
        1 or 8.

    Raises
    ------
    SettingsError
        For bits or lanes that are out of their range.

    Examples
    --------
    >>> from nonzero import LogisticRegression
    >>> LogisticRegression(bits=10).table.rows.shape
    (1025, 16)
    """

    def __init__(self, bits: int, lanes: int) -> None:
        check_size(bits, lanes)
        self.bits = bits
        """log2 of the number of slots."""
        self.lanes = lanes
        """1 or 8."""
        self.standing: tuple[NDArray[np.float32], Places | None]
        """The array, and where in it the rows stand; read at once, beside who spreads them."""
        self.use(allocate(2**bits + 1, 2 * lanes))
        if lanes > 1 and self.nbytes > LARGE:
            self.standing = self.memory, Places(self.slots)

    def use(self, rows: NDArray[np.float32], *, readable_only: bool = False) -> None:
        """Keep weights and accumulators in this array from now on.

        Parameters
        ----------
        rows
            float32[2**bits + 1, 2 * lanes], C-contiguous.
        readable_only
            Whether a write to it would end the process.

        Raises
        ------
        ValueError
            For an array of another shape, dtype or layout.

        Examples
        --------
        >>> import numpy as np
        >>> table = Table(bits=2, lanes=1)
        >>> table.use(np.ones((5, 2), np.float32))
        >>> table.weights.ravel().tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
        """
        expected = (2**self.bits + 1, 2 * self.lanes)
        if rows.shape != expected or rows.dtype != np.float32 or not rows.flags.c_contiguous:
            raise ValueError(
                f"a table's rows are float32{list(expected)}, not {rows.dtype}{list(rows.shape)}"
            )
        self.standing = rows, None
        self.readable_only = readable_only
        """Whether its memory is another process's, which this one may read and not write to."""

    @property
    def memory(self) -> NDArray[np.float32]:
        """The array itself, as kernels take it: numpy holds it for writable even where its memory is not."""
        return self.standing[0]

    @property
    def places(self) -> Places | None:
        """Where the rows stand; None where each stands where its slot is."""
        return self.standing[1]

    def has_room(self, n: int) -> bool:
        """Tell whether rows of so many features can be touched before the table is to be spread.

        Parameters
        ----------
        n
            How many.

        Returns
        -------
        bool
            Always True where each row stands where its slot is.

        Examples
        --------
        >>> Table(bits=19, lanes=8).has_room(2**17 + 1), Table(bits=19, lanes=1).has_room(2**17 + 1)
        (False, True)
        """
        return self.places is None or self.places.has_room(n)

    def spread(self) -> None:
        """Put every row where its slot is; what reads the memory of before reads it as it was then.

        Examples
        --------
        >>> table = Table(bits=19, lanes=8)
        >>> table.spread()
        >>> table.rows.shape
        (524289, 16)
        """
        memory, places = self.standing
        if places is not None:
            spread = allocate(*memory.shape)
            for start in range(1, places.taken + 1, AT_ONCE):
                some = slice(start, min(start + AT_ONCE, places.taken + 1))
                spread[places.slots[some]] = memory[some]
            spread[-1] = memory[-1]
            self.use(spread)

    @property
    def rows(self) -> NDArray[np.float32]:
        """float32[2**bits + 1, 2 * lanes]: weights first, accumulators after; the intercept's row last.

        It is a view, so that nothing done to the array itself, to its shape for example, reaches the kernels.

        Raises
        ------
        ValueError
            Before :meth:`spread`, where rows do not stand where their slots are.
        """
        if self.places is not None:
            raise ValueError("the rows stand in the order of their touch; spread the table first")
        rows = self.memory.view()
        rows.flags.writeable = not self.readable_only
        return rows

    def take(self) -> None:
        """Take the memory of every page now, and change nothing: so nobody waits for it later.

        It must be nobody's yet who writes to it. Where the system itself has to be given the pages first, as
        a virtual machine that never used them, that takes 2.5 s a GB; else a twentieth of that.

        Examples
        --------
        >>> Table(bits=10, lanes=1).take()
        """
        if self.readable_only:
            return
        words = self.memory.reshape(-1).view(np.uint32)[:: mmap.PAGESIZE // 4]
        words |= 0  # numpy lets other threads run meanwhile

    def take_ahead(self, nbytes: int) -> None:
        """Have a thread take the first bytes' memory while others learn, who then find it there.

        Taking a page costs who touches it first what learning from some hundred examples does, or, where a
        virtual machine has to be given it, from some thousand.

        Parameters
        ----------
        nbytes
            So many bytes; at most the whole table.

        Examples
        --------
        >>> Table(bits=10, lanes=1).take_ahead(1 << 20)
        """
        size = min(nbytes, self.nbytes)
        if size >= HUGE_PAGE:
            # A daemon: the process may end before it is done.
            threading.Thread(target=take, args=(self.memory, size), name="pages", daemon=True).start()

    @property
    def slots(self) -> int:
        """The number of slots, without the intercept."""
        return len(self.memory) - 1

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes."""
        return int(self.memory.nbytes)

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32[slots + 1, lanes]: a view of the weights."""
        return self.rows[:, : self.lanes]

    @property
    def accumulators(self) -> NDArray[np.float32]:
        """float32[slots + 1, lanes]: a view of the accumulators."""
        return self.rows[:, self.lanes :]
