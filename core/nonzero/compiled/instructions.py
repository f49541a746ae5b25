# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
# ruff: noqa: D103 - the docstrings are in nonzero.intrinsics
"""The LLVM code of what :mod:`nonzero.intrinsics` declares, each under the name that it has there."""

from __future__ import annotations

import operator
import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.core.typing.templates import signature as typed
from numba.extending import intrinsic, lower_builtin, models, register_model

from nonzero.intrinsics import EightLanes, OneLane

FLOAT = ir.FloatType()
INT = ir.IntType(32)
BYTE = ir.IntType(8)
WORD = ir.IntType(64)
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


class Slots8(types.Type):
    """Eight slots of a table as one value."""

    def __init__(self) -> None:
        super().__init__(name="Slots8")


slots8 = Slots8()


@register_model(Slots8)
class Slots8Model(models.PrimitiveModel):
    """Eight slots live in one vector register."""

    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, INT_VECTOR)


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
    vector = ir.VectorType(number.type, 8)
    return _in_order(
        builder, builder.insert_element(ir.Constant(vector, ir.Undefined), number, INT(0)), [0] * 8
    )


def _in_order(builder, vector, order):
    """Make a vector of another's numbers: those at some places, in this order."""
    places = ir.Constant(ir.VectorType(INT, len(order)), [*order])
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)


@intrinsic
def lane(typingctx, x, number):  # noqa: ARG001 - Numba's signature, here and below
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.extract_element(args[0], args[1]) if sig.args[0] == lanes8 else args[0]

    return types.float32(x, types.intp), code


# -- memory ------------------------------------------------------------------------------------------------


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


@intrinsic
def load(typingctx, lanes, row, half):  # noqa: ARG001
    def code(context, builder, sig, args):
        pointer, alignment = _half_row(context, builder, sig, args)
        return builder.load(pointer, align=alignment)

    return NUMBER_OF[lanes.instance_class](lanes, types.intp, types.intp), code


@intrinsic
def store(typingctx, lanes, row, half, number):  # noqa: ARG001
    def code(context, builder, sig, args):
        pointer, alignment = _half_row(context, builder, sig, args)
        builder.store(args[3], pointer, align=alignment)
        return context.get_dummy_value()

    return types.void(lanes, types.intp, types.intp, number), code


# -- eight rows of one lane at once -------------------------------------------------------------------------

ROW = ir.VectorType(FLOAT, 2)


def _rows(context, builder, sig, args):
    """Point to eight rows of one lane, one after another."""
    array = context.make_array(sig.args[0][0])(context, builder, builder.extract_value(args[0], 0))
    rows = builder.bitcast(array.data, ROW.as_pointer())
    for k in range(8):
        slot = builder.zext(builder.extract_element(args[1], INT(k)), WORD)
        yield builder.gep(rows, [slot], inbounds=True)


def _below(builder, n):
    """Return a bit for each of eight: whether its number is below n."""
    lanes = ir.Constant(INT_VECTOR, list(range(8)))
    return builder.icmp_signed("<", lanes, _splat(builder, builder.trunc(n, INT)))


def _some_at(context, builder, sig, args, others):
    """Load the n positions from j on of an array, and after them the others, so that there are eight."""
    start = context.make_array(sig.args[0])(context, builder, args[0]).data
    pointer = builder.bitcast(builder.gep(start, [args[1]], inbounds=True), others.type.as_pointer())
    mask = _below(builder, args[2])
    kind = ir.FunctionType(others.type, [pointer.type, INT, mask.type, others.type])
    name = f"llvm.masked.load.v8{'i' if others.type == INT_VECTOR else 'f'}32.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [pointer, INT(4), mask, others])


@intrinsic
def eight_numbers(typingctx, values, j, n, other):  # noqa: ARG001
    def code(context, builder, sig, args):
        return _some_at(context, builder, sig, args, _splat(builder, args[3]))

    return lanes8(values, types.intp, types.intp, types.float32), code


@intrinsic
def eight_slots(typingctx, indices, j, n, mask):  # noqa: ARG001
    def code(context, builder, sig, args):
        found = _some_at(context, builder, sig, args, ir.Constant(INT_VECTOR, [0] * 8))
        mask = builder.trunc(args[3], INT)
        last = _splat(builder, builder.add(mask, INT(1)))
        return builder.select(_below(builder, args[2]), builder.and_(found, _splat(builder, mask)), last)

    return slots8(indices, types.intp, types.intp, types.intp), code


@intrinsic
def distinct(typingctx, slots, n):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        # What is not looked at becomes numbers that no slot has: a slot is at most 2**31.
        others = ir.Constant(INT_VECTOR, [-1 - k for k in range(8)])
        slots = builder.select(_below(builder, args[1]), args[0], others)
        same = ir.Constant(ir.VectorType(ir.IntType(1), 8), [0] * 8)
        for turn in range(1, 5):  # by half a turn every two have met
            turned = _in_order(builder, slots, [(k + turn) % 8 for k in range(8)])
            same = builder.or_(same, builder.icmp_unsigned("==", slots, turned))
        return builder.icmp_unsigned("==", builder.bitcast(same, BYTE), BYTE(0))

    return types.boolean(slots8, types.intp), code


@intrinsic
def load_eight(typingctx, lanes, slots):  # noqa: ARG001
    def code(context, builder, sig, args):
        # Rows are loaded whole, and joined two and two: half as many instructions as number by number.
        parts = [builder.load(row, align=8) for row in _rows(context, builder, sig, args)]
        while len(parts) > 1:
            width = 2 * parts[0].type.count
            order = ir.Constant(ir.VectorType(INT, width), list(range(width)))
            parts = [
                builder.shuffle_vector(a, b, order) for a, b in zip(parts[::2], parts[1::2], strict=True)
            ]
        weights = _in_order(builder, parts[0], range(0, 16, 2))
        accumulators = _in_order(builder, parts[0], range(1, 16, 2))
        return context.make_tuple(builder, sig.return_type, (weights, accumulators))

    return types.UniTuple(lanes8, 2)(lanes, slots8), code


@intrinsic
def store_eight(typingctx, lanes, slots, weights, accumulators):  # noqa: ARG001
    def code(context, builder, sig, args):
        for k, row in enumerate(_rows(context, builder, sig, args)):
            order = ir.Constant(ir.VectorType(INT, 2), [k, k + 8])
            builder.store(builder.shuffle_vector(args[2], args[3], order), row, align=8)
        return context.get_dummy_value()

    return types.void(lanes, slots8, lanes8, lanes8), code


@intrinsic
def first_of(typingctx, n, numbers, other):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.select(_below(builder, args[0]), args[1], _splat(builder, args[2]))

    return lanes8(types.intp, lanes8, types.float32), code


@intrinsic
def add_in_fours(typingctx, sums, terms):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        sums, low = (_in_order(builder, arg, range(4)) for arg in args)
        four = builder.fadd(builder.fadd(sums, low), _in_order(builder, args[1], range(4, 8)))
        return _in_order(builder, four, [*range(4)] * 2)

    return lanes8(lanes8, lanes8), code


@intrinsic
def prefetch(typingctx, lanes, row):  # noqa: ARG001
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


@intrinsic
def like(typingctx, x, number):  # noqa: ARG001
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return _splat(builder, args[1]) if sig.args[0] == lanes8 else args[1]

    return x(x, types.float32), code


@intrinsic
def minimum(typingctx, a, b):  # noqa: ARG001
    return (a(a, b), _choose("<")) if a == b and a in NUMBERS else None


@intrinsic
def maximum(typingctx, a, b):  # noqa: ARG001
    return (a(a, b), _choose(">")) if a == b and a in NUMBERS else None


@intrinsic
def where(typingctx, mask, a, b):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        mask, a, b = args
        zero = ir.Constant(mask.type, [0.0] * 8 if sig.args[0] == lanes8 else 0.0)
        return builder.select(builder.fcmp_ordered(">", mask, zero), a, b)

    return (a(mask, a, b), code) if mask == a == b and a in NUMBERS else None


@intrinsic
def root(typingctx, x):  # noqa: ARG001
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


@intrinsic
def power_of_two(typingctx, n):  # noqa: ARG001
    if n not in NUMBERS:
        return None

    def code(context, builder, sig, args):
        kind, constant = _integers(sig.args[0])
        bits = builder.shl(builder.add(builder.fptosi(args[0], kind), constant(127)), constant(23))
        return builder.bitcast(bits, context.get_value_type(sig.return_type))

    return n(n), code


@intrinsic
def split(typingctx, x):  # noqa: ARG001
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


@intrinsic
def total(typingctx, x):  # noqa: ARG001
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


@intrinsic
def count(typingctx, x):  # noqa: ARG001
    if x not in NUMBERS:
        return None
    lanes = 8 if x == lanes8 else 1
    return types.intp(x), lambda context, builder, sig, args: ir.Constant(ir.IntType(64), lanes)  # noqa: ARG005


SQRT_HALF_BITS = int(np.float32(np.sqrt(0.5)).view(np.int32))


# -- bytes: parsers look at a buffer eight or sixty-four bytes at a time ------------------------------------
# A buffer is an array of bytes, or its address: a function with a loop counts references to an array that it
# takes, with two locked instructions a call, and a parser was slow by that (26 ns a feature, not 15).
# No bounds are checked, no negative index wraps around: the buffer must be as long as what is read.

BLOCK = ir.VectorType(BYTE, 64)


def _pointer(context, builder, sig, args, kind):
    """Point to the byte ``args[1]`` of the buffer ``args[0]``, as to a value of another type."""
    if isinstance(sig.args[0], types.Integer):
        start = builder.inttoptr(args[0], BYTE.as_pointer())
    else:
        start = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(start, [args[1]], inbounds=True), kind.as_pointer())


@intrinsic
def address_of(typingctx, data):  # noqa: ARG001
    def code(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, WORD)

    return types.uintp(data), code


@intrinsic
def byte_at(typingctx, data, j):  # noqa: ARG001
    def code(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig, args, BYTE))

    return types.uint8(data, types.intp), code


@intrinsic
def word_at(typingctx, data, j):  # noqa: ARG001
    def code(context, builder, sig, args):
        word = builder.load(_pointer(context, builder, sig, args, WORD), align=1)
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint64(data, types.intp), code


@intrinsic
def put_word(typingctx, data, j, word):  # noqa: ARG001
    def code(context, builder, sig, args):
        word = args[2] if sys.byteorder == "little" else builder.bswap(args[2])
        builder.store(word, _pointer(context, builder, sig, args, WORD), align=1)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), code


@intrinsic
def marks_at(typingctx, data, j, low, one, other):  # noqa: ARG001
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


@intrinsic
def choose(typingctx, condition, a, b):  # noqa: ARG001
    if a != b:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.select(*args)

    return a(types.boolean, a, a), code


@intrinsic
def trailing_zeros(typingctx, word):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), code
