# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
"""The values that kernels compute with beside plain numbers: eight float32, and eight slots of a table."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

__all__ = [
    "BYTE",
    "FLOAT",
    "INT",
    "INT_VECTOR",
    "NUMBERS",
    "VECTOR",
    "WORD",
    "in_order",
    "lanes8",
    "slots8",
    "splat",
]


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


NUMBERS = (lanes8, types.float32)
"""What functions on numbers take, one or eight."""


def splat(builder, number, n=8):
    """Make a vector of n times a number."""
    vector = ir.VectorType(number.type, n)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, INT(0))
    return in_order(builder, one, [0] * n)


def in_order(builder, vector, order):
    """Make a vector of another's numbers: those at some places, in this order."""
    places = ir.Constant(ir.VectorType(INT, len(order)), [*order])
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), places)
