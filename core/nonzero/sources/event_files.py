"""Files of events, impressions or clicks, of any format that has ids and times."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import xxhash

from nonzero.errors import FormatError, InputError, LineError
from nonzero.formats.arrow_import import import_arrow
from nonzero.formats.arrow_roles import check_role, ids_in, times_in
from nonzero.formats.registry import TABLES
from nonzero.formats.times import TimeColumn
from nonzero.sources.event_texts import DelimitedEvents, JsonEvents
from nonzero.sources.events import EventFile, Events, check_column
from nonzero.sources.files import Source
from nonzero.sources.table_rows import ColumnTable, TextTable, table_file


class ColumnarEvents(EventFile):
    """A Parquet or Arrow file.

    Parameters
    ----------
    table
        Its rows.
    id, time
        As for :class:`EventFile`.

    Raises
    ------
    FormatError
        Where a column is missing, or of a type that is no id or no time.
    """

    def __init__(self, table: ColumnTable, id: str, time: TimeColumn) -> None:
        super().__init__(table.source, id, time)
        self.table = table
        for role, column in (("id", id), ("time", time.name)):
            check_column(column, table.names, table.source.name)
            check_role(role, column, table.schema.field(column).type, time.format)

    def read(self) -> Generator[Events, None, None]:
        """Yield its events, a block at a time."""
        arrow = import_arrow()
        row = 1
        for batch, table in self.table.batches():
            ids, wrong = ids_in(batch.column(batch.schema.get_field_index(self.id)), self.id)
            times, late = times_in(
                table.column(self.time.name).combine_chunks(), self.time.name, self.time.format
            )
            wrong = late | wrong
            names = ids.pieces
            for place in np.flatnonzero(~ids.known | (np.diff(ids.ends) == 0)).tolist():
                wrong.setdefault(place, InputError(f"the id {self.id!r} is missing"))
            for place in np.flatnonzero(times < 0).tolist():
                wrong.setdefault(place, InputError(f"the time {self.time.name!r} is missing"))
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


def event_file(
    source: Source,
    form: str,
    id: str,
    time: TimeColumn,
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
) -> DelimitedEvents | JsonEvents | ColumnarEvents:
    """Return a file of events.

    Parameters
    ----------
    source
        The file.
    form
        Its format: ``"ndjson"``, or one of :data:`nonzero.formats.registry.TABLES`.
    id
        The column that holds the id of an impression.
    time
        That of the time.
    delimiter, columns
        Of delimited text: as for :class:`nonzero.sources.table_rows.TextTable`.

    Raises
    ------
    FormatError
        For another format, and for a file that cannot be used.
    """
    if form == "ndjson":
        return JsonEvents(source, id, time)
    if form not in TABLES:
        raise FormatError(
            f"{source.name} is {form}, and its rows have no id and time to join by; give csv, tsv, ndjson, "
            "parquet or arrow"
        )
    table = table_file(source, form, delimiter, columns)
    return (
        DelimitedEvents(table, id, time) if isinstance(table, TextTable) else ColumnarEvents(table, id, time)
    )
