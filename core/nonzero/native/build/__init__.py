"""Kernels -> shared libraries, by Numba; ``python core/nonzero/native/build`` builds them.

- :mod:`~nonzero.native.build.sources` tells what a kernel is made of, and so whether it must be made anew;
- :mod:`~nonzero.native.build.compiling` makes machine code of it, and with
  :mod:`~nonzero.native.build.entries` what Python calls;
- :mod:`~nonzero.native.build.instructions` is what Numba lacks;
- :mod:`~nonzero.native.build.linking` makes a library of all;
- :mod:`~nonzero.native.build.command` goes through it, and builds only what has changed.
"""
