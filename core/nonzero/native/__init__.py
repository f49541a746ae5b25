"""Kernels: Python functions that machine code was made of, ahead of time.

- :mod:`~nonzero.native.declaring` has the decorators;
- :mod:`~nonzero.native.loading` finds the machine code of a kernel in a shared library and makes a function
  of it; :mod:`~nonzero.native.layout` makes sure that numpy's arrays look as that code takes them to look;
- :mod:`nonzero.native.build` makes the library, with Numba. Nothing imports it when Nonzero runs.
"""

from nonzero.native import types
from nonzero.native.declaring import cold, inlined, instruction, kernel, outlined

__all__ = ["cold", "inlined", "instruction", "kernel", "outlined", "types"]
