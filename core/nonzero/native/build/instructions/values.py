# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,misc"
"""The values that kernels compute with beside plain numbers: eight float32, and eight slots of a table."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

FLOAT = ir.FloatType()
INT = ir.IntType(32)
BYTE = ir.IntType(8)
WORD = ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, 8)
INT_VECTOR = ir.VectorType(INT, 8)


class Eight(types.Type):
    """Eight of something as one value."""

    def __init__(self, name, vector) -> None:
        super().__init__(name=name)
        self.vector = vector


@register_model(Eight)
class EightModel(models.PrimitiveModel):
    """They live in one vector register."""

    def __init__(self, dmm, fe_type) -> None:
        super().__init__(dmm, fe_type, fe_type.vector)


lanes8 = Eight("Lanes8", VECTOR)
"""Eight float32."""

slots8 = Eight("Slots8", INT_VECTOR)
"""Eight slots of a table."""

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
