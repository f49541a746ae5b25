# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
# ruff: noqa: D103 - the docstrings are in nonzero.arithmetic.intrinsics
"""Bytes, of which parsers look at eight or sixty-four at a time, and what they decide without a branch."""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from nonzero.native.build.instructions.values import BYTE, WORD, splat

__all__ = [
    "address_of",
    "byte_at",
    "choose",
    "marks_at",
    "put_halves",
    "put_word",
    "trailing_zeros",
    "word_at",
]


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
def put_halves(typingctx, data, i, word):  # noqa: ARG001
    def code(context, builder, sig, args):
        start = context.make_array(sig.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(start, [args[1]], inbounds=True), WORD.as_pointer())
        half = ir.Constant(WORD, 32)
        swapped = builder.or_(builder.lshr(args[2], half), builder.shl(args[2], half))
        builder.store(args[2] if sys.byteorder == "little" else swapped, place, align=4)
        return context.get_dummy_value()

    return types.void(data, types.intp, types.uint64), code


@intrinsic
def marks_at(typingctx, data, j, low, one, other):  # noqa: ARG001
    def code(context, builder, sig, args):
        block = builder.load(_pointer(context, builder, sig, args, BLOCK), align=1)
        low, one, other = (splat(builder, arg, 64) for arg in args[2:])
        found = builder.icmp_unsigned("<=", block, low)
        found = builder.or_(found, builder.icmp_unsigned("==", block, one))
        found = builder.or_(found, builder.icmp_unsigned("==", block, other))
        mask = builder.bitcast(found, WORD)
        return mask if sys.byteorder == "little" else builder.bitreverse(mask)

    byte = types.uint8
    return types.uint64(data, types.intp, byte, byte, byte), code


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
