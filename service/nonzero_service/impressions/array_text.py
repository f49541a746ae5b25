"""Arrays as text: compressed, in base64, as JSON holds them."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def text_of(array: NDArray[Any]) -> str:
    """Return the bytes of an array, compressed, in base64."""
    return base64.b64encode(zlib.compress(array.tobytes(), 1)).decode()


def array_of(text: str, dtype: Any) -> NDArray[Any]:
    """Return the array that :func:`text_of` was given.

    Raises
    ------
    ValueError
        Where it is something else.
    """
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)
    except zlib.error as error:
        raise ValueError(str(error)) from error
