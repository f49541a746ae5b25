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
from nonzero.formats.delimited import Delimited
from nonzero.formats.delimited_text import records
from nonzero.formats.judging import Judge
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.files import Source

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


class _Table(NamedTuple):
    """A table's header, and what shows a sample of its rows."""

    name: str
    columns: Sequence[str]
    label: str | None
    look: Callable[[Judge], None]
    fractions: Sequence[str] = ()
    """The columns that hold numbers which may have fractions, where the file has types."""


def judge_tables(
    sources: Iterable[Source | ColumnarFile], schema: Schema, keep: Sequence[str] = (), **options: Any
) -> Tables:
    """Decide what the columns of some tables are; neither their order nor which is the last changes it.

    A column that the schema does not declare, where its default is to infer, is a category; or nothing, where
    it numbers the rows of all samples (:class:`nonzero.formats.judging.Judge`).

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
    for column in keep:
        if schema.fields.get(column, "category") != "category":
            raise SettingsError(f"the column {column!r} is to be kept, and {schema.fields[column]}; say one")
    kept = {**schema.fields, **dict.fromkeys(keep, "category")}
    given = Schema(kept, schema.default, schema.namespace_separator)
    tables = [_table(source, given, options) for source in sources]
    columns = list(dict.fromkeys(column for table in tables for column in table.columns if column))
    missing = next((column for column in keep if column not in columns), None)
    if missing is not None:
        raise SettingsError(f"there is no column {missing!r} to keep; there are {', '.join(columns)}")
    judge = Judge()
    for table in tables:
        table.look(judge)
    labels = [table.label for table in tables if table.label is not None]
    open_ones = [column for column in columns if column not in labels and given.kind_of(column) == "infer"]
    found = dict.fromkeys(open_ones, "category")
    notes = []
    for column, values in judge.numberings().items():
        if column in found:
            found[column] = "ignore"
            notes.append(
                f"the column {column!r} is left out: {values:,} values that were looked at number the rows; "
                f"--keep {column} keeps it as a category, --number {column} takes it as a number"
            )
    fractions = [c for c in columns if found.get(c) == "category" and any(c in t.fractions for t in tables)]
    if fractions:
        notes.append(
            f"the columns {', '.join(map(repr, fractions))} hold numbers and are taken as categories, as in "
            f"delimited text; --number {','.join(fractions)} takes them as numbers"
        )
    said, unsaid = _declarable(given, found)
    if unsaid:
        notes.append(
            f"not written into the schema, for their names cannot be: {', '.join(map(repr, unsaid[:5]))}"
        )
    schema = Schema({**given.fields, **said}, schema.default, schema.namespace_separator)
    learned = [c for c in columns if c not in labels and schema.kind_of(c) != "ignore"]
    everywhere = [c for c in learned if all(c in table.columns for table in tables)]
    boolean = [c for c in judge.booleans() if c in learned and schema.kind_of(c) != "number"]
    return Tables(
        schema,
        labels[0] if labels else None,
        columns,
        everywhere,
        boolean,
        [*notes, *_differences(tables, learned)],
    )


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
    form = Delimited(boolean=(), **options)
    begin = 0
    try:
        while begin < len(text):
            end = text.find(b"\n", begin)
            end = len(text) if end < 0 else end
            line = text[begin:end].removesuffix(b"\r")
            begin = end + 1
            if form.read_header(line):
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

    def look(judge: Judge) -> None:
        (first, _), *others = source.samples()
        for rows in (_rows(form, first[behind:], True), *(_rows(form, *one) for one in others)):
            judge.add(form.columns, rows)

    return _Table(source.name, form.columns, form.label, look)


def _columnar(file: ColumnarFile, schema: Schema, options: Mapping[str, Any]) -> _Table:
    reader = ColumnarReader(file, schema=schema, **{k: v for k, v in options.items() if k != "delimiter"})
    columns = reader.format.names
    return _Table(
        file.source.name,
        columns,
        reader.format.label,
        lambda judge: file.look(judge, columns),
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
        missing = [column for column in learned if column not in table.columns]
        if missing and table.columns:
            notes.append(
                f"{table.name} has no column {', '.join(map(repr, missing))}, which other files have"
            )
    return notes
