"""The names of features that a command shows, from logs and from lists of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import click
import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.export.slot_names import SlotNames
from nonzero.sources.compression import unpacked_name
from nonzero.sources.files import ROWS, STDIN, Source
from nonzero.sources.places import Named
from nonzero_service.cli.display import Display
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.input_files import InputFiles, is_rows
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import complete_file, source_of
from nonzero_service.cli.reading import ReadingOptions
from nonzero_service.cli.tables import reading_of

LISTS: Final = (".names", ".txt")
"""How the names of files end that are lists of features."""

TOLD: Final = 5
"""So many slots that several features share are told one by one."""

names = click.option(
    "--names",
    "names_from",
    metavar="FILE",
    multiple=True,
    shell_complete=complete_file,
    callback=lambda _, __, files: files_named(files, "--names"),
    help="A log whose features give slots their names (vw, ndjson or a table), a pattern of them such as "
    "'day_*.csv', or a list of names, one a line (.names or .txt), such as site=news. May be repeated.",
)


def names_of(model: LogisticRegression, files: Sequence[Named], slots: NDArray[np.int64]) -> SlotNames | None:
    """Return the names that files give to slots of a model; None without files. What collides is told.

    Parameters
    ----------
    model
        The model.
    files
        Those of the option, which expands patterns.
    slots
        int64[n], ascending: those that are to be named.

    Raises
    ------
    click.BadParameter
        For a file that is not there, or has no names.
    """
    if not files:
        return None
    found = SlotNames(model, slots)
    reading = reading_of(model)
    sources = [(_source(file, reading), _is_list(file)) for file in files]
    logs = [source for source, is_list in sources if not is_list]
    inputs = InputFiles(logs, reading, like=model, allow_missing=True) if logs else None
    rejected = RejectedLines()
    with Display("reading names", None) as display:
        for source in (source for source, is_list in sources if is_list):
            _take_list(found, source)
        for source, part in inputs.read_named(display.say) if inputs is not None else ():
            found.look(part.rows)
            rejected.report(source.name, part.parsed.errors, display.say)
            display.show(source.position, partial("{:,} slots have names".format, found.named))
        rejected.finish(display.say)
        _tell(found, slots.size, display.say)
    return found


def _source(file: Named, reading: ReadingOptions) -> Source:
    source = source_of(file, "--names")
    if _is_list(file):
        return source
    try:
        form = reading.format_of(source)
    except click.BadParameter as error:
        raise click.BadParameter(
            f"the name {str(file)!r} does not tell what it is; name a log .vw, .ndjson or .csv, and a list "
            "of names, one a line, .names",
            param_hint="--names",
        ) from error
    if form in (ROWS, "libsvm") or is_rows(source, reading):
        raise click.BadParameter(
            f"{file} has no names that can be read here; give the log as vw, ndjson or a table, or a list "
            "of names, one a line, as .names",
            param_hint="--names",
        )
    return source


def _is_list(file: Named) -> bool:
    return file != STDIN and unpacked_name(str(file)).suffix.lower() in LISTS


def _take_list(found: SlotNames, source: Source) -> None:
    rest = b""
    for block in source:
        *lines, rest = (rest + block).split(b"\n")
        found.take(_names_in(lines))
    found.take(_names_in([rest]))


def _names_in(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (name for line in lines if (name := line.removesuffix(b"\r")))


def _tell(found: SlotNames, slots: int, say: Callable[[str], None]) -> None:
    """Say how many slots have a name, and which have several."""
    say(f"{found.named:,} of {slots:,} slots have a name")
    shared = found.collisions()
    if shared:
        told = "; ".join(f"{slot}: {', '.join(found.of(slot))}" for slot in shared[:TOLD])
        more = f"; and {len(shared) - TOLD:,} more" if len(shared) > TOLD else ""
        say(f"{len(shared):,} slots are shared by several features ({told}{more})")
