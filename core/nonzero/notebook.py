"""What a notebook shows of a model or a batch: a small table, in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_TABLE: Final = "border-collapse: collapse; text-align: left"
_TITLE: Final = "text-align: left; font-weight: bold; padding: 0.2em 0.6em"
_NAME: Final = "text-align: left; vertical-align: top; padding: 0.1em 0.6em; white-space: nowrap"
_CELL: Final = "text-align: left; padding: 0.1em 0.6em; max-width: 40em; overflow-wrap: break-word"


def table_html(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML, without a script, a picture or a colour: light and dark are the notebook's.

    Parameters
    ----------
    title
        What it is of.
    rows
        Of each its name, and what is to be said of it, in one cell or several; any text. The last cell of a
        row is as wide as what is left.

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

    given = [*rows]
    width = max(map(len, given), default=0)
    lines = []
    for name, *cells, last in given:
        said = "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in cells)
        said += f'<td style="{_CELL}" colspan="{width - 1 - len(cells)}">{escape(last)}</td>'
        lines.append(f'<tr><th scope="row" style="{_NAME}">{escape(name)}</th>{said}</tr>')
    return (
        f'<div><table style="{_TABLE}"><caption style="{_TITLE}">{escape(title)}</caption>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
