"""What the columns of tables are: decided once, over all files, before the first row is learned from.

A table's format judges a column by its first thousand rows. Who is about to read files can do better: a
sample of each is looked at, from its beginning, its middle and its end, and what is found goes into the
schema of the model, which binds whoever asks it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from nonzero.errors import FormatError, InputError, SettingsError
from nonzero.fields.schema import MAX_FIELDS, MAX_NAME, Schema
from nonzero.formats import format_class
from nonzero.formats.delimited import Delimited
from nonzero.formats.delimited_columns import ROLES
from nonzero.formats.delimited_text import records
from nonzero.formats.judging import Judge
from nonzero.formats.reading import BYTE_ORDER_MARK
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.files import Source

_OF_TEXT: Final = ("delimiter", "columns")
"""Options that columnar files have not."""

_HEAD: Final = 1 << 20
"""A header is looked for in so many bytes."""


class Tables(NamedTuple):
    """What was found in some tables."""

    schema: Schema
    """The schema that was given, and each column that it did not declare."""
    label: str | None
    """The column that holds the label, of the first table that has one."""
    columns: list[str]
    """The columns of all tables, each once."""
    needed: list[str]
    """Those of them that every table has, and that features are made of."""
    boolean: list[str]
    """The columns of True and False alone."""
    notes: list[str]
    """What there is to say of it, in sentences."""
    fields: Sequence[str] = ()
    """The fields of the features: the columns, and in the place of some of them what is made of them."""
    roles: Mapping[str, str] = {}
    """The columns of the weight, the id and the time, by these words."""
    layout: str = ""
    """The format of a table, where it makes features of columns (:mod:`nonzero.formats.layouts`)."""
    order: Sequence[str] = ()
    """The columns of tables without a header, in their order; nothing where there are none."""

    def to_dict(self) -> dict[str, Any]:
        """Return what has to be known of the tables for others to be read alike."""
        said = {"label": self.label, "columns": self.columns, "needed": self.needed, "boolean": self.boolean}
        more = {"roles": self.roles, "layout": self.layout, "order": self.order}
        if self.fields != self.columns:
            more["fields"] = self.fields
        return said | {name: value for name, value in more.items() if value}

    @classmethod
    def of_dicts(cls, schema: Schema, found: Sequence[Mapping[str, Any]]) -> Tables:
        """Join what :meth:`to_dict` said of some tables, which are read by one schema."""
        columns = list(dict.fromkeys(column for one in found for column in one["columns"]))
        needed = set(columns).intersection(*(one["needed"] for one in found))
        return cls(
            schema,
            next((one["label"] for one in found if one["label"]), None),
            columns,
            [column for column in columns if column in needed],
            list(dict.fromkeys(column for one in found for column in one["boolean"])),
            [],
            list(dict.fromkeys(name for one in found for name in one.get("fields", one["columns"]))),
            {role: name for one in reversed(found) for role, name in one.get("roles", {}).items()},
            next((one["layout"] for one in found if one.get("layout")), ""),
            next((one["order"] for one in found if one.get("order")), ()),
        )


class _Table(NamedTuple):
    """A table's header, and what shows a sample of its rows."""

    name: str
    columns: Sequence[str]
    label: str | None
    look: Callable[[Judge], None]
    fractions: Sequence[str] = ()
    """The columns that hold numbers which may have fractions, where the file has types."""
    made: Mapping[str, Sequence[str]] = {}
    """The fields of the features that are made of a column, by its name."""
    layout: str = ""
    headless: bool = False


def judge_tables(
    sources: Iterable[Source | ColumnarFile], schema: Schema, keep: Sequence[str] = (), **options: Any
) -> Tables:
    """Decide what the columns of some tables are; neither their order nor which is the last changes it.

    A column that the schema does not declare, where its default is to infer, is a category; or nothing, where
    it numbers the rows of all samples (:class:`nonzero.formats.judging.Judge`). A column of weights, ids or
    times is ignored, so that it is no feature wherever it comes from. Where a format makes features of
    columns, their fields are declared, and all others refused: a raw value in another table, or in JSON, is
    told.

    Parameters
    ----------
    sources
        The files; what is read of them here is read again later.
    schema
        What is declared.
    keep
        Columns that are categories even if they number the rows.
    **options
        More options of the format, such as ``label`` and ``delimiter``.

    Raises
    ------
    FormatError
        For a header that cannot be used; the file is named.
    SettingsError
        For a column to be kept that is not there, or is declared as something else.
    """
    given = _keeping(schema, keep)
    tables = [_table(source, given, options) for source in sources]
    columns = list(dict.fromkeys(column for table in tables for column in table.columns if column))
    missing = next((column for column in keep if column not in columns), None)
    if missing is not None:
        raise SettingsError(f"there is no column {missing!r} to keep; there are {', '.join(columns)}")
    judge = Judge()
    for table in tables:
        table.look(judge)
    labels = [table.label for table in tables if table.label is not None]
    roles = {role: options[role] for role in ROLES if options.get(role) is not None}
    made = {column: fields for table in tables for column, fields in table.made.items()}
    found = dict.fromkeys(roles.values(), "ignore")
    for column in columns:
        if column not in labels and column not in found:
            found |= _kinds_of(column, made.get(column, (column,)), given)
    notes = []
    for column, values in judge.numberings().items():
        if found.get(column) == "category":
            found[column] = "ignore"
            notes.append(
                f"the column {column!r} is left out: {values:,} values that were looked at number the rows; "
                f"--keep {column} keeps it as a category, --number {column} takes it as a number"
            )
    fractions = [c for c in columns if found.get(c) == "category" and any(c in t.fractions for t in tables)]
    if fractions:
        named = ", ".join(map(repr, fractions))
        held, them = (
            (f"the column {named} holds numbers and is taken as a category", "it as a number")
            if len(fractions) == 1
            else (f"the columns {named} hold numbers and are taken as categories", "them as numbers")
        )
        notes.append(f"{held}, as in delimited text; --number {','.join(fractions)} takes {them}")
    said, unsaid = _declarable(given, found)
    if unsaid:
        notes.append(
            f"not written into the schema, for their names cannot be: {', '.join(map(repr, unsaid[:5]))}"
        )
    layout = next((table.layout for table in tables if table.layout), "")
    default = "refuse" if layout and schema.default == "infer" else schema.default
    schema = Schema({**given.fields, **said}, default, schema.namespace_separator)
    features = [c for c in columns if c not in labels and c not in roles.values()]
    learned = [c for c in features if any(schema.kind_of(f) != "ignore" for f in made.get(c, (c,)))]
    lacking = {c for table in tables for c in {*learned}.difference(table.columns)}
    everywhere = [c for c in learned if c not in lacking]
    kept = set(learned)
    boolean = [c for c in judge.booleans() if c in kept and c not in made and schema.kind_of(c) != "number"]
    return Tables(
        schema,
        labels[0] if labels else None,
        columns,
        everywhere,
        boolean,
        [*notes, *_differences(tables, learned)],
        [field for column in columns for field in made.get(column, (column,))],
        roles,
        layout,
        max((table.columns for table in tables if table.headless), key=len, default=()),
    )


def _keeping(schema: Schema, keep: Sequence[str]) -> Schema:
    """Return a schema that says of some columns that they are categories."""
    for column in keep:
        if schema.fields.get(column, "category") != "category":
            raise SettingsError(f"the column {column!r} is to be kept, and {schema.fields[column]}; say one")
    kept = {**schema.fields, **dict.fromkeys(keep, "category")}
    return Schema(kept, schema.default, schema.namespace_separator)


def _kinds_of(column: str, fields: Sequence[str], given: Schema) -> dict[str, str]:
    """Return what is found of the fields of a column, where nothing was declared."""
    if not fields:
        return {column: "ignore"} if given.kind_of(column) == "infer" else {}
    return {name: "category" for name in fields if given.kind_of(name) == "infer"}


def head_of(source: Source, **options: Any) -> tuple[Delimited, int]:
    """Read a table's header, and return what read it and how many bytes it is.

    Parameters
    ----------
    source
        The file; what is read of it is read again later.
    **options
        The format's.

    Raises
    ------
    FormatError
        For a header that cannot be used; the file is named.
    """
    text = source.peek(_HEAD)
    kind: type[Delimited] = format_class(source.format)
    form = kind(boolean=(), **options)
    begin = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    try:
        while begin < len(text):
            end = text.find(b"\n", begin)
            end = len(text) if end < 0 else end
            line = text[begin:end].removesuffix(b"\r")
            is_header = form.read_header(line)
            if is_header and form.headless:
                break
            begin = end + 1
            if is_header:
                break
    except InputError as error:
        raise FormatError(f"{source.name}: {error}") from error
    return form, begin


def columns_of(source: Source | ColumnarFile, **options: Any) -> Sequence[str]:
    """Return the names of a table's columns.

    Parameters
    ----------
    source
        The file; what is read of it is read again later.
    **options
        The format's.

    Raises
    ------
    FormatError
        For a header that cannot be used; the file is named.
    """
    if isinstance(source, ColumnarFile):
        return ColumnarReader(source, **options).format.names
    return head_of(source, **options)[0].columns


def _table(source: Source | ColumnarFile, schema: Schema, options: Mapping[str, Any]) -> _Table:
    if isinstance(source, ColumnarFile):
        return _columnar(source, schema, options)
    form, behind = head_of(source, schema=schema, **options)
    counted = {*form.layout.buckets, *form.layout.hours}
    if form.columns and counted and not counted.intersection(form.columns):
        raise FormatError(
            f"{source.name} has none of the columns that {form.name} is known for "
            f"({', '.join(sorted(counted)[:3])}); if it is another table, give it as --format csv"
        )

    def look(judge: Judge) -> None:
        (first, _), *others = source.samples()
        for rows in (_rows(form, first[behind:], True), *(_rows(form, *one) for one in others)):
            judge.add(form.columns, rows)

    return _Table(
        source.name,
        form.columns,
        form.label,
        look,
        made=form.made,
        layout=form.name if form.layout.is_closed else "",
        headless=form.headless,
    )


def _columnar(file: ColumnarFile, schema: Schema, options: Mapping[str, Any]) -> _Table:
    reader = ColumnarReader(file, schema=schema, **{k: v for k, v in options.items() if k not in _OF_TEXT})
    columns = reader.format.names
    looked_at = [name for name in columns if schema.kind_of(name) != "ignore"]
    return _Table(
        file.source.name,
        columns,
        reader.format.label,
        lambda judge: file.look(judge, looked_at),
        file.fractions(columns),
    )


def _rows(form: Delimited, text: bytes, begins: bool) -> Iterable[list[bytes]]:
    """Return the whole rows of a sample: pieces of rows have another number of cells."""
    if not begins:
        text = text[text.find(b"\n") + 1 :]
    wanted = len(form.columns)
    return (cells for cells in records(text, form.delimiter) if len(cells) == wanted)


def _declarable(given: Schema, found: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return what can be written into the schema, and the columns that cannot."""
    said = {
        column: kind
        for column, kind in found.items()
        if "*" not in column and len(column.encode()) <= MAX_NAME
    }
    if len(given.fields) + len(said) > MAX_FIELDS:
        said = {column: kind for column, kind in said.items() if kind == "ignore"}
    return said, [column for column in found if column not in said]


def _differences(tables: Sequence[_Table], learned: Sequence[str]) -> list[str]:
    """Say of each table which columns it lacks that others have."""
    notes = []
    for table in tables:
        there = set(table.columns)
        missing = [column for column in learned if column not in there]
        if missing and table.columns:
            notes.append(
                f"{table.name} has no column {', '.join(map(repr, missing))}, which other files have"
            )
    return notes
