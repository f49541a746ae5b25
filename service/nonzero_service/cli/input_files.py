"""The files that a command is given, as one log: text of any format and rows files, hashed alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import click

from nonzero import FormatError, LogisticRegression, Schema, SnapshotError
from nonzero.formats import Parsed, Reader
from nonzero.formats.named_rows import NamedRows, read_named
from nonzero.formats.registry import COLUMNAR, TABLES
from nonzero.persistence import snapshot
from nonzero.sources.columnar import ColumnarReader
from nonzero.sources.columnar_names import read_named_columns
from nonzero.sources.examples import read_examples
from nonzero.sources.files import ROWS, ROWS_MAGIC, Source, total_size
from nonzero.sources.pipeline import in_turns
from nonzero.sources.places import Place
from nonzero.sources.rows_agreement import check_hashed, check_tables, joined_schema
from nonzero.sources.rows_file import RowsReader
from nonzero.sources.rows_head import RowsFoot, RowsHead
from nonzero.sources.tables import Tables
from nonzero_service.cli.reading import ReadingOptions
from nonzero_service.cli.tables import (
    check_booleans,
    check_columns,
    new_columns,
    options_alike,
    options_of,
    tables_alike,
    tables_of,
)

_AHEAD: Final = 3
"""So many blocks of a rows file wait, decoded, for who uses them."""


class InputFiles:
    """Files that are one log.

    What tables' columns are is decided, and the heads of rows files are read, when it is made.

    Parameters
    ----------
    sources
        The files, in their order.
    reading
        How texts are read, and what the options declare.
    namespace_separator
        That of the option; None where it was not given.
    like
        A model, whose schema and columns are taken; then the options declare nothing. None: none.
    allow_missing
        Whether tables may lack columns that this model was trained on.
    labels
        Whether labels are looked at in tables that are read as this model reads them, and with them weights
        and ids.

    Attributes
    ----------
    schema
        By which all of them are hashed: what the options declare, the rows files say and was decided of
        tables.
    tables
        What was decided of tables, those among them that rows files were made of included; None for none.
    notes
        What there is to say of it.
    formats
        The text formats that the examples came in.
    reading
        As given.

    Raises
    ------
    click.BadParameter
        For options that contradict each other, or the files.
    FormatError
        For files that were hashed otherwise than the others, or than the model reads.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        reading: ReadingOptions,
        namespace_separator: str | None = None,
        like: LogisticRegression | None = None,
        allow_missing: bool = False,
        labels: bool = True,
    ) -> None:
        self.sources = sources
        self.reading = reading
        self._like, self._allow_missing, self._labels = like, allow_missing, labels
        self._rows = {source: RowsReader(source) for source in sources if is_rows(source, reading)}
        self._judged: Tables | None = None
        self.tables: Tables | None = None
        self.notes: Sequence[str] = ()
        if like is not None:
            self.schema = like.schema
            texts = [source for source in sources if source not in self._rows]
            heads = {one.name: one.head.table for one in self._rows.values() if one.head.table is not None}
            check_booleans(like, heads)
            for name, table in heads.items():
                if not allow_missing:
                    check_columns(like, name, table["columns"])
            judged = tables_alike(like, texts, reading, allow_missing=allow_missing)
            self.tables = _joined(self.schema, judged, heads.values())
            if self.tables is not None and (new := new_columns(like, self.tables)):
                self.notes = [f"the model was trained without {', '.join(map(repr, new))}, which are new"]
        else:
            self._decide(reading.schema(namespace_separator), namespace_separator)
        for reader in self._rows.values():
            check_hashed(reader.name, reader.head, reader.foot, self.schema)
        self.formats = tuple(dict.fromkeys(form for source in sources for form in self._formats_of(source)))

    def _decide(self, schema: Schema, namespace_separator: str | None) -> None:
        """Decide what the fields are: by the options, the rows files, and what tables hold."""
        heads = {reader.name: reader.head for reader in self._rows.values()}
        if heads:
            schema = joined_schema(heads, schema, namespace_separator)
        texts = [source for source in self.sources if source not in self._rows]
        judged = tables_of(texts, schema, self.reading)
        tables = {name: head.table for name, head in heads.items() if head.table is not None}
        check_tables(tables, None if judged is None else judged.to_dict())
        self.schema = schema if judged is None else judged.schema
        self._judged = judged
        self.notes = () if judged is None else judged.notes
        self.tables = _joined(self.schema, judged, tables.values())

    def _formats_of(self, source: Source) -> Sequence[str]:
        rows = self._rows.get(source)
        return (self.reading.format_of(source),) if rows is None else rows.head.formats

    @property
    def size(self) -> int | None:
        """How many bytes there are to read; None where nobody knows."""
        return total_size(self.sources)

    @property
    def known_size(self) -> int:
        """How many bytes there are at least."""
        return sum(source.size or 0 for source in self.sources)

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return sum(source.position for source in self.sources)

    def head(self) -> RowsHead:
        """Return what a rows file of all these files says of them."""
        if self.tables is None:
            return RowsHead(self.schema, self.formats)
        return RowsHead(self.schema, self.formats, self.tables.to_dict())

    def foot(self, examples: int, nonzeros: int) -> RowsFoot:
        """Return what it says of them at its end, once they have been read.

        Parameters
        ----------
        examples, nonzeros
            How many there are.
        """
        foot = RowsFoot.of_schema(examples, nonzeros, self.schema)
        feet = [one.foot for one in self._rows.values() if one.foot is not None]
        return foot.joined_with(feet, self.schema)

    def what(self, source: Source) -> str:
        """Return what an example of a file is called: a row, or a line."""
        return "row" if source in self._rows or self.reading.format_of(source) in COLUMNAR else "line"

    def read(self, say: Callable[[str], None]) -> Generator[tuple[Source, Parsed], None, None]:
        """Yield the examples of all files, parsed and decoded by other threads, each part with its file.

        Parameters
        ----------
        say
            Called with a line for what a file's reader has to say at its end.

        Raises
        ------
        FormatError
            For a file that is damaged or, where that shows only at its end, was hashed otherwise.
        """
        for source in self.sources:
            rows = self._rows.get(source)
            if rows is not None:
                yield from ((source, parsed) for parsed in read_rows(rows, self.schema))
                continue
            text = self._reader_of(source)
            with closing(read_examples(source, text)) as parts:
                for parsed in parts:
                    yield source, parsed
            for note in text.format.notes:
                say(f"{source.name}: {note}")

    def read_named(self, say: Callable[[str], None]) -> Iterator[tuple[Source, NamedRows]]:
        """Yield the examples of texts with the names of their features, by the plain parsers.

        Parameters
        ----------
        say
            As for :meth:`read`.

        Raises
        ------
        FormatError
            For a rows file, which has no names; and as :meth:`read` does.
        """
        for source in self.sources:
            if source in self._rows:
                raise FormatError(
                    f"{source.name} has hashed rows, whose names cannot be had back; convert the text that "
                    "it was made of, or write slots: as libsvm, or as ndjson from rows files alone"
                )
        for source in self.sources:
            text = self._reader_of(source)
            named = read_named_columns(text) if isinstance(text, ColumnarReader) else read_named(source, text)
            for found in named:
                yield source, found
            for note in text.format.notes:
                say(f"{source.name}: {note}")

    @property
    def are_rows(self) -> bool:
        """Whether all of them are rows files."""
        return len(self._rows) == len(self.sources)

    def is_hashed(self, source: Source) -> bool:
        """Whether a file is a rows file."""
        return source in self._rows

    def options_of(self, source: Source) -> dict[str, Any]:
        """Return the options of a text's reader, or a columnar file's."""
        if self._like is None:
            return options_of(source, self.schema, self.reading, self._judged)
        if self.reading.format_of(source) in TABLES:
            return options_alike(
                self._like, source, self.reading, allow_missing=self._allow_missing, labels=self._labels
            )
        return {"schema": self.schema}

    def _reader_of(self, source: Source) -> Reader | ColumnarReader:
        return self.reading.table_reader(source, **self.options_of(source))


def is_rows(source: Source, reading: ReadingOptions) -> bool:
    """Tell whether a file holds hashed rows: by its first bytes, else by an option, else by its name."""
    if source.start(len(ROWS_MAGIC)) == ROWS_MAGIC:
        return True
    return reading.format_of(source) == ROWS


def read_rows(reader: RowsReader, schema: Schema) -> Generator[Parsed, None, None]:
    """Yield the rows of a rows file, read, checked and decoded ahead by a thread.

    Raises
    ------
    FormatError
        Where the file is damaged; or at its end, where it was hashed otherwise than `schema` says and that
        did not show before.
    """
    with closing(in_turns(reader.blocks(), [reader.rows_of], _AHEAD)) as parts:
        yield from parts
    check_hashed(reader.name, reader.head, reader.foot, schema)


def files_like(
    path: Place, sources: Sequence[Source], reading: ReadingOptions, *, allow_missing: bool
) -> InputFiles:
    """Return files that are read as a saved model reads them.

    Parameters
    ----------
    path
        The model's.
    sources, reading, allow_missing
        As for :class:`InputFiles`.

    Raises
    ------
    click.BadParameter
        For options that declare fields, which the model does.
    SnapshotError
        For a file that is no saved model.
    """
    if reading.schema_text or reading.declared or reading.keep:
        raise click.BadParameter(
            "the model says what the fields are; give it, or --schema, --category, --number, --ignore and "
            "--keep",
            param_hint="--like",
        )
    metadata = snapshot.read_metadata(path)
    try:
        model = LogisticRegression.from_settings(metadata["settings"])
        model.notes = dict(metadata["notes"])
    except (KeyError, ValueError, TypeError) as error:
        raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
    return InputFiles(sources, reading, like=model, allow_missing=allow_missing)


def _joined(schema: Schema, judged: Tables | None, heads: Iterable[Any]) -> Tables | None:
    """Return what is known of all tables, those that rows files were made of first."""
    found: list[dict[str, Any]] = [dict(table) for table in heads]
    if judged is not None:
        found.append(judged.to_dict())
    return Tables.of_dicts(schema, found) if found else None
