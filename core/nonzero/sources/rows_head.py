"""What the rows of a rows file were hashed with, and whether that is what a model expects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nonzero.errors import FormatError, SettingsError
from nonzero.fields.schema import Schema
from nonzero.formats.registry import TABLES

_TEXT_ONLY: Final = frozenset({"vw", "libsvm", *TABLES})
"""Formats in which a value that is judged by itself is a category: in files of them there is nothing else."""

_SHOWN: Final = 5
"""So many differences are named."""


@dataclass(frozen=True)
class RowsHead:
    """What stands before the rows: how names and values became numbers.

    Parameters
    ----------
    schema
        What the fields were declared as, with the separator of namespaces.
    formats
        The text formats that the rows came in.
    table
        What was found of the tables among them, as :meth:`nonzero.sources.tables.Tables.to_dict` says it.
        None where there were none.

    Examples
    --------
    >>> head = RowsHead(Schema({"bid": "number"}), ("ndjson",))
    >>> RowsHead.of_json(head.to_json()) == head
    True
    """

    schema: Schema
    formats: tuple[str, ...]
    table: Mapping[str, Any] | None = None

    def to_json(self) -> bytes:
        """Return it as a file holds it.

        Returns
        -------
        bytes
            JSON.

        Examples
        --------
        >>> RowsHead(Schema(), ("vw",)).to_json()[:17]
        b'{"formats":["vw"]'
        """
        said = {
            "formats": [*self.formats],
            "schema": self.schema.to_dict(),
            "namespace_separator": self.schema.namespace_separator,
            "table": self.table,
        }
        return json.dumps(said, separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, text: bytes) -> RowsHead:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            JSON.

        Returns
        -------
        RowsHead

        Raises
        ------
        FormatError
            For what no release has written.

        Examples
        --------
        >>> try:
        ...     RowsHead.of_json(b"{}")
        ... except FormatError as error:
        ...     print(error)
        its head does not say what the rows were hashed with: KeyError('schema')
        """
        try:
            said = json.loads(text)
            schema = Schema.of(said["schema"], namespace_separator=said["namespace_separator"])
            table = said["table"]
            if table is not None and not {"label", "columns", "needed", "boolean"} <= set(table):
                raise ValueError(f"its table has {sorted(table)}")
            return cls(schema, tuple(map(str, said["formats"])), table)
        except (ValueError, KeyError, TypeError, SettingsError) as error:
            raise FormatError(f"its head does not say what the rows were hashed with: {error!r}") from error


@dataclass(frozen=True)
class RowsFoot:
    """What stands after the rows: how many there are, and which fields came.

    Parameters
    ----------
    examples, nonzeros
        How many there are.
    fields
        The names of the fields that came, and the kind in which each was judged where none was declared:
        ``"category"``, ``"number"``, ``"both"``, or ``""``.
    complete
        Whether there was room for the names of all: of very many, the first 4,096 are known. A field that
        came in a few lines alone, among many others that were new, may be missing all the same.
    """

    examples: int
    nonzeros: int
    fields: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True

    @classmethod
    def of_schema(cls, examples: int, nonzeros: int, schema: Schema) -> RowsFoot:
        r"""Say which fields a schema has met.

        Parameters
        ----------
        examples, nonzeros
            How many rows were written.
        schema
            The very object by which they were read.

        Returns
        -------
        RowsFoot

        Examples
        --------
        >>> from nonzero import formats
        >>> schema = Schema()
        >>> batch = formats.parse(b"1 |site news\n", "vw", schema=schema)
        >>> RowsFoot.of_schema(1, 1, schema).fields
        {'site': 'category'}
        """
        kinds = schema.known.kinds_met()
        twice = schema.conflicts.counts()
        fields = {name: "both" if kind and name in twice else kind for name, kind in kinds.items()}
        return cls(examples, nonzeros, fields, not schema.known.is_full)

    def joined_with(self, others: Sequence[RowsFoot], schema: Schema) -> RowsFoot:
        """Return the same with the fields that others have: of rows that came from other rows files.

        Parameters
        ----------
        others
            What stands after those rows; none of their counts is added.
        schema
            What is declared of all of them: its fields are in the head.

        Returns
        -------
        RowsFoot

        Examples
        --------
        >>> RowsFoot(3, 9, {"a": "number"}).joined_with([RowsFoot(2, 2, {"a": "category"})], Schema()).fields
        {'a': 'both'}
        """
        fields = dict(self.fields)
        for other in others:
            for name, kind in other.fields.items():
                if name not in schema.fields:
                    fields[name] = _together(fields.get(name, ""), kind)
        complete = self.complete and all(other.complete for other in others)
        return RowsFoot(self.examples, self.nonzeros, fields, complete)

    def to_json(self) -> bytes:
        """Return it as a file holds it.

        Returns
        -------
        bytes
            JSON.

        Examples
        --------
        >>> RowsFoot(1, 2).to_json()
        b'{"examples":1,"nonzeros":2,"fields":{},"complete":true}'
        """
        return json.dumps(vars(self), separators=(",", ":")).encode()

    @classmethod
    def of_json(cls, text: bytes) -> RowsFoot:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        text
            JSON.

        Returns
        -------
        RowsFoot

        Raises
        ------
        FormatError
            For what no release has written.

        Examples
        --------
        >>> RowsFoot.of_json(RowsFoot(1, 2).to_json()).nonzeros
        2
        """
        try:
            said = json.loads(text)
            fields = {str(name): str(kind) for name, kind in said["fields"].items()}
            return cls(int(said["examples"]), int(said["nonzeros"]), fields, bool(said["complete"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"its end does not say what the rows are: {error!r}") from error


def _together(one: str, other: str) -> str:
    return one if one == other or not other else other if not one else "both"


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
