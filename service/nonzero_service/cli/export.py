"""``nonzero export``: a saved model as a file that others read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

import click
import numpy as np

from nonzero import LogisticRegression
from nonzero.export.coordinates import coordinates_of, largest
from nonzero.export.slot_names import SlotNames
from nonzero.persistence.pages import keep_freed
from nonzero.sources.compression import unpacked_name
from nonzero.sources.files import STDIN
from nonzero.sources.places import Named, Place, Remote, place_of
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.golden import golden_of
from nonzero_service.cli.names import names, names_of
from nonzero_service.cli.options import MODEL_FILE, check_output, complete_file, overwrite
from nonzero_service.cli.outputs import opened
from nonzero_service.cli.stopping import Stopping, stoppable

FORMS: Final = ("json", "onnx", "vw")
"""What can be written."""


@click.command
@click.argument("model", type=MODEL_FILE)
@click.option(
    "--format", "form", type=click.Choice(FORMS), help="What to write. Otherwise the name tells it."
)
@click.option(
    "--output",
    "-o",
    default=STDIN,
    shell_complete=complete_file,
    help="The file to write. With .gz or .zst behind its name it is compressed. - is standard output.",
)
@names
@click.option(
    "--top",
    type=click.IntRange(0),
    help="json, vw: write only so many of the largest weights. Predictions cannot be made of the rest.",
)
@click.option(
    "--golden",
    metavar="FILE N",
    type=(str, click.IntRange(1, 1_000_000)),
    help="Write so many rows with their probabilities too, as NDJSON: by them another implementation checks "
    "itself.",
)
@click.option(
    "--golden-from",
    metavar="LOG",
    shell_complete=complete_file,
    callback=lambda _, __, log: [] if log is None else files_named([log], "--golden-from"),
    help="The log whose first rows these are, a file or a pattern. Otherwise they are random.",
)
@overwrite
@stoppable
def export(
    model: Place,
    form: str | None,
    output: str,
    overwrite: bool,
    names_from: Sequence[Named],
    top: int | None,
    golden: tuple[str, int] | None,
    golden_from: Sequence[Named],
    stopping: Stopping,
) -> None:
    """Write a saved model for others to read: as JSON, as a graph of ONNX, or as Vowpal Wabbit's text.

    json has everything that a prediction is made of, so that a program in another language can make it. onnx
    is the prediction itself: a runtime of ONNX makes it of rows of hashed features. vw has a weight for each
    slot, in the form of --readable_model, or with --names in that of --invert_hash.

    A model keeps no names of features. --names hashes those of a log, or of a list, and so finds them again.

    A file that is there is not replaced, unless by --overwrite; and then only when the new one is whole.
    """
    stopping.kept = lambda: "a file that is not named above was not written"
    keep_freed()
    form = form or _form_of(output)
    for option, given in (("--names", names_from), ("--top", top is not None)):
        if form == "onnx" and given:
            raise click.BadParameter("a graph of ONNX has no names and all weights", param_hint=option)
    if golden is None and golden_from:
        raise click.BadParameter("it is of use with --golden FILE N", param_hint="--golden-from")
    places = _places(output, golden)
    for option, file in places.items():
        check_output(file, option, overwrite=overwrite, read=[model, *names_from, *golden_from])
    learner = LogisticRegression.load(model)
    lines = None if golden is None else golden_of(learner, golden[1], golden_from)
    if form == "onnx":
        _write_onnx(learner, output, overwrite=overwrite)
    else:
        _write_text(learner, form, output, _names_of_slots(learner, names_from, top), top)
    if golden is not None and lines is not None:
        _write_golden(lines, golden[0])


def _names_of_slots(model: LogisticRegression, files: Sequence[Named], top: int | None) -> SlotNames | None:
    """Return the names of a model's slots, or of those with the largest weights."""
    if not files:
        return None
    formula = model.formula()
    if top is not None:
        return names_of(model, files, largest(model, formula, top))
    slots = [some.slots for some in coordinates_of(model, formula)]
    return names_of(model, files, np.concatenate([np.zeros(0, np.int64), *slots]))


def _places(output: str, golden: tuple[str, int] | None) -> dict[str, str]:
    """Return the options that name files to be written, and the files."""
    places = {"--output": output}
    if golden is not None:
        if _is_alike(golden[0], output):
            raise click.BadParameter(f"{output} is --output too; name another file", param_hint="--golden")
        places["--golden"] = golden[0]
    return places


def _is_alike(one: str, other: str) -> bool:
    """Tell whether two names are of one file, which need not be there."""
    first, second = (
        place if isinstance(place, Remote) else place.absolute() for place in map(place_of, (one, other))
    )
    return first == second


def _form_of(output: str) -> str:
    """Return the format that a file's name tells.

    Raises
    ------
    click.BadParameter
        Where it tells none.
    """
    form = unpacked_name(output).suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise click.BadParameter(
            f"the name {output!r} does not tell it; give --format {'|'.join(FORMS)}, or name the file "
            ".json, .onnx or .vw",
            param_hint="--format",
        )
    return form


def _write_text(
    model: LogisticRegression, form: str, output: str, found: SlotNames | None, top: int | None
) -> None:
    if form == "json":
        from nonzero.export.json_text import write_json as write
    else:
        from nonzero.export.vw_text import left_out
        from nonzero.export.vw_text import write_vw as write

        for line in left_out(model):
            _say(f"vw: {line}")
    with opened(output) as file:
        written = write(model, file, found, top)
    _say_written(output, f"{written:,} slots")


def _write_onnx(model: LogisticRegression, output: str, *, overwrite: bool) -> None:
    """Write a graph, and where it is too large for one file a second.

    Raises
    ------
    click.BadParameter
        Where standard output is a terminal, or the second file is there.
    """
    from nonzero.export.onnx_file import ONNXFile

    if output == STDIN and sys.stdout.isatty():
        raise click.BadParameter("ONNX is binary; name a file, or send it on", param_hint="--output")
    made = ONNXFile(model)
    nameless = output == STDIN or unpacked_name(output) != PurePath(output)
    # By its digest: a graph never finds the constants of another model, whatever fails between the two.
    beside = "" if nameless else f"{output}.{made.digest[:8]}.data"
    if made.beside and beside:
        check_output(beside, "--output", overwrite=overwrite)
        with opened(beside) as file:
            made.write_beside(file)
        _say_written(beside, "constants")
    with opened(output) as file:
        made.write(file, PurePath(beside).name)
    _say_written(output, f"opset {made.opset}")


def _write_golden(lines: Iterable[str], file: str) -> None:
    written = 0
    with opened(file) as out:
        for line in lines:
            out.write(f"{line}\n".encode())
            written += 1
    _say_written(file, f"{written:,} rows with their probabilities")


def _say_written(output: str, what: str) -> None:
    if output == STDIN:
        _say(what)
    elif isinstance(place := place_of(output), Remote):
        _say(f"{place}: {what}")
    elif place.is_file():
        _say(f"{output}: {what}, {place.stat().st_size:,} bytes")


def _say(line: str) -> None:
    click.echo(line, err=True)
