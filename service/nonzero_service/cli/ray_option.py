"""``--ray``: who reads the files of a training, this process or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nonzero.diagnostics.unseen import Unseen
from nonzero.formats import Parsed
from nonzero.sources.files import Source
from nonzero.sources.places import Place
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.label_warnings import RunWarnings
from nonzero_service.cli.trying import Candidate

if TYPE_CHECKING:  # imported where --ray is given: it is nothing that others should wait for
    from nonzero_service.cli.checkpoints import Checkpoint

option = click.option(
    "--ray",
    "cluster",
    metavar="ADDRESS",
    help="Have a Ray cluster read and parse the files: HOST:PORT of its head, auto on a machine of it, or "
    "local for one that is started here. The model learns here, in order: it is the same model.",
)


class Reads:
    """The files read by this process.

    Parameters
    ----------
    inputs
        The files.
    """

    def __init__(self, inputs: InputFiles) -> None:
        self._inputs = inputs

    def parts(self, say: Callable[[str], None]) -> Iterable[tuple[Source, Parsed]]:
        """Return the examples of all files; see :meth:`InputFiles.read`."""
        return self._inputs.read(say)

    def restore(
        self, first: Candidate, runs: RunWarnings, unseen: Unseen, say: Callable[[str], None]
    ) -> None:
        """Go on from a checkpoint, where there is one."""

    def took(self, first: Candidate, runs: RunWarnings, unseen: Unseen) -> None:
        """Take note that all that was yielded has been learned from."""

    def told(self) -> str:
        """Return what is left of a training that was stopped."""
        return ""


class ReadsByCluster(Reads):
    """The files read by a cluster, with checkpoints where a model is to be saved."""

    def __init__(self, inputs: InputFiles, ray: object, kept: Checkpoint | None) -> None:
        from nonzero_service.cli.backfill.ordered import ClusterReader

        super().__init__(inputs)
        self._kept = kept
        self._reader = ClusterReader(inputs, ray, None if kept is None else kept.cursor())

    def parts(self, say: Callable[[str], None]) -> Iterable[tuple[Source, Parsed]]:
        """Return the same, read by tasks."""
        return self._reader.read(say)

    def restore(
        self, first: Candidate, runs: RunWarnings, unseen: Unseen, say: Callable[[str], None]
    ) -> None:
        """Go on from the checkpoint, where one was found."""
        said = None if self._kept is None else self._kept.restore(first.rejected, runs, unseen, self._inputs)
        if said is not None:
            say(said)

    def took(self, first: Candidate, runs: RunWarnings, unseen: Unseen) -> None:
        """Save a checkpoint, where it is time and the files were read up to a place that is found again."""
        if self._kept is not None and self._kept.is_due and self._reader.cursor is not None:
            self._kept.save(first.learner, self._reader.cursor, first.rejected, runs, unseen, self._inputs)

    def told(self) -> str:
        """Return how the training goes on."""
        return "" if self._kept is None else self._kept.told()


def checkpoint_of(
    cluster: str | None, places: Sequence[Place], tries: Sequence[str], *, overwrite: bool
) -> Checkpoint | None:
    """Return the checkpoint of a training; None where none is made.

    Models that are tried side by side have none: their files could not be replaced all at once. Neither has
    one that is saved in a store, which is nothing to write to each minute.
    """
    if cluster is None or tries or len(places) != 1 or not isinstance(places[0], Path):
        return None
    from nonzero_service.cli.checkpoints import Checkpoint

    return Checkpoint(places[0], overwrite=overwrite)


@contextmanager
def reads_by(cluster: str | None, inputs: InputFiles, kept: Checkpoint | None) -> Iterator[Reads]:
    """Give who reads files.

    Parameters
    ----------
    cluster
        What ``--ray`` was given.
    inputs
        The files.
    kept
        The training's checkpoint, where it has one.
    """
    if cluster is None:
        yield Reads(inputs)
        return
    from nonzero_service.cli.backfill.cluster import connected

    with connected(cluster) as ray:
        yield ReadsByCluster(inputs, ray, kept)
