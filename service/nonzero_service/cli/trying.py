"""Settings that are tried side by side: how ``--try`` says them, and what is printed of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

import click

from nonzero import Batch, LogisticRegression, Schema
from nonzero.formats import Parsed
from nonzero.kernels.progress import EXAMPLES, POSITIVE, WEIGHT, Progress
from nonzero.sources.examples import usable
from nonzero.sources.places import Place, Remote, place_of
from nonzero.statistics.progressive import describe
from nonzero_service.cli.display import number_text
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.options import AUTO, learner_of

NAMES: Final = ("bits", "learning-rate", "optimizer", "interactions")
"""What a setting can be of."""

NUMBER: Final = "{n}"
"""Stands for a setting's number in the name of the file that its model is saved in."""

SHOWN: Final = ("examples", "log_loss", "auc", "normalized_entropy", "calibration")

option = click.option(
    "--try",
    "tries",
    multiple=True,
    metavar="SETTING",
    help="Learn one more model, beside the others and in the same pass, with other settings than the options "
    f"above: NAME=VALUE, or several with blanks between. The names are {', '.join(NAMES)}. Such as "
    "--try bits=24 --try 'optimizer=ftrl:alpha=0.1,l1=1 bits=20'. A table tells how well each predicted.",
)


@dataclass
class Candidate:
    """A model of one setting, and what became of its lines."""

    text: str
    """The setting as it was given; empty for the options themselves."""
    settings: Mapping[str, Any]
    """Bits, learning rate, optimizer and interactions, as the options have them."""
    learner: LogisticRegression
    rejected: RejectedLines = field(default_factory=RejectedLines)
    before: Progress | None = None
    """What the model had seen before, where it goes on."""

    @property
    def seen(self) -> Progress:
        """What the model has seen of the files."""
        return self.learner.seen(since=self.before)

    @property
    def examples(self) -> int:
        """How many of the files' examples it has learned from."""
        return int(self.seen.counts[EXAMPLES])

    @property
    def labels(self) -> tuple[int, float, float]:
        """How many of them there are, and the summed weights of the clicks and of all."""
        seen = self.seen
        return int(seen.counts[EXAMPLES]), float(seen.sums[POSITIVE]), float(seen.sums[WEIGHT])

    @property
    def figures(self) -> dict[str, Any]:
        """How good its predictions of the files were."""
        return describe(self.seen, recent=False)


def candidates_of(tries: Sequence[str], options: Mapping[str, Any], schema: Schema) -> list[Candidate]:
    """Return a model for each setting that is to be tried; without any, the one that the options ask for.

    Parameters
    ----------
    tries
        What ``--try`` was given.
    options
        What holds where a setting says nothing else: ``bits``, ``learning_rate``, ``optimizer`` and
        ``interactions``.
    schema
        Of all of them.

    Raises
    ------
    click.BadParameter
        For a setting that cannot be read or used, and one that is there twice.
    """
    if not tries:
        return [Candidate("", options, learner_of(**options, schema=schema))]
    found: list[Candidate] = []
    for text in tries:
        settings = {**options, **_said(text, options)}
        try:
            learner = learner_of(**settings, schema=schema)
        except click.BadParameter as error:
            raise _bad(text, error.message) from error
        same = next((one for one in found if one.learner.settings == learner.settings), None)
        if same is not None:
            raise _bad(text, f"it is the same setting as {same.text!r}; leave one out")
        found.append(Candidate(text, settings, learner))
    return found


def _said(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read one setting: the options that it changes."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise _bad(text, f"{error}; close each quotation mark") from error
    if not words:
        raise _bad(text, f"it says nothing; say bits={options['bits']}, for one, which the others have too")
    found: dict[str, Any] = {}
    for word in words:
        name, value = _named(text, word)
        if name in found:
            raise _bad(text, f"{word.partition('=')[0]} stands twice; say it once")
        found[name] = value
    for name, other in (("optimizer", "learning_rate"), ("learning_rate", "optimizer")):
        if name in found:
            found.setdefault(other, AUTO)  # one of them says what the rule is
    return found


def _named(text: str, word: str) -> tuple[str, Any]:
    """Read one NAME=VALUE, as the option of that name has it."""
    name, equals, value = word.partition("=")
    name = name.removeprefix("--").replace("_", "-")
    if name not in NAMES or not equals:
        near = get_close_matches(name, NAMES, 1)
        hint = f"did you mean {near[0]}=...? " if near else ""
        raise _bad(
            text,
            f"{word!r} is not NAME=VALUE; {hint}the names are {', '.join(NAMES)}, and a value with blanks "
            "needs quotation marks of its own",
        )
    if name == "bits":
        if not value.isdecimal():
            raise _bad(text, f"bits is {value!r}, no whole number; put blanks between several settings")
        return name, int(value)
    return name.replace("-", "_"), (value,) if name == "interactions" else value


def _bad(text: str, reason: str) -> click.BadParameter:
    return click.BadParameter(f"{text!r}: {reason}", param_hint="--try")


def places_of(model: Place, count: int) -> list[Place]:
    """Return where models are saved: each of so many, where the name has a place for its number; or one."""
    if NUMBER not in model.name:
        return [model]
    name = model.url if isinstance(model, Remote) else str(model)
    return [place_of(name.replace(NUMBER, str(n))) for n in range(1, 1 + count)]


def smallest_of(candidates: Sequence[Candidate]) -> Candidate:
    """Return the one with the smallest table: what it can use, all can use."""
    return min(candidates, key=lambda one: one.learner.bits)


def usable_for(
    candidates: Sequence[Candidate], parsed: Parsed, name: str, what: str, say: Callable[[str], None]
) -> list[Batch]:
    """Return the batch that each model can use, and report what it cannot.

    Tables differ in size, so that a slot may be outside of one alone: the lines that the smallest cannot use
    are named.
    """
    by_bits = {bits: usable(parsed, bits, labelled=True) for bits in {one.learner.bits for one in candidates}}
    smallest = smallest_of(candidates)
    for one in candidates:
        errors = by_bits[one.learner.bits].errors
        one.rejected.report(name, errors, say if one is smallest else lambda _: None, what)
    return [by_bits[one.learner.bits].batch for one in candidates]


def best_of(candidates: Sequence[Candidate]) -> int:
    """Return which setting has the least log loss; the first of several."""
    losses = [one.learner.log_loss for one in candidates]
    return min(range(len(losses)), key=lambda k: (losses[k] is None, losses[k]))


def to_save(candidates: Sequence[Candidate], places: Sequence[Place]) -> list[tuple[Candidate, Place]]:
    """Return what is saved where: each model, where each has a place; the best, where there is one."""
    if len(places) == len(candidates):
        return [*zip(candidates, places, strict=True)]
    return [(candidates[best_of(candidates)], place) for place in places]


def result_of(candidate: Candidate, seconds: float) -> dict[str, Any]:
    """Return how well a setting predicted, and what it took to learn.

    Parameters
    ----------
    candidate
        The setting and its model.
    seconds
        The processor time that its learning took.
    """
    figures = candidate.figures
    settings = {**candidate.settings, "interactions": [*candidate.learner.interactions]}
    return {
        "try": candidate.text,
        "settings": settings,
        **{key: figures[key] for key in SHOWN},
        "examples_per_second": figures["examples"] / seconds if seconds else None,
        "seconds": seconds,
        "rejected": candidate.rejected.count,
    }


_COLUMNS: Final = (
    ("log_loss", "log loss", ".5f"),
    ("auc", "AUC", ".4f"),
    ("calibration", "calibration", ".4f"),
    ("examples_per_second", "examples/s", ",.0f"),
)


def results_table(results: Sequence[Mapping[str, Any]], best: int) -> str:
    """Return a line for each setting, in the order in which they were given; a star is before the best."""
    rows = [
        ["*" if k == best else " ", str(k + 1), *(number_text(one[key], form) for key, _, form in _COLUMNS)]
        for k, one in enumerate(results)
    ]
    heads = [" ", "n", *(head for _, head, _ in _COLUMNS)]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Sequence[str], text: str) -> str:
        return "  ".join([*(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)), text])

    return "\n".join(
        [line(heads, "setting"), *(line(row, one["try"]) for row, one in zip(rows, results, strict=True))]
    )
