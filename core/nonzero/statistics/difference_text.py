"""What is said of two models' difference, whatever its interval comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference_text(difference: Mapping[str, Any] | None, first: str, second: str) -> str:
    """Return a sentence about which of two models is better, as far as can be told.

    Parameters
    ----------
    difference
        ``mean``, ``low`` and ``high`` of the first model's log loss less the second's, in nats an example;
        the latter two None where they are not known, and all of it where nothing is.
    first, second
        What the models are called.

    Examples
    --------
    >>> difference_text({"mean": -0.002, "low": -0.003, "high": -0.001}, "b", "default")
    'b is better than default by 0.00200 nats an example, 95 % 0.00100 to 0.00300.'
    """
    if difference is None or difference["low"] is None:
        return "No difference can be told: there are too few examples."
    mean, low, high = (difference[key] for key in ("mean", "low", "high"))
    if low <= 0 <= high:
        return (
            f"No difference can be told: the log loss of {first} less that of {second} is {mean:+.5f} nats "
            f"an example, 95 % {low:+.5f} to {high:+.5f}."
        )
    better, worse = (second, first) if mean > 0 else (first, second)
    least, most = sorted((abs(low), abs(high)))
    return (
        f"{better} is better than {worse} by {abs(mean):.5f} nats an example, 95 % {least:.5f} to {most:.5f}."
    )
