"""Kernels -> shared libraries, by Numba; ``python core/nonzero/compiled/build`` builds them.

- :mod:`~nonzero.compiled.build.sources` tells what a kernel is made of, and so whether it must be made anew;
- :mod:`~nonzero.compiled.build.compiling` makes machine code of it, and with
  :mod:`~nonzero.compiled.build.entries` what Python calls;
- :mod:`~nonzero.compiled.build.instructions` is what Numba lacks;
- :mod:`~nonzero.compiled.build.linking` makes a library of all;
- :mod:`~nonzero.compiled.build.command` goes through it, and builds only what has changed.
"""
