"""The options that several commands share, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from nonzero import AdaGrad, LogisticRegression, Schema, formats
from nonzero.errors import InputError, SettingsError
from nonzero.formats import Reader
from nonzero.kernels.rules.optimizers import RULES, Rule
from nonzero.model.lanes import lanes_from_text
from nonzero.sources.files import STDIN, Source, format_of

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
    "listed",
    "optimizer",
    "optimizer_of",
    "reading",
    "reading_again",
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
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
data_directory = click.argument(
    "data_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What serve was given as --data-dir.",
)

_FORMAT: Final = click.option(
    "--format", "format_", help=f"{', '.join(formats.NAMES)}; guessed from the file's name unless given."
)
_LABEL: Final = click.option(
    "--label", help="csv: the label's column; else the one called label, click, clicked, target or y."
)
_NUMBER: Final = click.option(
    "--number",
    "--numeric",
    "number",
    multiple=True,
    help="Fields whose values are numbers, such as 'bid,price_*'. Repeatable.",
)
_IGNORE: Final = click.option("--ignore", multiple=True, help="Fields to leave out. Repeatable.")
_DELIMITER: Final = click.option(
    "--delimiter", help="csv: what stands between columns, or tab; else that of , ; | and tab in the header."
)

_TABLE: Final = (_FORMAT, _LABEL, _NUMBER, _IGNORE, _DELIMITER)

_DECLARING: Final = (
    click.option(
        "--category",
        multiple=True,
        help="Fields whose values are categories. * stands for any text. Repeatable.",
    ),
    click.option(
        "--schema",
        "schema_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON file with the kind of each field: category, number or ignore.",
    ),
    click.option(
        "--keep", multiple=True, help="csv: a column to keep though it seems to number the rows. Repeatable."
    ),
    click.option("--positive", help="csv: the label that is a click; every other, and none, is no click."),
)


@dataclass(frozen=True)
class Reading:
    """How a file is read, as the options say it: None, or nothing, where they do not."""

    format: str | None = None
    label: str | None = None
    number: Sequence[str] = ()
    ignore: Sequence[str] = ()
    delimiter: str | None = None
    category: Sequence[str] = ()
    schema_file: Path | None = None
    keep: Sequence[str] = ()
    positive: str | None = None

    @property
    def of_tables(self) -> dict[str, Any]:
        """What is said of tables alone."""
        given = {"label": self.label, "delimiter": _DELIMITERS.get(self.delimiter or "", self.delimiter)}
        return {
            name: value for name, value in (given | {"positive": self.positive}).items() if value is not None
        }

    @property
    def declared(self) -> dict[str, str]:
        """The kinds of the fields that options name.

        Raises
        ------
        click.BadParameter
            For a name that is given two.
        """
        kinds: dict[str, str] = {}
        for kind, given in (("category", self.category), ("number", self.number), ("ignore", self.ignore)):
            for name in listed(given):
                if kinds.setdefault(name, kind) != kind:
                    raise click.BadParameter(
                        f"{name!r} is named by --{kinds[name]} too; say one", param_hint=f"--{kind}"
                    )
        if self.label in kinds:
            raise click.BadParameter(
                f"{self.label!r} is the label, which is no feature; say one",
                param_hint=f"--{kinds[self.label]}",
            )
        return kinds

    def schema(self, namespace_separator: str | None = None) -> Schema:
        """Return the schema that the options declare.

        Raises
        ------
        click.BadParameter
            For a file that holds none, and for a field that is given two kinds.
        """
        try:
            in_file = json.loads(self.schema_file.read_bytes()) if self.schema_file else {}
            base = Schema.of(in_file, namespace_separator=namespace_separator)
        except (ValueError, SettingsError) as error:
            hint = "--schema" if self.schema_file else "--namespace-separator"
            raise click.BadParameter(f"{self.schema_file or ''}: {error}", param_hint=hint) from error
        declared = self.declared
        for name, kind in declared.items():
            if base.fields.get(name, kind) != kind:
                raise click.BadParameter(
                    f"{name!r} is {base.fields[name]} in {self.schema_file}; say one", param_hint=f"--{kind}"
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
            Where neither does.
        """
        try:
            return self.format or format_of(source.path)
        except InputError as error:
            raise click.BadParameter(str(error), param_hint="--format") from error

    def reader(self, source: Source, schema: Schema, **more: Any) -> Reader:
        """Make the reader that a file's name and the options ask for, to read by a model's schema.

        Raises
        ------
        click.BadParameter
            For a format that is unknown or cannot be guessed, and for options that it does not have.
        """
        format_ = self.format_of(source)
        try:
            return formats.reader(format_, schema=schema, **(self.of_tables | more))
        except InputError as error:
            hint = None if self.format in formats.NAMES else "--format"
            raise click.BadParameter(str(error), param_hint=hint) from error


_DELIMITERS: Final = {"tab": "\t", "\\t": "\t"}
"""How a shell is spared a tab."""


def reading(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a file is read, and what its fields are; given as ``reading``."""
    return _with_options(command, (*_TABLE, *_DECLARING))


def reading_again(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a file is read for a model that knows its fields; given as ``reading``."""
    return _with_options(command, _TABLE)


def _with_options(command: Callable[..., None], options: Sequence[Any]) -> Callable[..., None]:
    @wraps(command)
    def read(*given: Any, format_: str | None, **others: Any) -> None:
        said = {name: others.pop(name) for name in tuple(others) if name in Reading.__dataclass_fields__}
        command(*given, reading=Reading(format_, **said), **others)

    for option in reversed(options):
        read = option(read)
    return read


def listed(given: Sequence[str]) -> list[str]:
    """Return the names in options that may be repeated, and may hold several with commas between."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def interactions_of(given: Sequence[str]) -> list[str]:
    """Return the pairs that ``--interactions`` names."""
    return listed(given)


def learner_of(
    bits: int, learning_rate: str, optimizer: str, interactions: Sequence[str], schema: Schema
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
        return LogisticRegression(bits, rule, interactions=interactions_of(interactions), schema=schema)
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
