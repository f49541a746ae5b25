"""Kernels: Python functions that are machine code by the time they are called.

Numba compiles them, which takes 25 seconds in all, and importing Numba takes longer than learning from a
small file. So what it made is kept, and a process that finds all its kernels never imports Numba:

- :mod:`~nonzero.compiled.declaring` has the decorators;
- :mod:`~nonzero.compiled.kept` says where machine code is kept, and under which digest;
- :mod:`~nonzero.compiled.companion` compiles in a second process beside the first;
- :mod:`~nonzero.compiled.loading` makes a function of machine code, that :mod:`~nonzero.compiled.placing` or,
  where it cannot, :mod:`~nonzero.compiled.linking` has put into memory;
- :mod:`~nonzero.compiled.compiling`, :mod:`~nonzero.compiled.entries` and
  :mod:`~nonzero.compiled.instructions` make the machine code, and are imported only for that.
"""

from nonzero.compiled import types
from nonzero.compiled.declaring import cold, inlined, instruction, kernel, outlined, wait_for_kernels

__all__ = ["cold", "inlined", "instruction", "kernel", "outlined", "types", "wait_for_kernels"]
