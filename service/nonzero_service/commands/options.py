"""The options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from nonzero import AdaGrad, LogisticRegression, Schema, formats
from nonzero.errors import InputError, SettingsError
from nonzero.formats import Reader
from nonzero.rules.optimizers import RULES, Rule, lanes_from_text
from nonzero.sources.files import STDIN, Source, format_of
from nonzero_service.schema_texts import read_schema

__all__ = [
    "AUTO",
    "DIRECTORY",
    "FILE_HELP",
    "NEW_FILE",
    "Reading",
    "as_json",
    "bits",
    "data_directory",
    "interactions",
    "interactions_of",
    "learner_of",
    "learning_rate",
    "optimizer",
    "optimizer_of",
    "reading",
    "schema",
    "source_of",
]

AUTO: Final = "auto"

FILE_HELP: Final = "Plain, .gz or .zst; - is standard input."

NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
"""A file to be written."""

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
"""A directory, which may not be there yet."""

_RULES: Final = ", ".join(RULES)

bits = click.option(
    "--bits", type=click.IntRange(1, 30), default=22, show_default=True, help="log2 of the number of slots."
)
learning_rate = click.option(
    "--learning-rate",
    default=AUTO,
    show_default=True,
    help="auto: eight learners, mixed, nothing to tune; a number: one AdaGrad learner of that rate.",
)
optimizer = click.option(
    "--optimizer",
    default=AUTO,
    show_default=True,
    help="auto; or an update rule in one lane, such as ftrl:alpha=0.1,l1=1; or eight, mixed, with spaces "
    f"between. The rules: {_RULES}.",
)
interactions = click.option(
    "--interactions",
    multiple=True,
    help="Pairs of fields, such as 'site*hour,ad*user', whose products are features too. Repeatable.",
)
schema = click.option(
    "--schema",
    help="What each field is: the path of a JSON file, or JSON such as "
    '{"fields": {"site": "category", "bid": "number"}, "default": "infer"}.',
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
data_directory = click.argument(
    "data_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What serve was given as --data-dir.",
)

_READING: Final = (
    click.option(
        "--format",
        "format_",
        help=f"{', '.join(formats.NAMES)}; guessed from the file's name unless given.",
    ),
    click.option(
        "--label", help="csv: the label's column; else the one called label, click, clicked, target or y."
    ),
    click.option(
        "--numeric",
        multiple=True,
        help="csv: a column of numbers; all others are categories. Repeatable.",
    ),
    click.option("--ignore", multiple=True, help="csv: a column to leave out. Repeatable."),
)


@dataclass(frozen=True)
class Reading:
    """How a file is read, as the options say it: None, or nothing, where they do not."""

    format: str | None
    label: str | None
    numeric: Sequence[str]
    ignore: Sequence[str]

    @property
    def of_columns(self) -> dict[str, Any]:
        """What is said of columns."""
        given = {"label": self.label, "numeric": self.numeric, "ignore": self.ignore}
        return {name: value for name, value in given.items() if value}

    def reader(self, source: Source, schema: Schema) -> Reader:
        """Make the reader that a file's name and the options ask for, to read by a model's schema.

        Raises
        ------
        click.BadParameter
            For a format that is unknown or cannot be guessed, and for options that it does not have.
        """
        try:
            return formats.reader(self.format or format_of(source.path), schema=schema, **self.of_columns)
        except InputError as error:
            hint = None if self.format in formats.NAMES else "--format"
            raise click.BadParameter(str(error), param_hint=hint) from error


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a file is read; the command is given them as ``reading``."""

    @wraps(command)
    def read(
        *given: Any,
        format_: str | None,
        label: str | None,
        numeric: Sequence[str],
        ignore: Sequence[str],
        **others: Any,
    ) -> None:
        command(*given, reading=Reading(format_, label, numeric, ignore), **others)

    for option in reversed(_READING):
        read = option(read)
    return read


def interactions_of(given: Sequence[str]) -> list[str]:
    """Return the pairs that ``--interactions`` names."""
    return [pair.strip() for text in given for pair in text.split(",") if pair.strip()]


def learner_of(
    bits: int, learning_rate: str, optimizer: str, interactions: Sequence[str], schema: str | None = None
) -> LogisticRegression:
    """Return the new model that options ask for.

    Raises
    ------
    click.BadParameter
        For options that ask for two things at once, and for values that are none or out of their range.
    """
    rule: Rule | Sequence[Rule] | None = optimizer_of(learning_rate)
    if optimizer != AUTO:
        if rule is not None:
            raise click.BadParameter(
                "it is one lane of AdaGrad; give it or --optimizer, not both", param_hint="--learning-rate"
            )
        try:
            rule = lanes_from_text(optimizer)
        except SettingsError as error:
            raise click.BadParameter(str(error), param_hint="--optimizer") from error
    try:
        return LogisticRegression(
            bits, rule, interactions=interactions_of(interactions), schema=read_schema(schema)
        )
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def optimizer_of(learning_rate: str) -> AdaGrad | None:
    """Return what ``--learning-rate`` asks for: None for the eight lanes, else one.

    Raises
    ------
    click.BadParameter
        For what is neither auto nor a number in range.
    """
    if learning_rate == AUTO:
        return None
    try:
        return AdaGrad(learning_rate=float(learning_rate))
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--learning-rate") from error
    except ValueError as error:
        reason = f"{learning_rate!r} is neither {AUTO!r} nor a number"
        raise click.BadParameter(reason, param_hint="--learning-rate") from error


def source_of(file: str) -> Source:
    """Return the source that a FILE argument names.

    Raises
    ------
    click.BadParameter
        For a file that is not there.
    """
    if file != STDIN and (not Path(file).exists() or Path(file).is_dir()):
        raise click.BadParameter(f"there is no file {file}", param_hint="FILE")
    return Source(file)
