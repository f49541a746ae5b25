"""The demonstration: serve, replay a log, say how good the predictions were, keep serving."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np

from nonzero_service.commands.display import Display, figures_line
from nonzero_service.commands.rejects import Rejects
from nonzero_service.demo.figures import Figures, Truth
from nonzero_service.demo.log import Log
from nonzero_service.demo.process import ServerProcess
from nonzero_service.demo.replay import get, replay
from nonzero_service.demo.summary import summary

__all__ = ["run"]

MODEL = "default"


def run(log: Log, host: str, port: int, data_dir: Path | None, options: list[str], once: bool) -> None:
    """Serve, replay, report; then serve until interrupted, or end.

    Parameters
    ----------
    log
        What to replay.
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
        directory = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nonzero-demo-")))
        server = ServerProcess(host, port, directory, options)
        click.echo(f"Starting the service at {server.url}")
        stack.enter_context(server)
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60, trust_env=False))
        click.echo(f"Replaying {log.title} through {server.url}")
        click.echo(_replayed(client, log))
        if not once:
            click.echo(f"\nServing at {server.url} (its API: {server.url}/docs); Ctrl-C stops it")
            server.wait()


def _replayed(client: httpx.Client, log: Log) -> str:
    """Replay the log and return the summary."""
    before = _metrics(client)
    figures, rejects = Figures(), Rejects()
    truth = None if log.examples is None else Truth(log.examples)
    start = time.perf_counter()
    with Display("replaying", log.total) as display:
        for chunk, replayed in replay(client, MODEL, log.chunks):
            known = ~np.isnan(chunk.labels) & ~np.isnan(replayed.probabilities)
            figures.add(replayed.probabilities[known], chunk.labels[known], chunk.weights[known])
            if truth is not None and chunk.rates is not None:
                truth.add(replayed.probabilities, chunk.rates)
            rejects.report(log.title, replayed.errors, display.say)
            display.show(log.position(), lambda: figures_line(figures.summary()))
        seconds = time.perf_counter() - start
        display.finish(log.position(), figures_line(figures.summary()))
        for note in log.notes:
            display.say(f"{log.title}: {note}")
    rejects.finish(display.say)
    return summary(figures.summary(), _metrics(client), before["examples"], rejects.count, seconds, truth)


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
