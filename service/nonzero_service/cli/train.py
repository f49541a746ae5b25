"""``nonzero train``: a model learned from files in one pass, each example predicted first."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from nonzero import LogisticRegression
from nonzero.diagnostics.unseen import Unseen, fields_of
from nonzero.errors import InputError
from nonzero.model.side_by_side import SideBySide
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import Source
from nonzero.sources.places import Place
from nonzero_service.cli.continuing import continued, files_for
from nonzero_service.cli.continuing import option as continuing
from nonzero_service.cli.display import Display, figures_line, figures_table
from nonzero_service.cli.file_arguments import files_named
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.label_warnings import RunWarnings
from nonzero_service.cli.notices import conflict_lines, label_problem, unseen_lines
from nonzero_service.cli.options import (
    FILE_HELP,
    NEW_FILE,
    as_json,
    bits,
    check_output,
    complete_file,
    interactions,
    is_same,
    learning_rate,
    optimizer,
    overwrite,
    source_of,
)
from nonzero_service.cli.options import allow_missing as missing_allowed
from nonzero_service.cli.ray_option import Reads, checkpoint_of, reads_by
from nonzero_service.cli.ray_option import option as on_ray
from nonzero_service.cli.reading import ReadingOptions, namespace_separator, reading
from nonzero_service.cli.stopping import Stopping, stoppable
from nonzero_service.cli.tables import remember
from nonzero_service.cli.trying import (
    NUMBER,
    SHOWN,
    Candidate,
    best_of,
    candidates_of,
    option,
    places_of,
    result_of,
    results_table,
    smallest_of,
    to_save,
    usable_for,
)
from nonzero_service.cli.unfinished import Unfinished


@click.command
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, help=FILE_HELP, shell_complete=complete_file
)
@click.option(
    "--model",
    type=NEW_FILE,
    help="Save the learned model here, as safetensors. With --try: the best one, or each, where the name has "
    f"{NUMBER} for its number.",
)
@continuing
@missing_allowed("go on", "Tables, with --from")
@reading
@bits
@learning_rate
@optimizer
@interactions
@option
@namespace_separator
@on_ray
@overwrite
@as_json
@stoppable
def train(
    files: Sequence[str],
    model: Place | None,
    start: Place | None,
    allow_missing: bool,
    reading: ReadingOptions,
    bits: int,
    learning_rate: str,
    optimizer: str,
    interactions: Sequence[str],
    tries: Sequence[str],
    namespace_separator: str | None,
    cluster: str | None,
    overwrite: bool,
    as_json: bool,
    stopping: Stopping,
) -> None:
    """Learn a model from files of labelled examples, in one pass and in order.

    Each example is predicted before the model learns from it. So the figures that are printed at the end are
    honest without a test set.

    The file that --model names must not be there yet, unless --overwrite is given, or --from names it too.

    A line that cannot be read, or has no label, is reported on stderr and not learned from. The exit status
    is 1 where most labels cannot be read, or all are alike. Labels that are sorted, and long runs of one, are
    said.

    Before it learns, train looks at a sample of each csv file and decides what its columns are. It writes
    that into the model's schema, so that predict and the service read the columns in the same way.

    A rows file, which convert makes, is read without parsing. The schema is that of the file then.

    With --try several settings share the reading. Each comes to the model that it would come to alone.

    With --from a saved model goes on. The figures are those of this run, and of all that it has learned.

    With --ray a cluster reads and parses the files, and the model learns here, in their order: it is the same
    model. Where this process is killed, the same command goes on from the last checkpoint.

    Where it is stopped by Ctrl-C or SIGTERM, what it has learned is saved under the name with .partial behind
    it, and the exit status is 130.
    """
    keep_freed()
    stopping.kept = lambda: "nothing was learned, and nothing is saved"
    if allow_missing and start is None:
        raise click.BadParameter("it is of use with --from MODEL", param_hint="--allow-missing")
    named = files_named(files)
    sources = [source_of(file) for file in named]
    places = [] if model is None else places_of(model, max(len(tries), 1))
    kept = checkpoint_of(cluster, places, tries, overwrite=overwrite)
    _check_places(places, start, named, overwrite=overwrite or (kept is not None and kept.replaces))
    began = time.perf_counter()
    options = {
        "bits": bits,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "interactions": interactions,
        "namespace_separator": namespace_separator,
        "allow_missing": allow_missing,
    }
    inputs, candidates = _begun(sources, start, reading, options, tries)
    if kept is not None:
        begun = None if start is None else candidates[0].learner.digest()
        kept.take(sources, reading, options, begun)
        candidates[0].learner = kept.model(candidates[0].learner)
    for one in candidates:
        if inputs.tables is not None:
            remember(one.learner, inputs.tables)
    with reads_by(cluster, inputs, kept) as reads:
        spent = _learn(inputs, candidates, places, stopping, reads)
    seconds = time.perf_counter() - began
    problem = label_problem(*candidates[0].labels, candidates[0].rejected)
    for one in candidates:
        _check_any(one, sources, problem)
    stopping.kept = lambda: f"all was learned, and {_saved(places)}"
    for one, place in to_save(candidates, places):
        one.learner.save(place)
    if kept is not None:
        kept.remove()
    _print_results(candidates, spent, seconds, as_json=as_json)
    if problem:
        raise InputError(problem)


def _check_places(
    places: Sequence[Place], start: Place | None, files: Sequence[str | Place], *, overwrite: bool
) -> None:
    """Refuse places where models cannot be saved, or would replace others."""
    for place in places:
        goes_on = start is not None and is_same(place, start)
        check_output(place, "--model", overwrite=overwrite or goes_on, read=files, pipes=False)


def _begun(
    sources: Sequence[Source],
    start: Place | None,
    reading: ReadingOptions,
    options: Mapping[str, Any],
    tries: Sequence[str],
) -> tuple[InputFiles, list[Candidate]]:
    """Return the files, and the models that are to learn from them."""
    settings = {name: options[name] for name in ("bits", "learning_rate", "optimizer", "interactions")}
    if start is None:
        inputs = InputFiles(sources, reading, options["namespace_separator"])
        return inputs, candidates_of(tries, settings, inputs.schema)
    learner = continued(start, reading, {**options, "tries": tries})
    inputs = files_for(learner, sources, reading, allow_missing=options["allow_missing"])
    return inputs, [Candidate("", settings, learner, before=learner.seen())]


def _saved(places: Sequence[Place]) -> str:
    return (
        f"saved as {', '.join(map(str, places))}" if places else "nothing is saved, for there is no --model"
    )


def _print_results(
    candidates: Sequence[Candidate], spent: Sequence[float], seconds: float, *, as_json: bool
) -> None:
    """Print how well each setting predicted, or the one that was not tried beside others."""
    results = [result_of(one, its_own) for one, its_own in zip(candidates, spent, strict=True)]
    if candidates[0].text:
        click.echo(json.dumps(results) if as_json else results_table(results, best_of(candidates)))
        return
    summary = _summary(results[0], seconds)
    if candidates[0].before is None:
        click.echo(json.dumps(summary) if as_json else figures_table(summary))
        return
    whole = {key: candidates[0].learner.metrics(recent=False)[key] for key in SHOWN}
    if as_json:
        click.echo(json.dumps({**summary, "whole": whole}))
    else:
        click.echo(figures_table(summary, whole))


def _learn(
    inputs: InputFiles,
    candidates: Sequence[Candidate],
    places: Sequence[Place],
    stopping: Stopping,
    reads: Reads,
) -> list[float]:
    """Teach all models what the files hold; return the processor time that each has taken."""
    first = candidates[0]
    runs = RunWarnings()
    unseen = Unseen(fields_of([name for one in candidates for name in one.learner.interactions]))
    for one in candidates:
        _take_ahead(one.learner, inputs.known_size)
    with (
        SideBySide([one.learner for one in candidates], len(os.sched_getaffinity(0))) as several,
        Display("learning", inputs.size) as display,
    ):
        for note in inputs.notes:
            display.say(note)
        unfinished = Unfinished(candidates, several, places)
        stopping.kept = lambda: unfinished.keep() + reads.told()
        reads.restore(first, runs, unseen, display.say)
        for source, parsed in stopping.each(reads.parts(display.say)):
            batches = usable_for(candidates, parsed, source.name, inputs.what(source), display.say)
            several.learn(batches)
            unfinished.read(source, parsed)
            unseen.look(batches[0])
            runs.look(batches[0].labels, display.say)
            display.show(inputs.position, lambda: figures_line(first.figures))
            reads.took(first, runs, unseen)
        stopping.finish()
        several.finish()
        display.finish(inputs.position, figures_line(first.figures))
    smallest_of(candidates).rejected.finish(display.say)
    for line in (
        *runs.lines(),
        *conflict_lines(inputs.schema),
        *unseen_lines(unseen.left, inputs.schema.known.names()),
    ):
        display.say(line)
    return several.seconds


def _take_ahead(learner: LogisticRegression, size: int) -> None:
    """Have a thread take the memory that files of a size will fill; what a small file cannot stays untouched.

    With a row that is new there go 64 bytes of text and more in most logs. A log that names each feature once
    by a few bytes fills more, and twice its size at most.
    """
    if learner.rows.are_spread or 2 * size >= learner.nbytes:
        learner.table.take_ahead(2 * size)
    else:
        learner.rows.table.take_ahead(size // 2)


def _check_any(candidate: Candidate, sources: list[Source], problem: str | None) -> None:
    """Refuse files in which nothing could be learned from."""
    if not candidate.examples:
        names = ", ".join(source.name for source in sources)
        why = f": {problem}" if problem else ""
        raise InputError(f"there is no example to learn from in {names}{why}")


def _summary(result: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the figures of one model that was learned alone: all that was done counts."""
    return {key: result[key] for key in SHOWN} | {
        "examples_per_second": result["examples"] / seconds,
        "seconds": seconds,
        "rejected": result["rejected"],
    }
