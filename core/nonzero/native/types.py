"""The types of a kernel's arguments and of what it returns, spelled as Numba spells them.

They are descriptions: Numba itself is imported only where something is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Type:
    """What a kernel takes or returns; called with the types of the arguments, it is a signature."""

    def __call__(self, *arguments: Type) -> Signature:
        """Return the signature of a kernel that returns this."""
        return Signature(self, arguments)


@dataclass(frozen=True)
class Signature:
    """The types of a kernel's arguments, and what it returns."""

    returned: Type
    arguments: tuple[Type, ...]


@dataclass(frozen=True)
class Scalar(Type):
    """A number; sliced as ``[:, ::1]``, a C-contiguous array of them that may be written to."""

    name: str

    def __getitem__(self, axes: slice | tuple[slice, ...]) -> Array:
        return Array(self, len(axes) if isinstance(axes, tuple) else 1)

    @property
    def readonly(self) -> Array:
        """An array of one dimension that is only read: one that must not be written to may be handed over."""
        return Array(self, 1, readonly=True)


@dataclass(frozen=True)
class Array(Type):
    """A C-contiguous, aligned array in native byte order."""

    items: Scalar
    dimensions: int
    readonly: bool = False
    """Whether an array that must not be written to may be handed over."""


@dataclass(frozen=True)
class Tuple(Type):
    """Values of these types, in this order."""

    parts: tuple[Type, ...]


@dataclass(frozen=True)
class NamedTuple(Tuple):
    """The members of a :class:`typing.NamedTuple`."""

    of: type[Any]


def NamedUniTuple(part: Type, n: int, of: type[Any]) -> NamedTuple:  # noqa: N802 - Numba's name
    """The `n` members of a :class:`typing.NamedTuple`, all of one type."""
    return NamedTuple((part,) * n, of)


def like(arrays: Any) -> NamedTuple:
    """Return the type of a named tuple of arrays that may all be written to, such as these."""
    return NamedTuple(tuple(Array(Scalar(a.dtype.name), a.ndim) for a in arrays), type(arrays))


def UniTuple(part: Type, n: int) -> Tuple:  # noqa: N802 - Numba's name
    """`n` values of one type."""
    return Tuple((part,) * n)


void: Final = Scalar("void")
boolean: Final = Scalar("boolean")
uint8: Final = Scalar("uint8")
uint16: Final = Scalar("uint16")
uint32: Final = Scalar("uint32")
uint64: Final = Scalar("uint64")
int16: Final = Scalar("int16")
int32: Final = Scalar("int32")
int64: Final = Scalar("int64")
intp: Final = Scalar("intp")
float32: Final = Scalar("float32")
float64: Final = Scalar("float64")
