"""What a notebook shows of a model or a batch: a small table, in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_TABLE: Final = "border-collapse: collapse; text-align: left"
_TITLE: Final = "text-align: left; font-weight: bold; padding: 0.2em 0.6em"
_CELL: Final = "text-align: left; padding: 0.1em 0.6em; max-width: 40em; overflow-wrap: anywhere"


def table_html(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML, without a script, a picture or a colour: light and dark are the notebook's.

    Parameters
    ----------
    title
        What it is of.
    rows
        Of each its name, and what is to be said of it, in one cell or several; any text.

    Returns
    -------
    str
        A ``div`` with the table; all text is escaped.

    Examples
    --------
    >>> "<td" in table_html("Batch", [("examples", "2")])
    True
    >>> "<b>" in table_html("<b>", [("<b>", "<b>")])
    False
    """
    from html import escape  # which only a notebook needs

    lines = []
    for name, *cells in rows:
        said = "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in cells)
        lines.append(f'<tr><th scope="row" style="{_CELL}">{escape(name)}</th>{said}</tr>')
    return (
        f'<div><table style="{_TABLE}"><caption style="{_TITLE}">{escape(title)}</caption>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
