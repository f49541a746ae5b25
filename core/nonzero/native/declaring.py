"""The decorators: a kernel, and what kernels call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, NoReturn

from nonzero.native.types import Signature


class How(Enum):
    """How a kernel comes by a function that it calls."""

    INLINED = "inlined"
    OUTLINED = "outlined"
    COLD = "cold"
    INSTRUCTION = "instruction"


@dataclass(frozen=True)
class Helper:
    """A function that kernels call, as the build sees it."""

    function: Callable[..., Any]
    how: How


class _Building:
    """Whether this process builds kernels; if so, those that its modules define."""

    kernels: list[tuple[Callable[..., Any], Signature]] | None = None


def kernels_to_build() -> list[tuple[Callable[..., Any], Signature]]:
    """Have this process build kernels; return the list to which those are added that modules define."""
    _Building.kernels = []
    return _Building.kernels


def kernel(signature: Signature) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Take the machine code that was made of a function, for exactly the given types, in its place.

    A kernel releases the GIL, and divides like IEEE 754 (no ``ZeroDivisionError`` branch in the loop). An
    array of other items, dimensions or order, one that must not be written to and would be, and a number that
    does not fit is a ``TypeError``: the machine code itself looks at its arguments, so that a call takes 0.2
    microseconds. ``fastmath`` stays off: the same stream must give the same bits in any chunking, on any CPU.

    Parameters
    ----------
    signature
        The types of the arguments, and of what is returned.

    Returns
    -------
    Callable
        A decorator of a module's own function; it raises an ``ImportError`` where there is no machine code of
        the function as it stands.
    """

    def load(function: Callable[..., Any]) -> Callable[..., Any]:
        if _Building.kernels is not None:
            _Building.kernels.append((function, signature))
            return function
        from nonzero.native.loading import loaded

        return loaded(function)

    return load


def _helper(function: Callable[..., Any], how: How) -> Any:
    """Return what kernels call: in Python, the function itself."""
    return function if _Building.kernels is None else Helper(function, how)


def inlined(function: Callable[..., Any]) -> Any:
    """Let kernels call a function at no cost: it becomes part of each kernel that calls it."""
    return _helper(function, How.INLINED)


def outlined(function: Callable[..., Any]) -> Any:
    """Let kernels call a function that is rarely needed without its code standing in their loops."""
    return _helper(function, How.OUTLINED)


def cold(function: Callable[..., Any]) -> Any:
    """Let kernels call a function that is hardly ever needed: what a loop holds in registers stays there.

    Around a call that LLVM takes for as likely as not, a loop keeps what it needs in memory.
    """
    return _helper(function, How.COLD)


def instruction(function: Callable[..., Any]) -> Any:
    """Let kernels call the LLVM code of this name in :mod:`nonzero.native.build.instructions`."""

    @wraps(function)
    def refuse(*_arguments: Any) -> NoReturn:
        raise TypeError(f"{function.__name__} is an instruction: only kernels have it")

    return _helper(function, How.INSTRUCTION) if _Building.kernels is not None else refuse
