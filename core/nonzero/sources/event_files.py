"""Files of events, impressions or clicks, of any format that has ids and times."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np
import xxhash

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_roles import check_role, ids_in
from nonzero.formats.arrow_types import is_binary, is_view, plain
from nonzero.formats.registry import COLUMNAR
from nonzero.sources.columnar import ColumnarFile
from nonzero.sources.event_texts import DelimitedEvents, JsonEvents
from nonzero.sources.event_times import EventTime, check_column
from nonzero.sources.events import EventFile, Events
from nonzero.sources.files import Source
from nonzero.sources.pipeline import ahead


class ColumnarEvents(EventFile):
    """A Parquet or Arrow file.

    Parameters
    ----------
    source, id, time
        As for :class:`EventFile`.
    form
        ``"parquet"`` or ``"arrow"``.

    Attributes
    ----------
    names
        The names of the columns.
    schema
        Their names and types, a ``pyarrow.Schema``: those of dictionaries and runs as what they
        stand for.

    Raises
    ------
    FormatError
        Where it is none, or a column is missing or of a type that is no id or no time.
    """

    def __init__(self, source: Source, id: str, time: EventTime, form: str) -> None:
        super().__init__(source, id, time)
        self._file = ColumnarFile.of(source, form)
        arrow = import_arrow()
        self.names: list[str] = self._file.schema.names
        self.schema = arrow.schema([field.with_type(_kept(field.type)) for field in self._file.schema])
        for column in (id, time.column):
            check_column(column, self.names, source.name)
        check_role("id", id, self.schema.field(id).type)

    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time."""
        arrow = import_arrow()
        row = 1
        with closing(ahead(self._file.batches(self.names))) as batches:
            for batch in batches:
                table = arrow.Table.from_batches([batch]).cast(self.schema)
                ids, wrong = ids_in(batch.column(batch.schema.get_field_index(self.id)), self.id)
                times, late = self.time.of_array(table.column(self.time.column).combine_chunks())
                wrong = late | wrong
                names = ids.pieces
                for place in np.flatnonzero(~ids.known | (np.diff(ids.ends) == 0)).tolist():
                    wrong.setdefault(place, InputError(f"the id {self.id!r} is missing"))
                kept = np.ones(len(names), np.bool_)
                kept[list(wrong)] = False
                hashes = np.array([xxhash.xxh3_64_intdigest(name) for name in names], np.uint64)
                yield Events(
                    table if not wrong else table.filter(arrow.array(kept)),
                    hashes[kept],
                    times[kept],
                    tuple(LineError(row + place, str(wrong[place])) for place in sorted(wrong)),
                )
                row += len(names)


def _kept(kind: Any) -> Any:
    """Return the type that a column is kept in: one of which pyarrow can take rows."""
    arrow = import_arrow()
    kind = plain(kind)
    if is_view(kind):
        return arrow.large_binary() if is_binary(kind) else arrow.large_string()
    return kind


def event_file(
    source: Source, form: str, id: str, time: EventTime, delimiter: str | None = None
) -> DelimitedEvents | JsonEvents | ColumnarEvents:
    """Return a file of events.

    Parameters
    ----------
    source
        The file.
    form
        Its format: ``"csv"``, ``"ndjson"``, ``"parquet"`` or ``"arrow"``.
    id
        The column that holds the id of an impression.
    time
        That of the time.
    delimiter
        csv: what stands between columns; None where the header tells it.

    Raises
    ------
    FormatError
        For another format, and for a file that cannot be used.
    """
    if form == "csv":
        return DelimitedEvents(source, id, time, delimiter)
    if form == "ndjson":
        return JsonEvents(source, id, time)
    if form in COLUMNAR:
        return ColumnarEvents(source, id, time, form)
    raise FormatError(
        f"{source.name} is {form}, and its rows have no id and time to join by; give csv, ndjson, parquet or "
        "arrow"
    )
