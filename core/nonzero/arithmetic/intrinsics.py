# mypy: disable-error-code="no-untyped-def"
"""What LLVM can do and Numba does not offer; :mod:`nonzero.native.build.instructions` has the code.

Two things: a value of eight float32 (LLVM's ``<8 x float>``) with its loads, stores and arithmetic, and
prefetching. Everything here is strict IEEE 754: no flag lets LLVM reorder or fuse.

A kernel is written once for one lane and for eight. It holds its rows as one of the two classes of
:mod:`nonzero.native.lanes`. What `load` returns is a float32 from the one and eight of them from the
other; the functions on numbers (`minimum`, `maximum`, `where`, `root`, `power_of_two`, `split`, `total`,
`least`, `greatest`, `count`) take either.
"""

from __future__ import annotations

from nonzero.native import instruction

# -- memory ------------------------------------------------------------------------------------------------


@instruction
def load(lanes, row, half):
    """The numbers in half 0 (weights) or 1 (accumulators) of a row."""


@instruction
def store(lanes, row, half, number):
    """Write the numbers in half 0 (weights) or 1 (accumulators) of a row."""


@instruction
def on_stack(lanes):
    """Room for 20 rows of 64 numbers of each lane, which is not cleared and goes with the call."""


@instruction
def prefetch(lanes, row):
    """Prefetch the cache line in which a row starts, which is needed soon."""


# -- eight rows of one lane at once -------------------------------------------------------------------------


@instruction
def eight_slots(indices, j, n, mask):
    """The slots of the n positions from j on, and then the one after the mask's, so that there are eight."""


@instruction
def eight_numbers(values, j, n, other):
    """The values of the n positions from j on, and then others, so that there are eight."""


@instruction
def first_of(n, numbers, other):
    """The first n of eight numbers, and then others."""


@instruction
def distinct(slots, n):
    """Whether each of the first n slots is another one."""


@instruction
def load_eight(lanes, slots):
    """The weights of one lane's rows, and the accumulators."""


@instruction
def store_eight(lanes, slots, weights, accumulators):
    """Write one lane's rows."""


@instruction
def add_in_fours(sums, terms):
    """Add eight terms to four sums, which are held twice: to sum j the term j, and then the term j + 4."""


# -- one number or eight -----------------------------------------------------------------------------------


@instruction
def lane(x, number):
    """The float32 of one lane."""


@instruction
def like(x, number):
    """A float32, or eight copies of it, as x is one number or eight."""


@instruction
def minimum(a, b):
    """The smaller of two finite numbers, lane by lane."""


@instruction
def maximum(a, b):
    """The larger of two finite numbers, lane by lane."""


@instruction
def where(mask, a, b):
    """The number `a` where the mask is above 0, else `b`, lane by lane; both are computed."""


@instruction
def exclusive(a, b):
    """The exclusive or of two numbers' bits, lane by lane."""


@instruction
def root(x):
    """The square root, correctly rounded."""


@instruction
def power_of_two(n):
    """2**n for a whole number n from -126 to 127, exactly."""


@instruction
def split(x):
    """(m, e) with x = m * 2**e and sqrt(1/2) <= m < sqrt(2), for a positive normal number x; e is whole."""


@instruction
def total(x):
    """The sum over the lanes: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))."""


@instruction
def least(x):
    """The smallest of the lanes, which are finite."""


@instruction
def greatest(x):
    """The largest of the lanes, which are finite."""


@instruction
def count(x):
    """The number of lanes, 1 or 8: known while compiling, so that a branch on it costs nothing."""


# -- bytes: parsers look at a buffer eight or sixty-four bytes at a time -----------------------------------
# A buffer is an array of bytes, or its address. No bounds are checked, no negative index wraps around: the
# buffer must be as long as what is read.


@instruction
def address_of(data):
    """The address of an array's first byte; the array must outlive its use."""


@instruction
def byte_at(data, j):
    """The byte ``data[j]`` as uint8."""


@instruction
def word_at(data, j):
    """The eight bytes ``data[j:j + 8]`` as uint64, the first the lowest."""


@instruction
def put_word(data, j, word):
    """Store a uint64 at ``data[j:j + 8]``, the lowest byte first."""


@instruction
def put_halves(data, i, word):
    """Store the low and the high half of a uint64 as the uint32 ``data[i]`` and ``data[i + 1]``."""


@instruction
def marks_at(data, j, low, one, other):
    """Which of ``data[j:j + 64]`` are at most `low`, or `one`, or `other`: a bit each."""


@instruction
def choose(condition, a, b):
    """The number `a` where the condition holds, else `b`: both are computed, and there is no branch."""


@instruction
def trailing_zeros(word):
    """How many bits of a uint64 other than 0 stand below its lowest 1."""
