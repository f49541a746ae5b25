"""Nonzero as a service and as a command."""

import sys

if "numba.np.arraymath" not in sys.modules and "scipy.linalg" not in sys.modules:
    # Numba looks for a BLAS when it first loads a kernel, by importing scipy.linalg. That is 0.25 of the 1.66
    # seconds of CPU that a command takes to start, and for np.dot, which no kernel uses.
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        import nonzero  # noqa: F401
    finally:
        del sys.modules["scipy.linalg"]
