"""The label and the id of a table's rows: which column holds the label, and what cells mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from nonzero.batches.limits import MAX_ID
from nonzero.errors import FormatError, InputError
from nonzero.formats.numbers import label_of, shown

LABELS: Final = ("label", "click", "clicked", "target", "y")
"""Names of columns that hold the label where none is named, in any case."""

_WORDS: Final = {b"True": 1.0, b"true": 1.0, b"False": 0.0, b"false": 0.0}


def find_label(columns: Sequence[str]) -> str | None:
    """Return which of some columns, of which nothing was said, is called like a label; None for none.

    Raises
    ------
    FormatError
        Where several are.

    Examples
    --------
    >>> find_label(["site", "Click"])
    'Click'
    """
    found = [column for column in columns if column.lower() in LABELS]
    if len(found) > 1:
        raise FormatError(
            f"the columns {' and '.join(map(repr, found))} are called like a label, and one of them among "
            f"the features would give it away; say which it is, and leave the others out: --label {found[0]} "
            f"--ignore {','.join(found[1:])}"
        )
    return found[0] if found else None


def named_twice(names: Iterable[str]) -> str | None:
    """Return the first name that stands twice; None for none.

    Parameters
    ----------
    names
        Tables have thousands of columns, so this takes time in proportion to them.

    Examples
    --------
    >>> named_twice(["site", "click", "site"])
    'site'
    """
    return next((name for name, count in Counter(names).items() if count > 1), None)


def label_of_cell(cell: bytes, positive: bytes) -> float:
    """Read a cell that is not empty: a label, or, with `positive`, whether it is that.

    Raises
    ------
    InputError
        Where it is no label.
    """
    if positive:
        return float(cell == positive)
    if cell in _WORDS:
        return _WORDS[cell]
    try:
        return label_of(cell)
    except InputError as error:
        raise InputError(f"{error}, nor true or false") from error


def id_of_cell(cell: bytes) -> str:
    """Read a cell that is an id: text, as it stands.

    Raises
    ------
    InputError
        Where it is not UTF-8, or too long.
    """
    try:
        name = cell.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"the id {shown(cell)} is not UTF-8") from error
    if len(name) > MAX_ID:
        raise InputError(f"the id {shown(cell)} is longer than {MAX_ID} characters")
    return name
