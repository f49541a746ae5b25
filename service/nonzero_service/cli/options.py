"""The options that several commands share, and the models and sources that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from nonzero import AdaGrad, LogisticRegression, Schema
from nonzero.errors import SettingsError
from nonzero.kernels.rules.optimizers import RULES, Rule
from nonzero.model.lanes import lanes_from_text
from nonzero.persistence.whole_files import try_replacing
from nonzero.sources.files import STDIN, Source
from nonzero.sources.places import Named, Place, Remote, is_url, place_of
from nonzero.sources.stores import is_there

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Command = TypeVar("_Command", bound=Callable[..., Any])

AUTO: Final = "auto"

FILE_HELP: Final = (
    "A file of examples, plain, gzip or zstd, or a pattern such as 'day_*.csv', or the URL of either "
    "(s3://, gs://, https://). - is standard input."
)


def complete_file(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Have the shell complete what is begun to the name of a file."""
    from click.shell_completion import CompletionItem  # which only a shell that completes needs

    del context, parameter  # which click hands over
    return [CompletionItem(begun, type="file")]


class PlaceType(click.Path):
    """A file of this machine, or one at a URL, of which nothing is asked yet."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the place that was given."""
        place = place_of(value) if is_url(value) else value
        return place if isinstance(place, Remote) else super().convert(place, param, ctx)


NEW_FILE: Final = PlaceType(dir_okay=False, path_type=Path)
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
MODEL_FILE: Final = PlaceType(exists=True, dir_okay=False, path_type=Path)
"""A model that train saved."""


def allow_missing(does: str, where: str = "Tables") -> Callable[[_Command], _Command]:
    """Return the option by which tables may lack columns that a model was trained on.

    Parameters
    ----------
    does
        What the command does then.
    where
        To what it applies.
    """
    return click.option(
        "--allow-missing",
        is_flag=True,
        help=f"{where}: {does} although columns are missing that the model was trained on.",
    )


overwrite = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the file that is written, where it is there already. Otherwise that is refused, before any "
    "work.",
)
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
    rule = rule_of(learning_rate, optimizer)
    try:
        return LogisticRegression(bits, rule, interactions=listed(interactions), schema=schema)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error


def rule_of(learning_rate: str, optimizer: str) -> Rule | Sequence[Rule] | None:
    """Return the rule, or the rules, that the two options ask for; None for the eight lanes.

    Raises
    ------
    click.BadParameter
        Where they contradict each other, and for a value that cannot be used.
    """
    rule = optimizer_of(learning_rate)
    if optimizer == AUTO:
        return rule
    if rule is not None:
        raise click.BadParameter(
            "it is one lane of AdaGrad; give it or --optimizer, not both", param_hint="--learning-rate"
        )
    try:
        return lanes_from_text(optimizer)
    except SettingsError as error:
        raise click.BadParameter(str(error), param_hint="--optimizer") from error


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


def source_of(file: Named, hint: str = "FILE") -> Source:
    """Return the source that an argument, or an option, names.

    Parameters
    ----------
    file
        What was given.
    hint
        The argument or option.

    Raises
    ------
    click.BadParameter
        Where there is no such file.
    StoreError
        Where there is none in its store, or the store does not say.
    """
    place = place_of(file)
    if file != STDIN and isinstance(place, Path) and (not place.exists() or place.is_dir()):
        raise click.BadParameter(f"there is no file {file}", param_hint=hint)
    return Source(file)


def check_output(
    output: str | Place, hint: str, *, overwrite: bool, read: Iterable[str | Place] = (), pipes: bool = True
) -> None:
    """Refuse a file that could not be written, or would be lost, before any work is done for it.

    Parameters
    ----------
    output
        The file, as it was given. ``-`` is standard output.
    hint
        The option or argument that named it.
    overwrite
        Whether a file that is there may be replaced.
    read
        The files that the command reads: none of them may be written to.
    pipes
        Whether it may be standard output, a pipe or a device, which are written to as they are.

    Raises
    ------
    click.BadParameter
        It names the way out.
    StoreError
        Where a store does not let it be written, or does not answer.
    """
    if str(output) == STDIN and pipes:
        return
    path = place_of(output)
    if isinstance(path, Remote):
        reason = _why_not_stored(path, overwrite=overwrite, read=read)
        if reason is None:
            from nonzero.persistence.store_writing import try_writing

            try_writing(path)
    else:
        reason = _why_not(path, overwrite=overwrite, read=read, pipes=pipes)
    if reason is None and isinstance(path, Path) and (path.is_file() or not path.exists()):
        try:
            try_replacing(path.resolve())
        except OSError as error:
            reason = f"{output} cannot be written: {error.strerror}; make room, or name a file elsewhere"
    if reason is not None:
        raise click.BadParameter(reason, param_hint=hint)


def is_same(one: str | Place, other: str | Place) -> bool:
    """Tell whether two names are those of one file that is there."""
    first, second = place_of(one), place_of(other)
    if isinstance(first, Remote) or isinstance(second, Remote):
        return first == second
    return str(one) != STDIN and first.exists() and second.exists() and first.samefile(second)


def _why_not_stored(place: Remote, *, overwrite: bool, read: Iterable[str | Place]) -> str | None:
    """Return why a file of a store is not to be written; None where nothing is said against it."""
    if place.url.endswith("/"):
        return f"{place} is a folder; name a file in it"
    if any(is_same(one, place) for one in read):
        return f"{place} is a file that is read; name another"
    if overwrite or place.is_web or not is_there(place):
        return None
    return f"{place} is there already; name another file, or replace it by --overwrite"


def _why_not(path: Path, *, overwrite: bool, read: Iterable[str | Place], pipes: bool) -> str | None:
    """Return why a file is not to be written; None where nothing is said against it."""
    if str(path) == STDIN:
        return "it cannot be standard output; name a file"
    if path.is_dir():
        return f"{path} is a directory; name a file in it"
    if not (folder := path.resolve().parent).is_dir():
        return f"there is no directory {folder}"
    if not path.exists():
        return None
    if any(is_same(one, path) for one in read):
        return f"{path} is a file that is read; name another"
    if not path.is_file():
        return None if pipes else f"{path} is no file that can be replaced; name another"
    return None if overwrite else f"{path} is there already; name another file, or replace it by --overwrite"
