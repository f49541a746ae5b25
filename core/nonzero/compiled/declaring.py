"""The decorators: a kernel, and what kernels call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, update_wrapper
from typing import Any

from nonzero.compiled import kept, loading
from nonzero.compiled.types import Signature

__all__ = ["Called", "How", "cold", "inlined", "instruction", "kernel", "outlined", "wait_for_kernels"]


Collected = tuple[Callable[..., Any], Signature]
"""A kernel that is to be compiled."""

collected: list[Collected] | None = None
"""In a process that only compiles for another, the kernels that its modules define."""


_awaited: list[_Awaited] = []
"""Kernels that the companion was at when they were defined."""


class How(Enum):
    """How a kernel comes by a function that it calls."""

    INLINED = "inlined"
    OUTLINED = "outlined"
    COLD = "cold"
    INSTRUCTION = "instruction"


@dataclass(frozen=True)
class Called:
    """A function that kernels call, and Python does not: it exists only while a kernel is compiled."""

    function: Callable[..., Any]
    how: How

    def __call__(self, *_arguments: Any) -> Any:
        """Refuse."""
        raise TypeError(f"{self.function.__name__} is called by kernels; from Python, make a kernel of it")


class _Awaited:
    """A kernel that the companion is compiling; who calls it before it is there waits for it."""

    def __init__(self, function: Callable[..., Any], signature: Signature) -> None:
        update_wrapper(self, function)
        self._function, self._signature = function, signature

    @cached_property
    def made(self) -> Callable[..., Any]:
        """The kernel itself."""
        return _compiled_here(self._function, self._signature)

    def __call__(self, *arguments: Any) -> Any:
        return self.made(*arguments)


def wait_for_kernels() -> None:
    """Wait for all kernels of what has been imported, so that no call waits for one."""
    while _awaited:
        _awaited.pop().made  # noqa: B018 - it waits


def kernel(signature: Signature) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make machine code of a function, for exactly the given types.

    It is loaded, or compiled, when the function is defined, unless another process is compiling it just then:
    after :func:`wait_for_kernels` all are there. A kernel releases the GIL, and divides like IEEE 754 (no
    ``ZeroDivisionError`` branch in the loop). An array of other items, dimensions or order, one that must not
    be written to and would be, and a number that does not fit is a ``TypeError``: the machine code itself
    looks at its arguments, so that a call takes 0.2 microseconds. ``fastmath`` stays off: the same stream
    must give the same bits in any chunking, on any CPU.
    """

    def load(function: Callable[..., Any]) -> Callable[..., Any]:
        # The code of a closure depends on what it holds, which no digest sees.
        if function.__closure__:
            return loading.load(_compiled(function, signature), function)
        if collected is not None:
            collected.append((function, signature))
            return function
        place = kept.place_of(function)
        if (made := _kept(place, function)) is not None:
            return made
        from nonzero.compiled import companion

        if function.__module__.startswith("nonzero."):
            companion.start(place)
            if companion.is_at(place):
                _awaited.append(_Awaited(function, signature))
                return _awaited[-1]
        return _compiled_here(function, signature)

    return load


def _compiled_here(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """Compile a kernel and keep it; where the companion is at it, wait for it instead."""
    from nonzero.compiled import companion

    place = kept.place_of(function)
    with companion.claimed(place):
        if (made := _kept(place, function)) is None:
            code = _compiled(function, signature)
            kept.write(place, code)
            made = loading.load(code, function)
    return made


def _kept(place: kept.Place, function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Load what is kept of a kernel; None where there is nothing that can be loaded."""
    code = kept.read(place)
    if code is None:
        return None
    try:
        return loading.load(code, function)
    except loading.LoadError:
        return None


def _compiled(function: Callable[..., Any], signature: Signature) -> bytes:
    from nonzero.compiled import compiling

    return compiling.compiled(function, signature)


def inlined(function: Callable[..., Any]) -> Any:
    """Let kernels call a function at no cost: it becomes part of each kernel that calls it."""
    return Called(function, How.INLINED)


def outlined(function: Callable[..., Any]) -> Any:
    """Let kernels call a function that is rarely needed without its code standing in their loops."""
    return Called(function, How.OUTLINED)


def cold(function: Callable[..., Any]) -> Any:
    """Let kernels call a function that is hardly ever needed: what a loop holds in registers stays there.

    Around a call that LLVM takes for as likely as not, a loop keeps what it needs in memory.
    """
    return Called(function, How.COLD)


def instruction(function: Callable[..., Any]) -> Any:
    """Let kernels call a function of the same name in :mod:`nonzero.compiled.instructions`: LLVM code."""
    return Called(function, How.INSTRUCTION)
