"""Prometheus' text format, for series of which there are many.

prometheus_client makes an object of each sample, and then a line of it. That takes 7 µs, and 1,000 models
have 28,000 lines. So these are made of their values at once, and can be kept by whoever has them made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, Literal, TypeVar

from prometheus_client import utils

T = TypeVar("T")

Kind = Literal["gauge", "counter"]

Told = float | Mapping[tuple[str, ...], float] | None
"""A value, or several by the values of further labels; None for nothing."""

_number: Callable[[float], str] = utils.floatToGoString

_ESCAPED: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Series(Generic[T]):
    """A family of metrics, of each of many things.

    Parameters
    ----------
    name
        Its name; where it counts, it ends in ``_total``.
    kind
        What it is for Prometheus.
    text
        What it is, for people.
    told
        Returns what is told of a thing.
    labels
        The names of further labels, beside the one that says of what it is.

    Examples
    --------
    >>> letters = Series("letters", "gauge", "Letters of a word.", len)
    >>> print(letters.head + letters.lines("word", "news", "news"), end="")
    # HELP letters Letters of a word.
    # TYPE letters gauge
    letters{word="news"} 4.0
    """

    def __init__(
        self, name: str, kind: Kind, text: str, told: Callable[[T], Told], labels: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.head = f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
        """What stands before the lines of all things."""
        self._told = told
        self._labels = labels

    def lines(self, label: str, value: str, thing: T) -> str:
        """Return the lines of a thing; none where nothing is told of it.

        Parameters
        ----------
        label, value
            The label that says of what it is, and which one it is.
        thing
            The thing.
        """
        told = self._told(thing)
        if told is None:
            return ""
        if not isinstance(told, Mapping):
            return f'{self.name}{{{label}="{escaped(value)}"}} {_number(told)}\n'
        lines = []
        for others, number in told.items():
            said = sorted(zip((label, *self._labels), (value, *others), strict=True))
            text = ",".join(f'{name}="{escaped(one)}"' for name, one in said)
            lines.append(f"{self.name}{{{text}}} {_number(number)}\n")
        return "".join(lines)


def escaped(value: str) -> str:
    """Return the value of a label as it is written."""
    return value.translate(_ESCAPED)
