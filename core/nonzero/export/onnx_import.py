"""The package that writes ONNX, imported when it is asked for."""

from __future__ import annotations

from typing import Any, Final

from nonzero.errors import NonzeroError

MISSING: Final = "ONNX needs the package onnx, which is not installed: pip install 'nonzero-ctr[onnx]'"


class MissingONNXError(NonzeroError):
    """The package that writes ONNX is not installed.

    Examples
    --------
    >>> print(MissingONNXError())
    ONNX needs the package onnx, which is not installed: pip install 'nonzero-ctr[onnx]'
    """

    def __init__(self) -> None:
        super().__init__(MISSING)


def import_onnx() -> Any:
    """Return onnx.

    Raises
    ------
    MissingONNXError
        Where it, or what it is made of, is not installed.
    """
    try:
        import onnx  # here: half a second, which other formats need not pay
    except ModuleNotFoundError as error:
        raise MissingONNXError from error
    return onnx
