"""The options that several commands share, and the models and sources that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from nonzero import AdaGrad, LogisticRegression, Schema
from nonzero.errors import SettingsError
from nonzero.kernels.rules.optimizers import RULES, Rule
from nonzero.model.lanes import lanes_from_text
from nonzero.sources.files import STDIN, Source

AUTO: Final = "auto"

FILE_HELP: Final = (
    "A file of examples, plain, gzip or zstd, or a pattern such as 'day_*.csv'. - is standard input."
)

NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
"""A file that the command writes."""

DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
"""A directory, which the command makes where it is missing."""

bits = click.option(
    "--bits",
    type=click.IntRange(1, 30),
    default=22,
    help="The size of the table of weights: 2**bits slots, 64 bytes each with eight lanes.",
)
learning_rate = click.option(
    "--learning-rate",
    default=AUTO,
    help="auto: eight learners (lanes) of different rates, mixed; there is nothing to tune. "
    "A number: a single AdaGrad learner of that rate.",
)
optimizer = click.option(
    "--optimizer",
    default=AUTO,
    help="The update rule. auto: as --learning-rate says. One rule with its parameters, such as "
    "ftrl:alpha=0.1,l1=1, makes a model of one lane. Eight, with spaces between, are mixed. "
    f"The rules are {', '.join(RULES)}.",
)
interactions = click.option(
    "--interactions",
    multiple=True,
    help="Pairs of fields, such as 'site*hour,ad*user'. The products of their features are features too. "
    "May be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
data_directory = click.argument(
    "data_dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A service's data directory: what `nonzero serve` has as --data-dir.",
)


def listed(given: Sequence[str]) -> list[str]:
    """Return the names in an option that may be repeated, and may hold several names with commas between."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def learner_of(
    bits: int, learning_rate: str, optimizer: str, interactions: Sequence[str], schema: Schema
) -> LogisticRegression:
    """Return the new model that options ask for.

    Raises
    ------
    click.BadParameter
        Where --learning-rate and --optimizer contradict each other, and for a value that cannot be used.
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
        return LogisticRegression(bits, rule, interactions=listed(interactions), schema=schema)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def optimizer_of(learning_rate: str) -> AdaGrad | None:
    """Return the single learner that ``--learning-rate`` asks for; None for the eight lanes.

    Raises
    ------
    click.BadParameter
        Where it is neither auto nor a number in range.
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
        Where there is no such file.
    """
    if file != STDIN and (not Path(file).exists() or Path(file).is_dir()):
        raise click.BadParameter(f"there is no file {file}", param_hint="FILE")
    return Source(file)
