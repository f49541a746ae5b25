"""Examples as JSON, written of what other protocols have: columns of values, or rows of them.

Values stay as they were written, to the byte, so that they mean what they mean in a body of examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from nonzero_service.problems import Problem

_elements: Final = msgspec.json.Decoder(list[msgspec.Raw])


class BodyBounds(NamedTuple):
    """What a body may come to."""

    examples: int
    """How many there may be."""
    fields: int
    """How many fields they may have together: each takes some microseconds, even where it has no values."""
    nbytes: int
    """How long it may be when it is written as examples."""


class ExampleText:
    """Writes the body ``{"examples": [...]}`` of rows, whose columns have these names.

    Parameters
    ----------
    names
        The names of the fields, in the order of a row's values.
    most
        How many bytes a body may have.
    """

    def __init__(self, names: Sequence[str], most: int) -> None:
        members = [msgspec.json.encode(name).replace(b"%", b"%%") + b":%b" for name in names]
        self._row = b'{"features":{%b}}' % b",".join(members)
        self._most = most

    def body(self, rows: Iterable[tuple[msgspec.Raw, ...]]) -> bytes:
        """Return the body that has an example for each row.

        Raises
        ------
        Problem
            413 where it would be longer than it may be.
        """
        pieces: list[bytes] = []
        size = len(b'{"examples":[]}')
        for row in rows:
            piece = self._row % row
            size += len(piece) + 1
            if size > self._most:
                raise too_long(self._most)
            pieces.append(piece)
        return enveloped(pieces)


def enveloped(examples: Iterable[bytes]) -> bytes:
    """Return the body that has these examples."""
    return b'{"examples":[%b]}' % b",".join(examples)


def elements_of(values: msgspec.Raw) -> list[msgspec.Raw]:
    """Take a JSON list apart; each element is as it was written.

    Raises
    ------
    ValidationError
        Where it is no list.
    """
    return _elements.decode(values)


def check_fields(n: int, most: BodyBounds) -> None:
    """Refuse more fields than examples may have."""
    if n > most.fields:
        raise Problem(413, f"an example has at most {most.fields} fields, not {n}; leave out what it lacks")


def too_long(most: int) -> Problem:
    """Return the problem of rows that are more bytes as examples than a body may have."""
    return Problem(
        413,
        f"written as JSON examples, with the name of each field, this is more than {most} bytes; send fewer "
        "rows at once",
    )
