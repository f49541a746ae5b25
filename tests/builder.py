"""The Python that builds: it has the compiler."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

__all__ = ["builder"]

ROOT = Path(__file__).parents[1]


def builder() -> str:
    """Return a Python that has Numba: that of the build's environment, or this one."""
    python = ROOT / ".venv/build/bin/python"
    if python.exists():
        return str(python)
    pytest.importorskip("numba", reason="Numba is neither here nor in .venv/build")
    return sys.executable
