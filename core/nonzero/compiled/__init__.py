"""Kernels: Python functions that machine code was made of, ahead of time.

- :mod:`~nonzero.compiled.declaring` has the decorators;
- :mod:`~nonzero.compiled.loading` finds the machine code of a kernel in a shared library and makes a function
  of it; :mod:`~nonzero.compiled.layout` makes sure that numpy's arrays look as that code takes them to look;
- :mod:`nonzero.compiled.build` makes the library, with Numba. Nothing imports it when Nonzero runs.
"""

from nonzero.compiled import types
from nonzero.compiled.declaring import cold, inlined, instruction, kernel, outlined

__all__ = ["cold", "inlined", "instruction", "kernel", "outlined", "types"]
