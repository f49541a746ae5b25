# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
# ruff: noqa: D103 - the docstrings are in nonzero.arithmetic.intrinsics
"""Rows of a table: loaded, stored and prefetched."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from nonzero.native.build.instructions.values import BYTE, FLOAT, INT, VECTOR, WORD, lanes8
from nonzero.native.lanes import STACK_EXAMPLES, STACK_ROWS, EightLanes, OneLane

__all__ = ["load", "on_stack", "prefetch", "store"]


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


@intrinsic
def on_stack(typingctx, lanes):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        of = sig.return_type[0]
        width = STACK_EXAMPLES * (8 if sig.return_type.instance_class is EightLanes else 1)
        memory = cgutils.alloca_once(builder, ir.ArrayType(FLOAT, STACK_ROWS * width))
        memory.align = 64
        array = context.make_array(of)(context, builder)
        data = builder.bitcast(memory, FLOAT.as_pointer())
        shape = [WORD(STACK_ROWS), WORD(width)]
        populate_array(array, data, shape, [WORD(4 * width), WORD(4)], WORD(4), None)
        return context.make_tuple(builder, sig.return_type, [array._getvalue()])

    return lanes(lanes), code


@intrinsic
def prefetch(typingctx, lanes, row):  # noqa: ARG001
    def code(context, builder, sig, args):
        start, _ = _half_row(context, builder, sig, (*args, args[1].type(0)))
        pointer = builder.bitcast(start, BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # Data, kept in all caches, to be read: where it was asked for to be written, as it then is, eight
        # lanes took 288 instead of 237 ns an example of 39 features (2^22 slots).
        builder.call(function, [pointer, INT(0), INT(3), INT(1)])
        return context.get_dummy_value()

    return types.void(lanes, types.intp), code
