# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
# ruff: noqa: D103 - the docstrings are in nonzero.arithmetic.intrinsics
"""Eight rows of a single lane, and the positions of a batch that name them, at once."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from nonzero.native.build.instructions.values import (
    BYTE,
    FLOAT,
    INT,
    INT_VECTOR,
    WORD,
    in_order,
    lanes8,
    slots8,
    splat,
)

__all__ = [
    "add_in_fours",
    "distinct",
    "eight_numbers",
    "eight_slots",
    "first_of",
    "load_eight",
    "store_eight",
]


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
    return builder.icmp_signed("<", lanes, splat(builder, builder.trunc(n, INT)))


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
        return _some_at(context, builder, sig, args, splat(builder, args[3]))

    return lanes8(values, types.intp, types.intp, types.float32), code


@intrinsic
def eight_slots(typingctx, indices, j, n, mask):  # noqa: ARG001
    def code(context, builder, sig, args):
        found = _some_at(context, builder, sig, args, ir.Constant(INT_VECTOR, [0] * 8))
        mask = builder.trunc(args[3], INT)
        last = splat(builder, builder.add(mask, INT(1)))
        return builder.select(_below(builder, args[2]), builder.and_(found, splat(builder, mask)), last)

    return slots8(indices, types.intp, types.intp, types.intp), code


@intrinsic
def distinct(typingctx, slots, n):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        # What is not looked at becomes numbers that no slot has: a slot is at most 2**31.
        others = ir.Constant(INT_VECTOR, [-1 - k for k in range(8)])
        slots = builder.select(_below(builder, args[1]), args[0], others)
        same = ir.Constant(ir.VectorType(ir.IntType(1), 8), [0] * 8)
        for turn in range(1, 5):  # by half a turn every two have met
            turned = in_order(builder, slots, [(k + turn) % 8 for k in range(8)])
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
        weights = in_order(builder, parts[0], range(0, 16, 2))
        accumulators = in_order(builder, parts[0], range(1, 16, 2))
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
        return builder.select(_below(builder, args[0]), args[1], splat(builder, args[2]))

    return lanes8(types.intp, lanes8, types.float32), code


@intrinsic
def add_in_fours(typingctx, sums, terms):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        sums, low = (in_order(builder, arg, range(4)) for arg in args)
        four = builder.fadd(builder.fadd(sums, low), in_order(builder, args[1], range(4, 8)))
        return in_order(builder, four, [*range(4)] * 2)

    return lanes8(lanes8, lanes8), code
