"""What commands and the service note beside a model, under names that both know.

Notes are kept with the model and say nothing to it: how tables are to be read, and which fields have come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

FIELDS_NOTE: Final = "fields"
"""The names of the fields that have come, as far as anybody looked: what people are told of."""

TABLES_NOTE: Final = "csv"
"""What the tables were that the model was trained on. csv was once the only format of tables."""

SOURCES_NOTE: Final = "sources"
"""How far topics were read that feed a served model; what is made of its file is not fed by them."""


def noted_fields(notes: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the fields that have come.

    Parameters
    ----------
    notes
        A model's.

    Returns
    -------
    sequence of str
        In the order in which they came; none where nobody looked.

    Examples
    --------
    >>> noted_fields({"fields": ["site"]}), noted_fields({})
    (['site'], ())
    """
    found: Sequence[str] = notes.get(FIELDS_NOTE, ())
    return found


def noted_tables(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was noted of the tables that a model was trained on.

    Parameters
    ----------
    notes
        A model's.

    Returns
    -------
    mapping
        Empty where there were none. Else ``label``, their column of labels; ``columns``, those that a table
        must have; ``boolean``, those in which True became ``true``; and where there was such a thing
        ``roles``, ``layout`` and ``order``. Models of older releases have ``numeric`` and ``ignore``, not
        all of these.

    Examples
    --------
    >>> noted_tables({"csv": {"label": "click"}})["label"]
    'click'
    """
    found: Mapping[str, Any] = notes.get(TABLES_NOTE, {})
    return found


def noted_booleans(notes: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns of True and False alone, of the tables that a model was trained on.

    Parameters
    ----------
    notes
        A model's.

    Returns
    -------
    sequence of str
        In them True is read as ``true`` and False as ``false``, as in JSON.

    Examples
    --------
    >>> noted_booleans({"csv": {"boolean": ["flag"]}}), noted_booleans({})
    (['flag'], ())
    """
    found: Sequence[str] = noted_tables(notes).get("boolean", ())
    return found
