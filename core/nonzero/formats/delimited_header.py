"""How the columns of delimited text are named, and what stands between them."""

from __future__ import annotations

from collections.abc import Sequence

from nonzero.errors import FormatError, SettingsError
from nonzero.formats.delimited_labels import find_label


def check_delimiter(delimiter: str) -> None:
    """Refuse several characters, and what can be part of a number, a quote or a line end.

    Raises
    ------
    SettingsError
        It names the way out.
    """
    if len(delimiter) > 1:
        found = "".join("\\" + letter if letter in "/.*[]^$\\" else letter for letter in delimiter)
        raise SettingsError(
            f"the delimiter is {delimiter!r}, of {len(delimiter)} characters, and one is read; put a tab in "
            rf"its place first, such as by sed 's/{found}/\t/g' FILE"
        )
    if not delimiter or not delimiter.isascii() or delimiter.isalnum() or delimiter in '"\r\n\0+-._':
        raise SettingsError(f"the delimiter is {delimiter!r}; give one character, such as ',', ';' or a tab")


def names_without_header(cells: Sequence[str], given: Sequence[str], label: str | None) -> list[str]:
    """Return the names of the columns of text without a header.

    Parameters
    ----------
    cells
        Its first record.
    given
        The names in their order; nothing for ``c1``, ``c2`` and so on.
    label
        The column that holds the label; None for the one that is called like one.

    Returns
    -------
    list of str
        Those of `given`; without the label's where the record has one cell less: a test set has no labels.

    Raises
    ------
    FormatError
        Where there are not as many cells as names.

    Examples
    --------
    >>> names_without_header(["1", "news"], ["click", "site"], None)
    ['click', 'site']
    >>> names_without_header(["news"], ["click", "site"], None)
    ['site']
    """
    if not given:
        return [f"c{k}" for k in range(1, len(cells) + 1)]
    names = [*given]
    if len(cells) == len(names):
        return names
    label = label or find_label(names)
    if len(cells) == len(names) - 1 and label in names:
        return [name for name in names if name != label]
    hint = "; or say what stands between columns (--delimiter)" if len(cells) == 1 else ""
    raise FormatError(
        f"the first line has {len(cells)} cells, and {len(names)} columns are named; name all of them in "
        f"their order (--columns), or give the file's own --format{hint}"
    )
