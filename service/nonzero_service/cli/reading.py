"""How a file of examples is read: the options that say so, and the readers that they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, TypeVar

import click

from nonzero import Schema, formats
from nonzero.errors import InputError, SettingsError
from nonzero.fields.schema import SEPARATORS
from nonzero.formats import Reader
from nonzero.formats.registry import COLUMNAR, DELIMITED
from nonzero.formats.times import split_column
from nonzero.sources.columnar import ColumnarFile, ColumnarReader
from nonzero.sources.files import ROWS, Source, format_of
from nonzero_service.cli.options import complete_file, listed
from nonzero_service.schema_text import read_schema

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FORMATS: Final = (*formats.NAMES, *COLUMNAR)

TIME_FORMAT_HELP: Final = (
    "FORMAT is ms or s (since 1970), iso, or a pattern of strptime such as '%Y-%m-%d %H:%M:%S'. Otherwise "
    "whole numbers are ms, and all else is iso."
)


def format_option(forms: Sequence[str]) -> Callable[[_Command], _Command]:
    """Return the option that names a format, one of some; given as ``format_``."""
    return click.option(
        "--format",
        "format_",
        shell_complete=lambda _, __, begun: [name for name in forms if name.startswith(begun)],
        help=f"The format: {', '.join(forms[:-1])} or {forms[-1]}. Otherwise the file's name tells it.",
    )


delimiter = click.option(
    "--delimiter",
    help="csv: the character between columns, or a word for it: tab, comma, semicolon, pipe, space, "
    r"or as \x01. Otherwise the header tells it.",
)
no_header = click.option("--no-header", is_flag=True, help="csv, tsv: the first line is an example too.")
columns = click.option(
    "--columns",
    metavar="NAMES",
    help="csv, tsv: the names of the columns in their order, such as click,site,bid, where no header "
    "tells them. Otherwise they are those of the model, or c1, c2 and so on.",
)

positive = click.option(
    "--positive", help="Tables: the label that means a click. Any other label means that there was none."
)

_TABLE: Final = (
    format_option((*_FORMATS, ROWS)),
    click.option(
        "--label",
        help="Tables: the column with the label. Otherwise the one named label, click, clicked, target or y.",
    ),
    click.option("--weight", metavar="COLUMN", help="Tables: the column with importance weights."),
    click.option("--id", metavar="COLUMN", help="Tables: the column with ids. They stay text."),
    click.option(
        "--time",
        metavar="COLUMN[:FORMAT]",
        help=f"Tables: the column with times. {TIME_FORMAT_HELP}",
    ),
    click.option(
        "--number",
        "--numeric",
        "number",
        multiple=True,
        help="Fields whose values are numbers, such as 'bid,price_*'. May be repeated.",
    ),
    click.option(
        "--ignore",
        multiple=True,
        help="Fields that are left out, such as 'request_id,*_time'. May be repeated.",
    ),
    delimiter,
    no_header,
    columns,
)

_DECLARING: Final = (
    click.option(
        "--category",
        multiple=True,
        help="Fields whose values are categories, such as 'site,*_id'. * stands for any text. "
        "May be repeated.",
    ),
    click.option(
        "--schema",
        metavar="FILE|JSON",
        shell_complete=complete_file,
        help="The kind of each field (category, number or ignore): a JSON file, or JSON such as "
        '\'{"bid": "number"}\'.',
    ),
    click.option(
        "--keep",
        multiple=True,
        help="Tables: columns that are kept though they look like row numbers or ids. May be repeated.",
    ),
    positive,
)

namespace_separator = click.option(
    "--namespace-separator",
    type=click.Choice(SEPARATORS),
    help="vw: the name of the feature f in the namespace ns: ns=f, as in JSON, or ns^f, as in old models. "
    "Otherwise =, or that of the rows file.",
)

_DELIMITERS: Final = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "space": " ",
}
"""What stands for a character that is hard to type in a shell."""

_CODED: Final = re.compile(r"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class ReadingOptions:
    """How a file is read, as the options say it. None, or nothing, where they do not."""

    format: str | None = None
    label: str | None = None
    number: Sequence[str] = ()
    ignore: Sequence[str] = ()
    delimiter: str | None = None
    category: Sequence[str] = ()
    schema_text: str | None = None
    keep: Sequence[str] = ()
    positive: str | None = None
    weight: str | None = None
    id: str | None = None
    time: str | None = None
    no_header: bool = False
    columns: str | None = None
    layout: str = ""
    """The format of tables, and of files whose names tell none, where no option says it: a model's."""

    @property
    def is_headless(self) -> bool:
        """Whether the options say that tables of text have no header."""
        return self.no_header or self.columns is not None

    @property
    def roles(self) -> dict[str, str]:
        """The columns that are no features, by what they hold."""
        time, _ = split_column(self.time or "")
        given = {"label": self.label, "weight": self.weight, "id": self.id, "time": time or None}
        return {role: name for role, name in given.items() if name is not None}

    @property
    def table_options(self) -> dict[str, Any]:
        """The options that only a reader of tables has."""
        _, time_format = split_column(self.time or "")
        given = {
            **self.roles,
            "time_format": (time_format or "auto") if self.time else None,
            **self.layout_options,
            "positive": self.positive,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def layout_options(self) -> dict[str, Any]:
        """The options that say what the text of a table is, whatever is in it."""
        return {
            "delimiter": None if self.delimiter is None else _delimiter_of(self.delimiter),
            "columns": listed([self.columns or ""]) if self.is_headless else None,
        }

    @property
    def declared(self) -> dict[str, str]:
        """The kinds of the fields that options name.

        Raises
        ------
        click.BadParameter
            Where a name has two kinds, or is that of a column that is no feature.
        """
        kinds: dict[str, str] = {}
        for kind, given in (("category", self.category), ("number", self.number), ("ignore", self.ignore)):
            for name in listed(given):
                if kinds.setdefault(name, kind) != kind:
                    raise click.BadParameter(
                        f"{name!r} is named by --{kinds[name]} too; say one", param_hint=f"--{kind}"
                    )
        for role, name in self.roles.items():
            # An ignored column may hold them: a model that was trained so says it of them.
            if name in kinds and (role == "label" or kinds[name] != "ignore"):
                raise click.BadParameter(
                    f"{name!r} is the {role}, which is no feature; say one", param_hint=f"--{kinds[name]}"
                )
        return kinds

    def schema(self, namespace_separator: str | None = None) -> Schema:
        """Return the schema that the options declare.

        Parameters
        ----------
        namespace_separator
            What stands between a namespace of VW text and a feature; None is the schema's own.

        Raises
        ------
        click.BadParameter
            Where ``--schema`` is none, and where a field has two kinds.
        """
        try:
            base = Schema.of(read_schema(self.schema_text), namespace_separator=namespace_separator)
        except SettingsError as error:
            hint = "--schema" if self.schema_text else "--namespace-separator"
            where = f"{self.schema_text}: " if (self.schema_text or "") not in str(error) else ""
            raise click.BadParameter(f"{where}{error}", param_hint=hint) from error
        declared = self.declared
        for name, kind in declared.items():
            if base.fields.get(name, kind) != kind:
                raise click.BadParameter(
                    f"{name!r} is {base.fields[name]} in {self.schema_text}; say one", param_hint=f"--{kind}"
                )
        try:
            return Schema({**base.fields, **declared}, base.default, base.namespace_separator)
        except SettingsError as error:
            raise click.BadParameter(str(error)) from error

    def format_of(self, source: Source) -> str:
        """Return the format that the options, or the file's name, tell.

        Raises
        ------
        click.BadParameter
            Where neither does, or the options tell one that is unknown.
        """
        if self.format:
            if self.format not in (*_FORMATS, ROWS):
                raise click.BadParameter(
                    f"the format {self.format!r} is unknown; give one of {', '.join((*_FORMATS, ROWS))}",
                    param_hint="--format",
                )
            return self.format
        try:
            named = format_of(source.path)
        except InputError as error:
            if self.layout:
                return self.layout
            raise click.BadParameter(str(error), param_hint="--format") from error
        return self.layout if self.layout and named in DELIMITED else named

    def table_of(self, source: Source) -> Source | ColumnarFile:
        """Return a file whose columns are fields: as text, or as a columnar file, as its format is.

        Raises
        ------
        click.BadParameter
            For a delimiter of a columnar file, or names of its columns.
        """
        form = self.format_of(source)
        if form not in COLUMNAR:
            source.format = form
            return source
        self.layout_of(source)
        return ColumnarFile.of(source, form)

    def layout_of(self, source: Source) -> dict[str, Any]:
        """Return :attr:`layout_options` for a file that has such text; nothing for another.

        Raises
        ------
        click.BadParameter
            For a delimiter of a columnar file, or names of its columns.
        """
        form = self.format_of(source)
        if form in DELIMITED:
            return self.layout_options
        for option, given in (
            ("--delimiter", self.delimiter is not None),
            ("--no-header", self.no_header),
            ("--columns", self.columns is not None),
        ):
            if given:
                raise click.BadParameter(
                    f"{source.name} is {form}, which has none; leave it out", param_hint=option
                )
        return {}

    def table_reader(self, source: Source, schema: Schema, **more: Any) -> Reader | ColumnarReader:
        """Return the reader of a file whose columns are fields, or of any other.

        Parameters
        ----------
        source, schema, **more
            As for :meth:`reader`.

        Raises
        ------
        click.BadParameter
            As :meth:`reader` does.
        FormatError
            For a columnar file that cannot be read.
        """
        table = self.table_of(source)
        if isinstance(table, ColumnarFile):
            return ColumnarReader(table, schema=schema, **(self.table_options | more))
        return self.reader(source, schema, **more)

    def reader(self, source: Source, schema: Schema, **more: Any) -> Reader:
        """Return the reader of text that a file's name and the options ask for.

        Parameters
        ----------
        source
            The file.
        schema
            The model's, by which the reader reads.
        **more
            Further options of the reader, which win over those of the command line.

        Raises
        ------
        click.BadParameter
            Where the format is unknown or cannot be told, and for an option that it does not have.
        """
        format_ = self.format_of(source)
        if format_ == ROWS:
            raise click.BadParameter(
                f"{source.name} has hashed rows, which train, predict and convert read; give the text",
                param_hint="FILE",
            )
        try:
            return formats.reader(format_, schema=schema, **(self.table_options | more))
        except InputError as error:
            hint = None if self.format in formats.NAMES else "--format"
            raise click.BadParameter(str(error), param_hint=hint) from error


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a file is read and what its fields are, given as ``reading``."""
    return _with_options(command, (*_TABLE, *_DECLARING))


def reading_again(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a file is read for a model that knows its fields, given as ``reading``."""
    return _with_options(command, _TABLE)


def _with_options(command: Callable[..., None], options: Sequence[Any]) -> Callable[..., None]:
    @wraps(command)
    def read(*given: Any, format_: str | None, schema: str | None = None, **others: Any) -> None:
        said = {
            name: others.pop(name) for name in tuple(others) if name in ReadingOptions.__dataclass_fields__
        }
        command(*given, reading=ReadingOptions(format_, schema_text=schema, **said), **others)

    for option in reversed(options):
        read = option(read)
    return read


def _delimiter_of(text: str) -> str:
    """Return the character that an option names; another text as it stands."""
    coded = _CODED.fullmatch(text)
    return chr(int(coded[1], 16)) if coded else _DELIMITERS.get(text, text)
