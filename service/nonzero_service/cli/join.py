"""``nonzero join``: impressions labelled by the clicks that came after them, to train from."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from nonzero import FormatError, InputError, SettingsError
from nonzero.formats.delimited_labels import LABELS
from nonzero.formats.registry import COLUMNAR
from nonzero.formats.times import TimeColumn
from nonzero.persistence.pages import keep_freed
from nonzero.sources.event_files import ColumnarEvents, event_file
from nonzero.sources.event_texts import LABEL, JsonEvents
from nonzero.sources.events import Events
from nonzero.sources.files import STDIN, format_of, total_size
from nonzero.sources.places import Named, Remote, is_url, place_of
from nonzero.sources.scratch import Scratch
from nonzero.sources.time_order import NUMBER, TIME, TimeOrder
from nonzero.sources.window_join import REPEATED, JoinCounts, WindowJoin
from nonzero_service.cli.display import Display
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.join_output import WRITTEN, EventRows, check_form, labelled_writer
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import as_json, check_output, complete_file, overwrite, source_of
from nonzero_service.cli.outputs import left, opened
from nonzero_service.cli.reading import (
    TIME_FORMAT_HELP,
    ReadingOptions,
    columns,
    delimiter,
    format_option,
    no_header,
)
from nonzero_service.cli.stopping import Stopping, stoppable
from nonzero_service.cli.table_output import Write

FORMATS: Final = ("csv", "tsv", "avazu", "ndjson", *COLUMNAR)
"""What can be joined."""

_FILE: Final = f"A file of {', '.join(FORMATS)}, or a pattern such as 'day_*.csv'. Text may be gzip or zstd."

_TITLES: Final = {
    "impressions": "impressions",
    "positives": "clicked in the window",
    "negatives": "not clicked",
    "repeated_impressions": "id of an earlier one",
    "clicks": "clicks",
    "joined_clicks": "joined",
    "repeated_clicks": "further ones",
    "clicks_before": "before the impression",
    "clicks_after": "after the window",
    "clicks_without": "without an impression",
    "rejected": "lines rejected",
}

_PARTS: Final = (
    "positives", "negatives", "repeated_impressions",
    "joined_clicks", "repeated_clicks", "clicks_before", "clicks_after", "clicks_without",
)  # fmt: skip


MAX_WINDOW: Final = 1e10
"""Three hundred years, in seconds."""


def _a_number(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse a number that is none, which no range does."""
    del context
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds", param=parameter)
    return value


@click.command
@click.argument("impressions", help=_FILE, shell_complete=complete_file)
@click.argument("clicks", help=_FILE, shell_complete=complete_file)
@click.option(
    "--id", "id_", required=True, metavar="COLUMN", help="The column with the id of the impression."
)
@click.option(
    "--time",
    required=True,
    metavar="COLUMN[:FORMAT]",
    help=f"The column with the time. {TIME_FORMAT_HELP}",
)
@click.option("--click-id", metavar="COLUMN", help="The same of CLICKS. Otherwise as --id.")
@click.option("--click-time", metavar="COLUMN[:FORMAT]", help="The same of CLICKS. Otherwise as --time.")
@click.option(
    "--window",
    type=click.FloatRange(min=0, max=MAX_WINDOW, min_open=True),
    callback=_a_number,
    required=True,
    metavar="SECONDS",
    help="How long after an impression its click may come.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="OUT",
    shell_complete=complete_file,
    help="The file to write: .csv, .tsv, .parquet, .arrow or .ndjson. With .gz or .zst behind its name it is "
    "compressed.",
)
@click.option("--label", default=LABEL, help="Tables: the name of the new column with the label.")
@format_option(FORMATS)
@click.option("--click-format", metavar="FORMAT", help="The same of CLICKS. Otherwise as --format.")
@delimiter
@no_header
@columns
@click.option("--click-columns", metavar="NAMES", help="The same of CLICKS, where no header tells them.")
@overwrite
@as_json
@stoppable
def join(
    impressions: str,
    clicks: str,
    id_: str,
    time: str,
    click_id: str | None,
    click_time: str | None,
    window: float,
    output: str,
    label: str,
    format_: str | None,
    click_format: str | None,
    delimiter: str | None,
    no_header: bool,
    columns: str | None,
    click_columns: str | None,
    overwrite: bool,
    as_json: bool,
    stopping: Stopping,
) -> None:
    """Label impressions by the clicks that came within a window after them, and write them to train from.

    An impression is a click (1) where a click with its id came within the window after it, else a negative
    (0). OUT has the impressions as they are, in the order of their times, with the label as one more column.

    An impression with the id of an earlier one is left out. What became of all clicks is counted.

    The files of a pattern are one log. All of them may be larger than memory: what does not fit is sorted on
    the disk, beside OUT.
    """
    keep_freed()
    stopping.kept = lambda: left(output)
    form = _form_of(output)
    shown_files, clicked_files = files_named([impressions]), files_named([clicks])
    check_output(output, "--output", overwrite=overwrite, read=[*shown_files, *clicked_files], pipes=False)
    ours = ReadingOptions(format_, delimiter=delimiter, no_header=no_header, columns=columns)
    theirs = replace(ours, format=click_format or format_, columns=click_columns)
    shown = [_opened(name, ours, id_, time, "--time") for name in shown_files]
    clicked = [
        _opened(name, theirs, click_id or id_, click_time or time, "--click-time") for name in clicked_files
    ]
    check_form(shown, form, output, label)
    rejected = RejectedLines()
    with (
        Scratch(_room(output)) as scratch,
        opened(output) as out,
        Display("joining", total_size(file.source for file in (*shown, *clicked))) as display,
        labelled_writer(shown[0], out, form, output, label) as write,
    ):
        display.say(
            f"{impressions} is sorted by time on the disk {_where(output)}, where it takes about the room of "
            "what it holds; memory stays near 400 MB"
        )
        found = _Joining(round(window * 1000), scratch, rejected, display)
        for file in clicked:
            found.read_clicks(file)
        for file in shown:
            found.read_impressions(file)
        if not found.impressions:
            raise InputError(f"there is no impression in {', '.join(one.source.name for one in shown)}")
        counts = found.write(write)
        stopping.finish()
    stopping.kept = lambda: f"all was written, and {output} is whole"
    rejected.finish(display.say)
    for remark in _remarks(shown[0], label):
        display.say(remark)
    results = counts.to_dict() | {"rejected": rejected.count}
    click.echo(json.dumps(results) if as_json else _text(results))


def _room(output: str) -> Path:
    """Return the folder in which is sorted what does not fit into memory."""
    place = place_of(output)
    return Path(tempfile.gettempdir()) if isinstance(place, Remote) else place.resolve().parent


def _where(output: str) -> str:
    return f"in {_room(output)}" if is_url(output) else f"beside {output}"


class _Joining:
    """Reads clicks and impressions, and writes what they make.

    Parameters
    ----------
    window
        In milliseconds.
    scratch
        Where there is room.
    rejected
        Counts the lines that are no events.
    display
        Shows how far it is.
    """

    def __init__(self, window: int, scratch: Scratch, rejected: RejectedLines, display: Display) -> None:
        self._join, self._order = WindowJoin(window, scratch), TimeOrder(scratch)
        self._rejected, self._display = rejected, display
        self._done = 0

    def read_clicks(self, clicked: EventRows) -> None:
        """Read the clicks of a file."""
        for events in self._read(clicked):
            self._join.add_clicks(events.hashes, events.times)
        self._done += clicked.source.position

    @property
    def impressions(self) -> int:
        """How many impressions were read."""
        return self._order.count

    def read_impressions(self, shown: EventRows) -> None:
        """Read the impressions of a file."""
        for events in self._read(shown):
            self._join.add_impressions(events.hashes, events.times)
            self._order.add(events.table, events.times)
        self._done += shown.source.position

    def write(self, write: Write) -> JoinCounts:
        """Write the labelled impressions; return what was counted."""
        labels, counts = self._join.join()
        written = 0
        for table in self._order.rows():
            found = labels[table[NUMBER].to_numpy()]
            kept = found != REPEATED
            rows = table.drop_columns([TIME, NUMBER])
            write(rows if kept.all() else rows.filter(kept), found[kept])
            written += int(kept.sum())
            self._display.show(self._done, partial("{:,} examples written".format, written))
        self._display.finish(self._done, f"{written:,} examples written")
        return counts

    def _read(self, file: EventRows) -> Iterator[Events]:
        count = 0
        for events in file.read():
            name = file.source.name
            what = "row" if isinstance(file, ColumnarEvents) else "line"
            self._rejected.report(name, events.errors, self._display.say, what)
            count += events.times.size
            self._display.show(self._done + file.source.position, partial("{:,} of {}".format, count, name))
            yield events


def _opened(name: Named, reading: ReadingOptions, id: str, time: str, option: str) -> EventRows:
    """Return a file of events.

    Raises
    ------
    click.BadParameter
        Where there is no such file, and for a format of the time that is none.
    FormatError
        For a file that cannot be used.
    """
    if name == STDIN:
        raise click.BadParameter("files are joined, not standard input; name one", param_hint="FILE")
    try:
        moment = TimeColumn.of(time)
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    source = source_of(name)
    form = reading.format_of(source)
    if form not in FORMATS:
        raise click.BadParameter(
            f"{name} is {form}, and its rows have no id and time to join by; give {', '.join(FORMATS)}",
            param_hint="FILE",
        )
    return event_file(source, form, id, moment, **reading.layout_of(source))


def _form_of(output: str) -> str:
    """Return the format that is written.

    Raises
    ------
    click.BadParameter
        Where the name tells none that can be; it names the way out.
    """
    try:
        form = format_of(output)
    except FormatError:
        form = ""
    if form not in WRITTEN:
        raise click.BadParameter(
            f"the name {output!r} does not tell what to write; name it .csv, .tsv, .parquet, .arrow or "
            ".ndjson",
            param_hint="--output",
        )
    return form


def _remarks(shown: EventRows, label: str) -> Iterator[str]:
    """Yield what there is to say of the impressions, once all is read."""
    columns: Sequence[str] = () if isinstance(shown, JsonEvents) else shown.table.names
    others = [column for column in columns if column.lower() in LABELS]
    if others:
        yield (
            f"other columns are called like a label: train with --label {label} --ignore {','.join(others)}"
        )


def _text(results: Mapping[str, int]) -> str:
    return "\n".join(
        f"{'  ' * (key in _PARTS)}{title}".ljust(26) + f"{results[key]:>14,}"
        for key, title in _TITLES.items()
    )
