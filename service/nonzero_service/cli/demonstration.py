"""The demonstration: start a service, replay a log, report how good the predictions were, keep serving."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import httpx
import numpy as np

from nonzero import Schema
from nonzero_service.cli.display import Display, figures_line, number_text
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.demo.figures import Figures, Truth
from nonzero_service.demo.log import Log
from nonzero_service.demo.process import ServerProcess
from nonzero_service.demo.replay import get, replay

MODEL: Final = "default"

_FIGURES: Final = (
    ("log loss", "log_loss", ".5f"),
    ("AUC", "auc", ".4f"),
    ("calibration", "calibration", ".4f"),
)


def run(
    log: Log, schema: Schema, host: str, port: int, data_dir: Path | None, options: list[str], once: bool
) -> None:
    """Serve, replay, report; then serve until interrupted, or end.

    Parameters
    ----------
    log
        What to replay.
    schema
        What the log's fields are. A new model gets it.
    host, port
        Where to serve.
    data_dir
        Where the service keeps its model; None is a temporary directory.
    options
        More options of ``nonzero serve``.
    once
        End after the report.

    Raises
    ------
    ServerError, ReplayError
        Where the service does not start, or refuses.
    """
    with ExitStack() as stack:
        stack.enter_context(_terminated_like_interrupted())
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nonzero-demo-")))
        declared = place / "schema.json"  # an argument has room for 128 KB, too little for 4096 fields
        declared.write_text(json.dumps(schema.to_dict()))
        server = ServerProcess(host, port, data_dir or place / "data", [*options, f"--schema={declared}"])
        click.echo(f"Starting the service at {server.url}")
        stack.enter_context(server)
        click.echo(f"Watch it at {server.url}/")
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60, trust_env=False))
        click.echo(f"Replaying {log.title} through {server.url}")
        click.echo(_replayed(client, log))
        if not once:
            click.echo(
                f"\nServing at {server.url} (a page to watch; its API: {server.url}/docs); Ctrl-C stops it"
            )
            server.wait()


def _replayed(client: httpx.Client, log: Log) -> str:
    """Replay the log and return the summary."""
    before = _metrics(client)
    figures, rejected = Figures(), RejectedLines()
    truth = None if log.examples is None else Truth(log.examples)
    start = time.perf_counter()
    with Display("replaying", log.total) as display:
        for chunk, replayed in replay(client, MODEL, log.chunks):
            known = ~np.isnan(chunk.labels) & ~np.isnan(replayed.probabilities)
            figures.add(replayed.probabilities[known], chunk.labels[known], chunk.weights[known])
            if truth is not None and chunk.rates is not None:
                truth.add(replayed.probabilities, chunk.rates)
            rejected.report(log.title, replayed.errors, display.say)
            display.show(log.position(), lambda: figures_line(figures.summary()))
        seconds = time.perf_counter() - start
        display.finish(log.position(), figures_line(figures.summary()))
        for note in log.notes:
            display.say(f"{log.title}: {note}")
    rejected.finish(display.say)
    return _summary(figures.summary(), _metrics(client), before["examples"], rejected.count, seconds, truth)


def _summary(
    over_http: Mapping[str, float | None],
    server: Mapping[str, Any],
    examples_before: int,
    rejected: int,
    seconds: float,
    truth: Truth | None,
) -> str:
    """Describe a replay.

    Parameters
    ----------
    over_http
        Figures of what was predicted over HTTP.
    server
        The model's metrics afterwards.
    examples_before
        How many examples the model had learned from before.
    rejected
        How many lines were not learned from.
    seconds
        How long the replay took.
    truth
        How far the predictions are from the true click rates, where those are known.
    """
    examples = over_http["examples"] or 0
    lines = [
        "",
        f"{examples:,.0f} examples predicted, then learned from, in {seconds:.1f} s: "
        f"{examples / seconds:,.0f} a second" + (f"; {rejected:,} lines rejected" if rejected else ""),
        "",
        f"{'':<14}{'server, progressive':>20}{'predicted over HTTP':>22}",
    ]
    for title, key, form in _FIGURES:
        lines.append(
            f"{title:<14}{number_text(server[key], form):>20}{number_text(over_http[key], form):>22}"
        )
    lines += [
        "",
        "The server predicts each example after learning from all before it. Over HTTP a chunk is",
        "predicted before any of it is learned from, so that these figures lag a little.",
    ]
    if examples_before:
        lines.append(
            f"The server's include the {examples_before:,} examples that the model had learned from before."
        )
    if truth is not None:
        lines += ["", *_distances(truth)]
    return "\n".join(lines)


def _distances(truth: Truth) -> list[str]:
    distances = truth.distances()
    half = Truth.PARTS // 2
    rows = (
        ("at the start", distances[0]),
        ("just before the change of taste", distances[half - 1]),
        ("just after it", distances[half]),
        ("at the end", distances[-1]),
    )
    return [
        f"Mean distance from the true click rates, a {Truth.PARTS}th of the log each:",
        *(f"  {title:<34}{distance:.4f}" for title, distance in rows),
        f"Whoever knew the true rates would have a log loss of {truth.best_log_loss():.5f}.",
    ]


def _metrics(client: httpx.Client) -> Mapping[str, Any]:
    return get(client, f"/v1/models/{MODEL}/metrics")


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Leave nothing behind on SIGTERM; and end quietly on Ctrl-C, which is how a demonstration ends."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nStopped")
    finally:
        signal.signal(signal.SIGTERM, before)
