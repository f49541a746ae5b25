"""The LLVM code of what :mod:`nonzero.arithmetic.intrinsics` declares, each under its name there."""

from __future__ import annotations

from typing import Any, Final

from nonzero.native.build.instructions import abreast, arithmetic, rows, text

__all__ = ["BY_NAME"]

BY_NAME: Final[dict[str, Any]] = {
    name: getattr(module, name) for module in (arithmetic, rows, abreast, text) for name in module.__all__
}
"""Numba's intrinsics by their names."""
