"""Which text a number is, where a category takes it: one definition for every format."""

from __future__ import annotations

from typing import Final

import numpy as np

TRUE: Final = "true"
FALSE: Final = "false"

POSITIONAL: Final = 1e16
"""Below this a number is written without an exponent."""


def text_of_float(number: float) -> str:
    """Return the shortest text that reads as this float64: no exponent below 1e16, and no ``.0``.

    Examples
    --------
    >>> [text_of_float(number) for number in (5.0, 1e3, 0.1, -2.50, 1e-7, 1e15, 1e16)]
    ['5', '1000', '0.1', '-2.5', '0.0000001', '1000000000000000', '1e+16']
    """
    if abs(number) < POSITIONAL:
        return np.format_float_positional(number, trim="-")
    return repr(number)


def text_of_number(text: str) -> str:
    """Return the text that a JSON number is as a category: an integer's digits as they are written.

    Parameters
    ----------
    text
        The number as JSON has it, one that float64 can hold.

    Examples
    --------
    >>> [text_of_number(text) for text in ("5", "5.0", "1e3", "12345678901234567890123", "0.10")]
    ['5', '5', '1000', '12345678901234567890123', '0.1']
    """
    return text if text.lstrip("-").isdigit() else text_of_float(float(text))
