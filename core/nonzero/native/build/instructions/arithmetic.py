# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
# ruff: noqa: D103 - the docstrings are in nonzero.arithmetic.intrinsics
"""Arithmetic of a float32 and of eight alike."""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.core.typing.templates import signature as typed
from numba.extending import intrinsic, lower_builtin

from nonzero.native.build.instructions.values import (
    FLOAT,
    INT,
    INT_VECTOR,
    NUMBERS,
    VECTOR,
    in_order,
    lanes8,
    splat,
)

__all__ = [
    "count",
    "exclusive",
    "greatest",
    "lane",
    "least",
    "like",
    "maximum",
    "minimum",
    "power_of_two",
    "root",
    "split",
    "total",
    "where",
]


def _number_of(args):
    """Return the type of what comes of these: eight numbers where any is, None where one is no number."""
    if any(arg not in NUMBERS for arg in args):
        return None
    return lanes8 if lanes8 in args else types.float32


def _alike(builder, args, sig):
    """Return the values of some arguments, made eight numbers each where the result is eight."""
    if sig.return_type != lanes8:
        return list(args)
    return [
        splat(builder, arg) if of == types.float32 else arg for arg, of in zip(args, sig.args, strict=True)
    ]


def _define(operation, instruction):
    """Give `operation` its meaning for lanes: LLVM's `instruction` on eight numbers at once."""

    @infer_global(operation)
    class LanesOperation(AbstractTemplate):
        def generic(self, args, kws):  # noqa: ARG002 - Numba's signature
            return typed(lanes8, *args) if _number_of(args) == lanes8 else None

    def lower(context, builder, sig, args):  # noqa: ARG001 - Numba's signature
        return getattr(builder, instruction)(*_alike(builder, args, sig))

    for left, right in ((lanes8, lanes8), (lanes8, types.float32), (types.float32, lanes8)):
        lower_builtin(operation, left, right)(lower)
    return LanesOperation


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


@intrinsic
def lane(typingctx, x, number):  # noqa: ARG001 - Numba's signature, here and below
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return builder.extract_element(args[0], args[1]) if sig.args[0] == lanes8 else args[0]

    return types.float32(x, types.intp), code


SQRT_HALF_BITS = int(np.float32(np.sqrt(0.5)).view(np.int32))


@intrinsic
def like(typingctx, x, number):  # noqa: ARG001
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        return splat(builder, args[1]) if sig.args[0] == lanes8 else args[1]

    return x(x, types.float32), code


def _choice(predicate, *args):
    """Return the type and the code of what keeps the one of two numbers for which `predicate` holds."""

    def code(context, builder, sig, args):  # noqa: ARG001
        a, b = _alike(builder, args, sig)
        return builder.select(builder.fcmp_ordered(predicate, a, b), a, b)

    made = _number_of(args)
    return (made(*args), code) if made else None


@intrinsic
def minimum(typingctx, a, b):  # noqa: ARG001
    return _choice("<", a, b)


@intrinsic
def maximum(typingctx, a, b):  # noqa: ARG001
    return _choice(">", a, b)


@intrinsic
def where(typingctx, mask, a, b):  # noqa: ARG001
    def code(context, builder, sig, args):  # noqa: ARG001
        mask, a, b = _alike(builder, args, sig)
        return builder.select(builder.fcmp_ordered(">", mask, ir.Constant(mask.type, None)), a, b)

    made = _number_of((mask, a, b))
    return (made(mask, a, b), code) if made else None


@intrinsic
def exclusive(typingctx, a, b):  # noqa: ARG001
    def code(context, builder, sig, args):
        kind, _ = _integers(sig.return_type)
        bits = [builder.bitcast(arg, kind) for arg in _alike(builder, args, sig)]
        return builder.bitcast(builder.xor(*bits), context.get_value_type(sig.return_type))

    made = _number_of((a, b))
    return (made(a, b), code) if made else None


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
        [sums] = args
        for n in (8, 4, 2):  # neighbours are added, as vectors
            sums = builder.fadd(
                in_order(builder, sums, range(0, n, 2)), in_order(builder, sums, range(1, n, 2))
            )
        return builder.extract_element(sums, INT(0))

    return types.float32(x), code


def _end(predicate, x):
    """Return the type and the code of what keeps the lane for which `predicate` holds against all others."""
    if x not in NUMBERS:
        return None

    def code(context, builder, sig, args):  # noqa: ARG001
        [found] = args
        if sig.args[0] != lanes8:
            return found
        for n in (4, 2, 1):
            low, high = in_order(builder, found, range(n)), in_order(builder, found, range(n, 2 * n))
            found = builder.select(builder.fcmp_ordered(predicate, low, high), low, high)
        return builder.extract_element(found, INT(0))

    return types.float32(x), code


@intrinsic
def least(typingctx, x):  # noqa: ARG001
    return _end("<", x)


@intrinsic
def greatest(typingctx, x):  # noqa: ARG001
    return _end(">", x)


@intrinsic
def count(typingctx, x):  # noqa: ARG001
    if x not in NUMBERS:
        return None
    lanes = 8 if x == lanes8 else 1
    return types.intp(x), lambda context, builder, sig, args: ir.Constant(ir.IntType(64), lanes)  # noqa: ARG005
