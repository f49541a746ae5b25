"""What a model remembers of the tables that it was trained on, so that others are read alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import click

from nonzero import FormatError, LogisticRegression, Schema
from nonzero.formats import Reader
from nonzero.formats.registry import TABLES
from nonzero.model.notes import FIELDS_NOTE, TABLES_NOTE, noted_booleans, noted_fields, noted_tables
from nonzero.sources.columnar import ColumnarReader
from nonzero.sources.files import Source
from nonzero.sources.rows_agreement import check_tables
from nonzero.sources.tables import Tables, columns_of, judge_tables
from nonzero_service.cli.options import listed
from nonzero_service.cli.reading import ReadingOptions


def tables_of(sources: Sequence[Source], schema: Schema, reading: ReadingOptions) -> Tables | None:
    """Decide what the columns are of those files that are tables; None where none is.

    Raises
    ------
    click.BadParameter
        For options that name what is not there.
    """
    tables = [source for source in sources if reading.format_of(source) in TABLES]
    if not tables:
        if reading.keep:
            raise click.BadParameter(
                "only tables (csv, Parquet, Arrow) have columns to keep", param_hint="--keep"
            )
        return None
    found = judge_tables(map(reading.table_of, tables), schema, listed(reading.keep), **reading.table_options)
    if len(tables) == len(sources):
        for name, kind in reading.declared.items():
            if not any(fnmatchcase(column, _as_glob(name)) for column in (*found.columns, *found.fields)):
                raise click.BadParameter(
                    f"there is no column {name!r}; there are {', '.join(found.columns)}",
                    param_hint=f"--{kind}",
                )
    return found


def options_of(
    source: Source, schema: Schema, reading: ReadingOptions, tables: Tables | None
) -> dict[str, Any]:
    """Return the options of a file's reader, which takes a table's columns for what was decided."""
    judged = reading.format_of(source) in TABLES and tables is not None
    return {"schema": schema, **({"boolean": tables.boolean} if judged and tables else {})}


def reader_of(
    source: Source, schema: Schema, reading: ReadingOptions, tables: Tables | None
) -> Reader | ColumnarReader:
    """Return a file's reader, which takes a table's columns for what was decided."""
    return reading.table_reader(source, **options_of(source, schema, reading, tables))


def _as_glob(name: str) -> str:
    """Write a schema's pattern, in which only * stands for other text, as fnmatch takes it."""
    return name.replace("[", "[[]").replace("?", "[?]")


def remember(model: LogisticRegression, tables: Tables) -> None:
    """Note in a model the columns that it was trained on, beside what its schema says of them.

    Those of before stay: a column is needed that every table had.
    """
    noted = noted_tables(model.notes)
    needed = tables.needed
    if noted:
        needed = [column for column in _needed(model) if column in tables.needed]
    more = {"roles": tables.roles, "layout": tables.layout, "order": tables.order}
    model.notes[TABLES_NOTE] = {
        **noted,
        **{name: value for name, value in more.items() if value},
        "label": noted.get("label") or tables.label,
        "columns": needed,
        "boolean": _joined(noted_booleans(model.notes), tables.boolean),
    }
    model.notes[FIELDS_NOTE] = _joined(noted_fields(model.notes), tables.fields)


def _joined(before: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*before, *more]))


def label_of(model: LogisticRegression) -> str | None:
    """Return the column that held the label of the tables that a model was trained on, if there was one."""
    label: str | None = noted_tables(model.notes).get("label")
    return label


def order_of(model: LogisticRegression) -> Sequence[str]:
    """Return the columns of the tables without a header that a model was trained on, in their order."""
    order: Sequence[str] = noted_tables(model.notes).get("order", ())
    return order


def reading_of(model: LogisticRegression) -> ReadingOptions:
    """Return how files are read for a model by a command that has no options for it.

    Tables are of the format that the model was trained on, where that makes features of columns.
    """
    return ReadingOptions(layout=noted_tables(model.notes).get("layout", ""))


def new_columns(model: LogisticRegression, tables: Tables) -> list[str]:
    """Return the columns of some tables that those which a model was trained on did not have."""
    noted = noted_tables(model.notes)
    if not noted or noted.get("layout"):
        return []  # a format that makes features of columns knows all of them
    known = {*noted_fields(model.notes), *model.schema.fields, label_of(model), tables.label}
    return [
        column
        for column in tables.columns
        if column not in known and model.schema.kind_of(column) != "ignore"
    ]


def check_booleans(model: LogisticRegression, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse rows files whose columns of True and False became other words than those of a model.

    Parameters
    ----------
    model
        The model.
    tables
        Of each file, what its head says of the tables that it was made of.

    Raises
    ------
    FormatError
        It names the column, and the way out.
    """
    noted = noted_tables(model.notes)
    if "boolean" in noted:
        ours = {"columns": noted_fields(model.notes), "boolean": noted["boolean"]}
        check_tables({"the model's files": ours, **tables})


def tables_alike(
    model: LogisticRegression, sources: Sequence[Source], reading: ReadingOptions, *, allow_missing: bool
) -> Tables | None:
    """Return what tables are for a model that says what their columns are; None where there is none.

    Raises
    ------
    FormatError
        Where columns are missing that the model was trained on, unless that is allowed.
    """
    noted = noted_tables(model.notes)
    found = []
    for source in sources:
        if reading.format_of(source) in TABLES:
            found.append(columns_of(reading.table_of(source), **_header_options(model, source, reading)))
            if not allow_missing:
                check_columns(model, source.name, found[-1])
    if not found:
        return None
    columns = list(dict.fromkeys(column for one in found for column in one if column))
    needed = [column for column in _needed(model) if all(column in one for one in found)]
    boolean = [column for column in noted_booleans(model.notes) if column in columns]
    return Tables(
        model.schema,
        reading.label or noted.get("label"),
        columns,
        needed,
        boolean,
        [],
        model.notes.get(FIELDS_NOTE, columns) if noted.get("layout") else columns,
        noted.get("roles", {}),
        noted.get("layout", ""),
        noted.get("order", ()),
    )


def _header_options(model: LogisticRegression, source: Source, reading: ReadingOptions) -> dict[str, Any]:
    """Return the options by which a table's header is read for a model; labels are not looked at.

    Raises
    ------
    FormatError
        Where the model was trained on a format that makes features of columns, and the file is another.
    """
    noted = noted_tables(model.notes)
    form, layout = reading.format_of(source), noted.get("layout", "")
    if layout and form != layout:
        raise FormatError(
            f"{source.name} is read as {form}, and the model was trained on {layout}, of which the columns "
            f"mean something else; give it as --format {layout}"
        )
    options: dict[str, Any] = {
        "schema": model.schema,
        "labels": False,
        **reading.table_options,
        "label": None,
    }
    if "columns" in options:
        options["columns"] = options["columns"] or order_of(model)
        options["label"] = reading.label or noted.get("label")
    return options


def check_columns(model: LogisticRegression, name: str, columns: Sequence[str]) -> None:
    """Refuse a table without all columns that a model was trained on.

    Parameters
    ----------
    model
        The model.
    name
        The file's.
    columns
        Those that it has.

    Raises
    ------
    FormatError
        It names those that are missing.
    """
    there = set(columns)
    missing = [column for column in _needed(model) if column not in there]
    if missing:
        raise FormatError(f"{name}: {_missing_text(missing, columns)}")


def options_alike(
    model: LogisticRegression,
    source: Source,
    reading: ReadingOptions,
    *,
    allow_missing: bool,
    labels: bool = False,
) -> dict[str, Any]:
    """Return the options of a reader that reads a table as those that a model was trained on.

    Labels are looked at only where `labels` says so.

    Raises
    ------
    FormatError
        Where columns are missing that the model was trained on, unless that is allowed.
    """
    noted = noted_tables(model.notes)
    options = _header_options(model, source, reading)
    columns = columns_of(reading.table_of(source), **options)
    label = reading.label or noted.get("label")
    options |= {
        "labels": labels,
        "label": label if label in columns else None,
        **(_roles_alike(noted, columns, reading) if labels else {}),
        # What models have noted that were trained before they had a schema.
        "numeric": [*listed(reading.number), *(c for c in noted.get("numeric", ()) if c in columns)],
        "ignore": [
            *listed(reading.ignore),
            *(column for column in noted.get("ignore", ()) if column in columns),
        ],
    }
    if not allow_missing:
        check_columns(model, source.name, columns)
    return {"boolean": noted_booleans(model.notes), **options}


def _roles_alike(noted: Mapping[str, Any], columns: Sequence[str], reading: ReadingOptions) -> dict[str, str]:
    """Return the columns of weight and id where the options name none, and the training had some."""
    roles: dict[str, str] = noted.get("roles", {})
    return {
        role: name
        for role, name in roles.items()
        if role != "time" and name in columns and role not in reading.roles
    }


def _needed(model: LogisticRegression) -> list[str]:
    """Return the columns that a table must have."""
    noted = noted_tables(model.notes)
    if "columns" in noted:
        return list(noted["columns"])
    if noted:
        left_out = {noted["label"], *noted["ignore"]}
        return [column for column in noted_fields(model.notes) if column not in left_out]
    return [name for name, kind in model.schema.fields.items() if kind != "ignore" and "*" not in name]


def _missing_text(missing: Sequence[str], columns: Sequence[str]) -> str:
    """Say which columns are missing, and what they may be called here."""
    alike = {column.strip().casefold(): column for column in columns}
    named = [
        f"{column!r} (there is {alike[key]!r})"
        if (key := column.strip().casefold()) in alike
        else repr(column)
        for column in missing
    ]
    others = (
        "its header is one column: name what stands between columns by --delimiter; "
        if len(columns) == 1
        else ""
    )
    return (
        f"columns are missing that the model was trained on: {', '.join(named)}; {others}"
        "rename them, or do without them by --allow-missing"
    )
