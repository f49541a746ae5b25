"""What ``nonzero join`` writes: rows as they were read, each with its label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from nonzero.sources.event_files import ColumnarEvents
from nonzero.sources.event_texts import LABEL, DelimitedEvents, JsonEvents
from nonzero.sources.table_rows import ROW
from nonzero_service.cli.table_output import WRITTEN as TABLES_WRITTEN
from nonzero_service.cli.table_output import Write, check_same_rows, check_table_output, table_writer

EventRows: TypeAlias = DelimitedEvents | JsonEvents | ColumnarEvents

WRITTEN: Final = (*TABLES_WRITTEN, "ndjson")
"""What can be written."""

_HINT: Final = "--output"


def check_form(files: Sequence[EventRows], form: str, output: str, label: str) -> None:
    """Refuse what cannot be written, before anything is read.

    Parameters
    ----------
    files
        What is read, as one log.
    form
        What is written: one of :data:`WRITTEN`.
    output
        The file's name.
    label
        The name of the new column.

    Raises
    ------
    click.BadParameter
        It names the way out.
    """
    first = files[0]
    for events in files:
        name = events.source.name
        if isinstance(events, JsonEvents) != (form == "ndjson"):
            ways = ".ndjson" if form != "ndjson" else "as a table, such as .csv or .parquet"
            raise click.BadParameter(
                f"{name} is not written as {form}; name the output {ways}", param_hint=_HINT
            )
        if isinstance(events, JsonEvents) or isinstance(first, JsonEvents):
            continue
        if not label or {*label} & {*"\r\n"}:
            raise click.BadParameter(
                f"{label!r} is no name of a column; give one without line ends", param_hint="--label"
            )
        check_same_rows(first.table, events.table)
        check_table_output(events.table, form, output, _HINT)
        if label in events.table.names:
            raise click.BadParameter(
                f"{name} has a column {label!r} already; name another one, or leave that out",
                param_hint="--label",
            )
    if isinstance(first, JsonEvents) and label != LABEL:
        raise click.BadParameter(
            f'an example in JSON has its label as "label", not {label!r}', param_hint="--label"
        )


@contextmanager
def labelled_writer(events: EventRows, out: BinaryIO, form: str, output: str, label: str) -> Iterator[Write]:
    """Begin a file of labelled rows.

    Parameters
    ----------
    events
        What the rows are of.
    out
        Where they are written to.
    form
        One of :data:`WRITTEN`.
    output
        Its name.
    label
        The name of the new column.

    Yields
    ------
    callable
        See :data:`Write`. The file is whole when the block has ended.
    """
    if isinstance(events, JsonEvents):
        yield lambda table, labels: _write_json(out, table, labels)
        return
    with table_writer(events.table, out, form, output, label) as write:
        yield write


def _write_json(out: BinaryIO, table: Any, labels: NDArray[np.uint8] | None) -> None:
    lines = []
    for row, label in zip(table[ROW].to_pylist(), (() if labels is None else labels.tolist()), strict=True):
        members = row.rstrip()[:-1].rstrip()
        lines.append(b'%b%b"label": %d}\n' % (members, b"" if members == b"{" else b", ", label))
    out.write(b"".join(lines))
