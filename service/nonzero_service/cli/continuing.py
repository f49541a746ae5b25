"""``nonzero train --from``: a saved model that goes on learning, and the options that contradict it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nonzero import LogisticRegression
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.lanes import lanes_of
from nonzero.model.notes import SOURCES_NOTE
from nonzero.sources.files import Source
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.options import MODEL_FILE, listed, rule_of
from nonzero_service.cli.reading import ReadingOptions
from nonzero_service.cli.tables import label_of

option = click.option(
    "--from",
    "start",
    type=MODEL_FILE,
    help="Go on with this saved model: with its settings, its schema, and what it knows of tables' columns. "
    "--model may name the same file, which is replaced at the end.",
)


def continued(path: Path, reading: ReadingOptions, options: Mapping[str, Any]) -> LogisticRegression:
    """Return a saved model that is to go on.

    Parameters
    ----------
    path
        The model's.
    reading
        How the files are read, and what the options declare.
    options
        ``bits``, ``learning_rate``, ``optimizer``, ``interactions``, ``namespace_separator`` and ``tries``,
        as the command has them.

    Raises
    ------
    click.BadParameter
        For options that ask for another model; each is named.
    SnapshotError
        For a file that is no saved model.
    """
    model = LogisticRegression.load(path)
    model.notes.pop(SOURCES_NOTE, None)  # nothing of it says which messages files are of
    found = [*_settings(model, options), *_fields(model, reading, options["namespace_separator"])]
    if found:
        raise click.BadParameter(
            f"{path} goes on as it was made, and these options ask for another model: {'; '.join(found)}. "
            "Leave them out, or train a new model without --from",
            param_hint="--from",
        )
    return model


def files_for(
    model: LogisticRegression, sources: Sequence[Source], reading: ReadingOptions, *, allow_missing: bool
) -> InputFiles:
    """Return files that are read as a model reads them; the options declare nothing that it does not.

    Raises
    ------
    click.BadParameter, FormatError
        As :class:`InputFiles` does.
    """
    undeclared = replace(reading, category=(), number=(), ignore=(), schema_text=None, keep=())
    return InputFiles(sources, undeclared, like=model, allow_missing=allow_missing)


def _settings(model: LogisticRegression, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what options say of the model itself that it is not."""
    if options["tries"]:
        yield "--try begins models of other settings"
    if _is_given("bits") and options["bits"] != model.bits:
        yield f"--bits is {options['bits']}, and the model's is {model.bits}"
    given = [name for name in ("learning_rate", "optimizer") if _is_given(name)]
    if given:
        rule = rule_of(options["learning_rate"], options["optimizer"])
        if lanes_of(rule, model.version) != model.lanes:
            for name in given:
                flag = f"--{name.replace('_', '-')}"
                yield f"{flag} is {options[name]}, and the model has {_rules(model.lanes)}"
    pairs = tuple(listed(options["interactions"]))
    if pairs and pairs != model.interactions:
        has = ",".join(model.interactions) or "none"
        yield f"--interactions is {','.join(pairs)}, and the model has {has}"


def _fields(
    model: LogisticRegression, reading: ReadingOptions, namespace_separator: str | None
) -> Iterator[str]:
    """Yield what options say of fields that the model has otherwise."""
    schema = model.schema
    if namespace_separator not in (None, schema.namespace_separator):
        has = schema.namespace_separator
        yield f"--namespace-separator is {namespace_separator}, and the model's is {has}"
    said, declared = reading.schema(), reading.declared
    for name, kind in said.fields.items():
        # A pattern is in the model's schema or not: what it stands for there, nobody knows.
        has = schema.fields.get(name, "undeclared") if "*" in name else schema.kind_of(name)
        if has != kind:
            flag = f"--{kind} {name}" if name in declared else f"--schema says that {name!r} is {kind}"
            yield f"{flag}, and in the model it is {'undeclared' if has == 'infer' else has}"
    if said.default not in ("infer", schema.default):
        yield f"--schema says that all others are {said.default}, and in the model they are {schema.default}"
    for name in listed(reading.keep):
        if schema.kind_of(name) != "category":
            yield f"--keep {name}, and in the model it is {schema.kind_of(name)}"
    label = label_of(model)
    if label is not None and reading.label not in (None, label):
        yield f"--label is {reading.label}, and the model's is {label}"


def _is_given(name: str) -> bool:
    """Tell whether an option stands on the command line: where it does not, the model's value holds."""
    return click.get_current_context().get_parameter_source(name) == ParameterSource.COMMANDLINE


def _rules(lanes: Sequence[Rule]) -> str:
    return repr(lanes[0]) if len(lanes) == 1 else f"{len(lanes)} lanes"
