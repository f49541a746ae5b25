"""Whether the rows of rows files were hashed as a model reads, and alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nonzero.errors import FormatError
from nonzero.fields.schema import Schema
from nonzero.formats.registry import TABLES
from nonzero.sources.rows_head import RowsFoot, RowsHead

_TEXT_ONLY: Final = frozenset({"vw", "libsvm", *TABLES})
"""Formats in which a value that is judged by itself is a category: in files of them there is nothing else."""

_SHOWN: Final = 5
"""So many differences are named."""


def differences(head: RowsHead, foot: RowsFoot | None, schema: Schema) -> list[str]:
    """Say where rows were hashed otherwise than a model reads.

    Parameters
    ----------
    head, foot
        What the file says of its rows. Without its foot only what it declares is compared.
    schema
        The model's.

    Returns
    -------
    list of str
        A clause for each difference; none where a model may take the rows for its own.

    Examples
    --------
    >>> head = RowsHead(Schema({"hour": "number"}), ("vw",))
    >>> differences(head, None, Schema({"hour": "category"}))
    ["the field 'hour' is number there and category in the model"]
    """
    ours = head.schema
    found = []
    separators = ours.namespace_separator, schema.namespace_separator
    if "vw" in head.formats and separators[0] != separators[1]:
        found.append("namespaces are joined by {!r} there and by {!r} in the model".format(*separators))
    came = {} if foot is None else foot.fields
    names = [*ours.fields, *(name for name in came if name not in ours.fields)]
    for name in names:
        if "*" in name and name not in came:
            continue
        there = _kind(ours, head.formats, name)
        if there == "infer" and came.get(name):
            there = came[name]
        wanted = _kind(schema, head.formats, name)
        if there != wanted and not (wanted == "infer" and name not in ours.fields):
            found.append(f"the field {name!r} is {_said(there)} there and {_said(wanted)} in the model")
    if foot is not None and not foot.complete:
        said = [{name: kind for name, kind in one.fields.items() if "*" in name} for one in (ours, schema)]
        if ours.default != schema.default or said[0] != said[1]:
            found.append(
                "it has more fields than are known by name, and the schemas' patterns or defaults differ"
            )
    return found


def check_hashed(name: str, head: RowsHead, foot: RowsFoot | None, schema: Schema) -> None:
    """Refuse rows that were hashed otherwise than a model reads.

    Parameters
    ----------
    name
        The file's.
    head, foot, schema
        As for :func:`differences`.

    Raises
    ------
    FormatError
        It names each difference, and the way out.

    Examples
    --------
    >>> check_hashed("log.rows", RowsHead(Schema(), ("vw",)), None, Schema())
    """
    found = differences(head, foot, schema)
    if found:
        raise FormatError(
            f"{name} was hashed otherwise than the model reads: {_listed(found)}; convert its text again "
            "with the model's schema (`nonzero convert --like MODEL`), or use the text itself"
        )


def check_tables(tables: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Any] | None = None) -> None:
    """Refuse tables of which a column is read as true and false in one, and as it stands in another.

    Parameters
    ----------
    tables
        Of each rows file that tables were among, what its head says of them.
    judged
        The same of tables that are read as text beside them; None for none.

    Raises
    ------
    FormatError
        It names the column, and the way out.

    Examples
    --------
    >>> one = {"columns": ["flag"], "boolean": ["flag"]}
    >>> check_tables({"a.rows": one, "b.rows": {"columns": ["ad"], "boolean": []}})
    """
    found: dict[str, tuple[str, bool]] = {}
    others = {} if judged is None else {"the text": judged}
    for name, table in (*tables.items(), *others.items()):
        for column in table["columns"]:
            is_boolean = column in table["boolean"]
            first, before = found.setdefault(column, (name, is_boolean))
            if before != is_boolean:
                one, other = (first, name) if before else (name, first)
                raise FormatError(
                    f"the column {column!r} holds nothing but True and False in {one}, where it became true "
                    f"and false, and other values in {other}; convert their text together"
                )


def joined_schema(
    heads: Mapping[str, RowsHead], given: Schema, namespace_separator: str | None = None
) -> Schema:
    """Return the schema of a model that is to learn from rows files.

    Parameters
    ----------
    heads
        Of each file, by its name; at least one.
    given
        What was declared besides, which the files must not contradict.
    namespace_separator
        The one that was asked for; None where none was.

    Returns
    -------
    Schema
        All that one of them declares.

    Raises
    ------
    FormatError
        Where two of them differ; it names both.

    Examples
    --------
    >>> heads = {"a": RowsHead(Schema({"bid": "number"}), ("csv",)), "b": RowsHead(Schema(), ("libsvm",))}
    >>> joined_schema(heads, Schema())
    Schema({'bid': 'number'}, default='infer', namespace_separator='=')
    """
    fields: dict[str, str] = {}
    by: dict[str, str] = {}
    found = []
    for name, schema in [("the options", given), *((name, head.schema) for name, head in heads.items())]:
        for one, kind in schema.fields.items():
            if fields.setdefault(one, kind) != kind:
                found.append(f"the field {one!r} is {fields[one]} in {by[one]} and {kind} in {name}")
            by.setdefault(one, name)
    named = [head for head in heads.values() if head.formats != ("libsvm",)]
    defaults = dict.fromkeys(head.schema.default for head in named)
    if given.default != "infer":
        defaults[given.default] = None
    if len(defaults) > 1:
        found.append(f"undeclared fields are {' in one and '.join(map(_said, defaults))} in another")
    separators = {head.schema.namespace_separator for head in named if "vw" in head.formats}
    if namespace_separator is not None:
        separators.add(namespace_separator)
    if len(separators) > 1:
        found.append("namespaces are joined by '=' in one and by '^' in another")
    if found:
        raise FormatError(f"these files cannot be one log: {_listed(found)}; convert their text again, alike")
    default = next(iter(defaults), given.default)
    return Schema(fields, default, next(iter(separators), given.namespace_separator))


def _kind(schema: Schema, formats: Sequence[str], name: str) -> str:
    """Return a field's kind; where there were only words, what is judged by itself is a category."""
    kind = schema.kind_of(name)
    return "category" if kind == "infer" and _TEXT_ONLY.issuperset(formats) else kind


def _said(kind: str) -> str:
    return {
        "infer": "judged value by value",
        "both": "a category and a number by turns",
        "ignore": "left out",
        "refuse": "refused",
    }.get(kind, kind)


def _listed(found: Sequence[str]) -> str:
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
