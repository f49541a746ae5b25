"""The options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nonzero import AdaGrad, LogisticRegression, formats
from nonzero.errors import InputError, SettingsError
from nonzero.files import STDIN, Source, format_of
from nonzero.formats import Reader
from nonzero.optimizers import RULES, Rule, lanes_from_text

__all__ = [
    "AUTO",
    "BitsOption",
    "DataDirectoryArgument",
    "FileArgument",
    "FilesArgument",
    "FormatOption",
    "IgnoreOption",
    "InteractionsOption",
    "JSONOption",
    "LabelOption",
    "LearningRateOption",
    "ModelOption",
    "ModelOrDirectoryArgument",
    "NameOption",
    "NumericOption",
    "OptimizerOption",
    "OptionalFileArgument",
    "interactions_of",
    "learner_of",
    "optimizer_of",
    "reader_for",
    "source_of",
]

AUTO: Final = "auto"

_FILE_HELP: Final = "Plain, .gz or .zst; - is standard input."
_MODEL_HELP: Final = "A file that train saved."
_LABEL_HELP: Final = "csv: the label's column; else the one called label, click, clicked, target or y."

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help=_FILE_HELP)]
FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help=_FILE_HELP)]
OptionalFileArgument = Annotated[str | None, typer.Argument(metavar="FILE", help=_FILE_HELP)]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help=f"{', '.join(formats.NAMES)}; guessed from the file's name unless given."),
]
LabelOption = Annotated[str | None, typer.Option("--label", help=_LABEL_HELP)]
NumericOption = Annotated[
    list[str] | None,
    typer.Option("--numeric", help="csv: a column of numbers; all others are categories. Repeatable."),
]
IgnoreOption = Annotated[
    list[str] | None, typer.Option("--ignore", help="csv: a column to leave out. Repeatable.")
]
ModelOrDirectoryArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL_OR_DIR", exists=True, help="A file that train saved, or a service's data directory."
    ),
]
ModelOption = Annotated[Path, typer.Option("--model", exists=True, dir_okay=False, help=_MODEL_HELP)]
JSONOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BitsOption = Annotated[int, typer.Option("--bits", min=1, max=30, help="log2 of the number of slots.")]
DataDirectoryArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA_DIR", exists=True, file_okay=False, help="What serve was given as --data-dir."
    ),
]
NameOption = Annotated[str | None, typer.Option("--model", help="The model's name; all unless given.")]
LearningRateOption = Annotated[
    str,
    typer.Option(
        "--learning-rate",
        help="auto: eight learners, mixed, nothing to tune; a number: one AdaGrad learner of that rate.",
    ),
]


OptimizerOption = Annotated[
    str,
    typer.Option(
        "--optimizer",
        help="auto; or an update rule in one lane, such as ftrl:alpha=0.1,l1=1; or eight, mixed, with spaces "
        f"between. The rules: {', '.join(RULES)}.",
    ),
]
InteractionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--interactions",
        help="Pairs of fields, such as 'site*hour,ad*user', whose products are features too. Repeatable.",
    ),
]


def interactions_of(given: list[str] | None) -> list[str]:
    """Return the pairs that ``--interactions`` names."""
    return [pair.strip() for text in given or () for pair in text.split(",") if pair.strip()]


def learner_of(
    bits: int, learning_rate: str, optimizer: str, interactions: list[str] | None
) -> LogisticRegression:
    """Return the new model that options ask for.

    Raises
    ------
    typer.BadParameter
        For options that ask for two things at once, and for values that are none or out of their range.
    """
    rule: Rule | Sequence[Rule] | None = optimizer_of(learning_rate)
    if optimizer != AUTO:
        if rule is not None:
            raise typer.BadParameter(
                "it is one lane of AdaGrad; give it or --optimizer, not both", param_hint="--learning-rate"
            )
        try:
            rule = lanes_from_text(optimizer)
        except SettingsError as error:
            raise typer.BadParameter(str(error), param_hint="--optimizer") from error
    try:
        return LogisticRegression(bits, rule, interactions=interactions_of(interactions))
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error


def optimizer_of(learning_rate: str) -> AdaGrad | None:
    """Return what ``--learning-rate`` asks for: None for the eight lanes, else one.

    Raises
    ------
    typer.BadParameter
        For what is neither auto nor a number in range.
    """
    if learning_rate == AUTO:
        return None
    try:
        return AdaGrad(learning_rate=float(learning_rate))
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="--learning-rate") from error
    except ValueError as error:
        reason = f"{learning_rate!r} is neither {AUTO!r} nor a number"
        raise typer.BadParameter(reason, param_hint="--learning-rate") from error


def source_of(file: str) -> Source:
    """Return the source that a FILE argument names.

    Raises
    ------
    typer.BadParameter
        For a file that is not there.
    """
    if file != STDIN and (not Path(file).exists() or Path(file).is_dir()):
        raise typer.BadParameter(f"there is no file {file}", param_hint="FILE")
    return Source(file)


def reader_for(
    source: Source,
    format_: str | None,
    label: str | None,
    numeric: list[str] | None,
    ignore: list[str] | None,
) -> Reader:
    """Make the reader that a file's name and the options ask for.

    Raises
    ------
    typer.BadParameter
        For a format that is unknown or cannot be guessed, and for options that it does not have.
    """
    given = {"label": label, "numeric": numeric, "ignore": ignore}
    options: dict[str, Any] = {name: value for name, value in given.items() if value}
    try:
        return formats.reader(format_ or format_of(source.path), **options)
    except InputError as error:
        hint = None if format_ in formats.NAMES else "--format"
        raise typer.BadParameter(str(error), param_hint=hint) from error
