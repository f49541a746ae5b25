# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
"""What LLVM can do and Numba does not offer; the only file that speaks LLVM.

Two things: a value type of eight float32 (:data:`lanes8`, LLVM's ``<8 x float>``) with its loads, stores and
arithmetic, and prefetching. Everything here is strict IEEE 754: no flag lets LLVM reorder or fuse.

A kernel is written once for one lane and for eight. It holds its rows as :class:`OneLane` or
:class:`EightLanes`; what `load` returns is a float32 from the one and eight of them from the other, and the
functions on numbers (`minimum`, `maximum`, `where`, `root`, `power_of_two`, `split`, `total`, `count`) take
either.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.core.typing.templates import signature as typed
from numba.extending import intrinsic, lower_builtin, models, register_model
from numpy.typing import NDArray

__all__ = [
    "EightLanes",
    "OneLane",
    "address_of",
    "byte_at",
    "choose",
    "count",
    "lane",
    "lanes8",
    "like",
    "load",
    "marks_at",
    "maximum",
    "minimum",
    "power_of_two",
    "prefetch",
    "put_word",
    "root",
    "split",
    "store",
    "total",
    "trailing_zeros",
    "where",
    "word_at",
]


def instruction(function: Callable[..., Any]) -> Any:
    """Make a function of LLVM code that kernels call: Numba's intrinsic, its types left open."""
    return intrinsic(function)


FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, 8)
INT_VECTOR = ir.VectorType(INT, 8)


class Lanes8(types.Type):
    """Eight float32 as one value."""

    def __init__(self) -> None:
        super().__init__(name="Lanes8")


lanes8 = Lanes8()


@register_model(Lanes8)
class Lanes8Model(models.PrimitiveModel):
    """Eight float32 live in one vector register."""

    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, VECTOR)


# -- arithmetic: + - * / between lanes, and between lanes and a float32 ------------------------------------

NUMBERS = (lanes8, types.float32)


def _define(operation, instruction):
    """Give `operation` its meaning for lanes: LLVM's `instruction` on eight numbers at once."""

    @infer_global(operation)
    class LanesOperation(AbstractTemplate):
        def generic(self, args, kws):  # noqa: ARG002 - Numba's signature
            if lanes8 in args and all(arg in NUMBERS for arg in args):
                return typed(lanes8, *args)
            return None

    def lower(context, builder, sig, args):  # noqa: ARG001 - Numba's signature
        whole = [
            _splat(builder, arg) if of == types.float32 else arg
            for arg, of in zip(args, sig.args, strict=True)
        ]
        return getattr(builder, instruction)(*whole)

    for left, right in ((lanes8, lanes8), (lanes8, types.float32), (types.float32, lanes8)):
        lower_builtin(operation, left, right)(lower)
    return LanesOperation


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


def _splat(builder, number):
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, INT(0))
    return builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), ir.Constant(INT_VECTOR, [0] * 8))


@instruction
def lane(typingctx, x, number):  # noqa: ARG001 - Numba's signature, here and below
    """The float32 of one lane."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.extract_element(args[0], args[1]) if sig.args[0] == lanes8 else args[0]

    return types.float32(x, types.intp), code


# -- memory ------------------------------------------------------------------------------------------------


class OneLane(NamedTuple):
    """Rows of one learner: float32[n, 2], a weight and its accumulator."""

    rows: NDArray[np.float32]


class EightLanes(NamedTuple):
    """Rows of eight learners: float32[n, 16] aligned to 64 bytes, the weights, then the accumulators."""

    rows: NDArray[np.float32]


NUMBER_OF = {OneLane: types.float32, EightLanes: lanes8}
MACHINE_TYPE = {types.float32: FLOAT, lanes8: VECTOR}


def _half_row(context, builder, sig, args):
    """Point to one half of a row (its weights or its accumulators); return the alignment of it too."""
    array = context.make_array(sig.args[0][0])(context, builder, builder.extract_value(args[0], 0))
    number = NUMBER_OF[sig.args[0].instance_class]
    width = 8 if number == lanes8 else 1
    row, half = args[1:3]
    offset = builder.mul(builder.add(builder.mul(row, row.type(2)), half), row.type(width))
    pointer = builder.gep(array.data, [offset], inbounds=True)
    return builder.bitcast(pointer, MACHINE_TYPE[number].as_pointer()), 4 * width


@instruction
def load(typingctx, lanes, row, half):  # noqa: ARG001
    """The numbers in half 0 (weights) or 1 (accumulators) of a row."""

    def code(context, builder, sig, args):
        pointer, alignment = _half_row(context, builder, sig, args)
        return builder.load(pointer, align=alignment)

    return NUMBER_OF[lanes.instance_class](lanes, types.intp, types.intp), code


@instruction
def store(typingctx, lanes, row, half, number):  # noqa: ARG001
    """Write the numbers in half 0 (weights) or 1 (accumulators) of a row."""

    def code(context, builder, sig, args):
        pointer, alignment = _half_row(context, builder, sig, args)
        builder.store(args[3], pointer, align=alignment)
        return context.get_dummy_value()

    return types.void(lanes, types.intp, types.intp, number), code


@instruction
def prefetch(typingctx, lanes, row):  # noqa: ARG001
    """Ask for the cache line in which a row starts, to be written soon."""

    def code(context, builder, sig, args):
        start, _ = _half_row(context, builder, sig, (*args, args[1].type(0)))
        pointer = builder.bitcast(start, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, INT(1), INT(3), INT(1)])  # to write, keep in all caches, data
        return context.get_dummy_value()

    return types.void(lanes, types.intp), code


# -- one number or eight -----------------------------------------------------------------------------------


def _choose(predicate):
    """Make the code that keeps the one of two numbers for which `predicate` holds, lane by lane."""

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.select(builder.fcmp_ordered(predicate, *args), *args)

    return code


@instruction
def like(typingctx, x, number):  # noqa: ARG001
    """A float32, or eight copies of it, as x is one number or eight."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return _splat(builder, args[1]) if sig.args[0] == lanes8 else args[1]

    return x(x, types.float32), code


@instruction
def minimum(typingctx, a, b):  # noqa: ARG001
    """The smaller of two finite numbers, lane by lane."""
    return (a(a, b), _choose("<")) if a == b and a in NUMBERS else None


@instruction
def maximum(typingctx, a, b):  # noqa: ARG001
    """The larger of two finite numbers, lane by lane."""
    return (a(a, b), _choose(">")) if a == b and a in NUMBERS else None


@instruction
def where(typingctx, mask, a, b):  # noqa: ARG001
    """The number `a` where the mask is above 0, else `b`, lane by lane; both are computed."""

    def code(context, builder, sig, args):  # noqa: ARG001
        mask, a, b = args
        zero = ir.Constant(mask.type, [0.0] * 8 if sig.args[0] == lanes8 else 0.0)
        return builder.select(builder.fcmp_ordered(">", mask, zero), a, b)

    return (a(mask, a, b), code) if mask == a == b and a in NUMBERS else None


@instruction
def root(typingctx, x):  # noqa: ARG001
    """The square root, correctly rounded."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        kind, name = (VECTOR, "llvm.sqrt.v8f32") if sig.args[0] == lanes8 else (FLOAT, "llvm.sqrt.f32")
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, args)

    return x(x), code


def _integers(of):
    """Return the integer type as wide as `of`, and a maker of its constants."""
    if of == lanes8:
        return INT_VECTOR, lambda c: ir.Constant(INT_VECTOR, [c] * 8)
    return INT, lambda c: ir.Constant(INT, c)


@instruction
def power_of_two(typingctx, n):  # noqa: ARG001
    """2**n for a whole number n from -126 to 127, exactly: n + 127 is the exponent's bits."""
    if n not in NUMBERS:
        return None

    def code(context, builder, sig, args):
        kind, constant = _integers(sig.args[0])
        bits = builder.shl(builder.add(builder.fptosi(args[0], kind), constant(127)), constant(23))
        return builder.bitcast(bits, context.get_value_type(sig.return_type))

    return n(n), code


@instruction
def split(typingctx, x):  # noqa: ARG001
    """(m, e) with x = m * 2**e and sqrt(1/2) <= m < sqrt(2), for a positive normal number x; e is whole."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):
        kind, constant = _integers(sig.args[0])
        real = context.get_value_type(sig.args[0])
        # Subtracting the bits of sqrt(1/2) moves the border between two exponents there.
        bits = builder.sub(builder.bitcast(args[0], kind), constant(SQRT_HALF_BITS))
        exponent = builder.ashr(bits, constant(23))
        mantissa = builder.add(builder.and_(bits, constant(0x007FFFFF)), constant(SQRT_HALF_BITS))
        pair = (builder.bitcast(mantissa, real), builder.sitofp(exponent, real))
        return context.make_tuple(builder, sig.return_type, pair)

    return types.UniTuple(x, 2)(x), code


@instruction
def total(typingctx, x):  # noqa: ARG001
    """The sum over the lanes: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        if sig.args[0] != lanes8:
            return args[0]
        sums = [builder.extract_element(args[0], INT(k)) for k in range(8)]
        while len(sums) > 1:
            sums = [builder.fadd(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0]

    return types.float32(x), code


@instruction
def count(typingctx, x):  # noqa: ARG001
    """The number of lanes, 1 or 8: known while compiling, so that a branch on it costs nothing."""
    if x not in NUMBERS:
        return None
    lanes = 8 if x == lanes8 else 1
    return types.intp(x), lambda context, builder, sig, args: ir.Constant(ir.IntType(64), lanes)  # noqa: ARG005


SQRT_HALF_BITS = int(np.float32(np.sqrt(0.5)).view(np.int32))


# -- bytes: parsers look at a buffer eight or sixty-four bytes at a time ------------------------------------
# A buffer is an array of bytes, or its address: a function with a loop counts references to an array that it
# takes, with two locked instructions a call, and a parser was slow by that (26 ns a feature, not 15).
# No bounds are checked, no negative index wraps around: the buffer must be as long as what is read.

BYTE = ir.IntType(8)
WORD = ir.IntType(64)
BLOCK = ir.VectorType(BYTE, 64)


def _pointer(context, builder, sig, args, kind):
    """Point to the byte ``args[1]`` of the buffer ``args[0]``, as to a value of another type."""
    if isinstance(sig.args[0], types.Integer):
        start = builder.inttoptr(args[0], BYTE.as_pointer())
    else:
        start = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(start, [args[1]], inbounds=True), kind.as_pointer())


@instruction
def address_of(typingctx, data):  # noqa: ARG001
    """The address of an array's first byte; the array must outlive its use."""

    def code(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, WORD)

    return types.uintp(data), code


@instruction
def byte_at(typingctx, data, j):  # noqa: ARG001
    """The byte ``data[j]`` as uint8."""

    def code(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig, args, BYTE))

    return types.uint8(data, types.intp), code


@instruction
def word_at(typingctx, data, j):  # noqa: ARG001
    """The eight bytes ``data[j:j + 8]`` as uint64, the first the lowest."""

    def code(context, builder, sig, args):
        word = builder.load(_pointer(context, builder, sig, args, WORD), align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint64(data, types.intp), code


@instruction
def put_word(typingctx, data, j, word):  # noqa: ARG001
    """Store a uint64 at ``data[j:j + 8]``, the lowest byte first."""

    def code(context, builder, sig, args):
        word = args[2] if sys.byteorder == "little" else builder.bswap(args[2])
        builder.store(word, _pointer(context, builder, sig, args, WORD), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), code


@instruction
def marks_at(typingctx, data, j, low, one, other):  # noqa: ARG001
    """Which of ``data[j:j + 64]`` are at most `low`, or `one`, or `other`: a bit each."""

    def code(context, builder, sig, args):
        block = builder.load(_pointer(context, builder, sig, args, BLOCK), align=1)
        low, one, other = (_splat_byte(builder, arg) for arg in args[2:])
        found = builder.icmp_unsigned("<=", block, low)
        found = builder.or_(found, builder.icmp_unsigned("==", block, one))
        found = builder.or_(found, builder.icmp_unsigned("==", block, other))
        mask = builder.bitcast(found, WORD)
        return mask if sys.byteorder == "little" else builder.bitreverse(mask)

    byte = types.uint8
    return types.uint64(data, types.intp, byte, byte, byte), code


def _splat_byte(builder, byte):
    one = builder.insert_element(ir.Constant(BLOCK, ir.Undefined), byte, INT(0))
    zeros = ir.Constant(ir.VectorType(INT, 64), [0] * 64)
    return builder.shuffle_vector(one, ir.Constant(BLOCK, ir.Undefined), zeros)


@instruction
def choose(typingctx, condition, a, b):  # noqa: ARG001
    """The number `a` where the condition holds, else `b`: both are computed, and there is no branch."""
    if a != b:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.select(*args)

    return a(types.boolean, a, a), code


@instruction
def trailing_zeros(typingctx, word):  # noqa: ARG001
    """How many bits of a uint64 other than 0 stand below its lowest 1."""

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), code
