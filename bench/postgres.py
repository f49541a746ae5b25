"""What a journal costs beside bare conditional appends to the same PostgreSQL, and how fast it is followed.

``python -m bench.postgres`` runs a primary and its synchronous standby for itself, with Debian's programs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from bench.measure import Comparison, Outcome, compare
from psycopg.types.numeric import Int8
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.journal import PostgresJournal

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from postgres import Cluster, postgresql

MEGABYTE: Final = 2**20
SMALL: Final = 200
SIZES: Final = {"1 MB": MEGABYTE, "200 B": SMALL}

LEVELS: Final = ("on", "remote_write", "remote_apply")

Measured = tuple[Outcome, float]
"""What was compared, and the median wait of ours, in seconds; 0 where nothing waits."""

BARE: Final = """
INSERT INTO nonzero.rows (
    model, position, first_sequence, count, kind, version, time_ms, keys_digest, digest, body, term
) SELECT %(model)b, %(position)b, 0, 1, 'batch', 1, 0, '', '', %(body)b, 1 FROM (
    SELECT 1 FROM nonzero.term WHERE term = %(term)b FOR SHARE
) AS leader
"""
BARE_READ: Final = """
SELECT position, body FROM nonzero.rows WHERE model = %(model)b AND position > %(after)b ORDER BY position
LIMIT %(most)b
"""


class Bench:
    """A cluster's database, with a term that stays.

    Parameters
    ----------
    url
        Its address.
    level
        What commits wait for.
    """

    _models = itertools.count(1)

    def __init__(self, url: str, level: str) -> None:
        self.database = Database(f"{url}?options=-c%20synchronous_commit%3D{level}", "bench")
        self.database.prepare()
        with self.database.writing() as connection:
            connection.execute("UPDATE nonzero.term SET term = 1")
            connection.execute("TRUNCATE nonzero.rows, nonzero.keys")
        self.waits: list[float] = []

    def model(self) -> int:
        """Make a model; return its number."""
        name, digest = f"bench-{os.getpid()}-{next(self._models)}", os.urandom(16)
        with self.database.writing() as connection:
            row = connection.execute(
                "INSERT INTO nonzero.models (name, config, identity, base_position, base_sequence, "
                "base_time_ms, base_digest, keys_position, keys_digest) "
                "VALUES (%s, '{}', %s, 0, 0, 0, %s, 0, %s) RETURNING id",
                (name, digest, digest, bytes(16)),
            ).fetchone()
        assert row is not None
        return int(row[0])

    def open(self, model: int, term: int | None = 1) -> PostgresJournal:
        """Open a model's journal."""
        return PostgresJournal(self.database, model, Path("bench"), term=term)

    def append(self, size: int, appends: int) -> Callable[[], float]:
        """Return the work of appends by the journal: their rate."""
        body = os.urandom(size)
        entries = [JournalEntry("batch", 1, body, 1)]

        def run() -> float:
            journal = self.open(self.model())
            self.waits = []
            return timed(lambda: journal.append(entries), appends, self.waits)

        return run

    def append_barely(self, size: int, appends: int) -> Callable[[], float]:
        """Return the work of conditional appends and nothing else: their rate."""
        body = os.urandom(size)

        def run() -> float:
            model, positions = Int8(self.model()), itertools.count(1)
            values = {"model": model, "term": Int8(1), "body": body}
            with self.database.writing(600) as connection:

                def append() -> None:
                    at = {**values, "position": Int8(next(positions))}
                    connection.execute(BARE, at, binary=True, prepare=True)

                return timed(append, appends, [])

        return run

    def read_on(self, model: int) -> Callable[[], float]:
        """Return the work of following a journal: rows a second."""

        def run() -> float:
            journal = self.open(model, None)
            position, digest, count = 0, journal.digest_at(0), 0
            start = time.perf_counter()
            while rows := journal.read_on(position, digest):
                position, digest = rows[-1].position, rows[-1].digest
                count += len(rows)
            return count / (time.perf_counter() - start)

        return run

    def read_barely(self, model: int, most: int) -> Callable[[], float]:
        """Return the work of reading the same rows, unchecked: rows a second."""

        def run() -> float:
            after, count = 0, 0
            start = time.perf_counter()
            with self.database.reading(600) as connection:
                while rows := self._some(connection, model, after, most):
                    after = rows[-1][0]
                    count += len(rows)
            return count / (time.perf_counter() - start)

        return run

    @staticmethod
    def _some(
        connection: psycopg.Connection[Any], model: int, after: int, most: int
    ) -> list[tuple[int, bytes]]:
        values = {"model": Int8(model), "after": Int8(after), "most": Int8(most)}
        return connection.execute(BARE_READ, values, binary=True, prepare=True).fetchall()


def timed(append: Callable[[], object], appends: int, waits: list[float]) -> float:
    """Return the rate of appends, and note how long each takes."""
    begun = start = time.perf_counter()
    for _ in range(appends):
        append()
        ended = time.perf_counter()
        waits.append(ended - start)
        start = ended
    return appends / (start - begun)


def appending(
    url: str, level: str, where: str, chosen: argparse.Namespace
) -> Iterator[tuple[Outcome, float]]:
    """Compare appends at one level; with the median wait of ours."""
    for name, size in SIZES.items():
        appends = chosen.appends if size == MEGABYTE else 8 * chosen.appends
        bench = Bench(url, level)
        row = Comparison(
            f"append {name}, {level}, {where}",
            bench.append(size, appends),
            "bare",
            bench.append_barely(size, appends),
            "appends/s",
            0.8,
        )
        with Progress(transient=True) as progress:
            task = progress.add_task(row.name, total=row.total_runs(chosen.runs))
            outcome = compare(row, chosen.runs, lambda task=task: progress.advance(task))  # type: ignore[misc]
        yield outcome, statistics.median(bench.waits)
        bench.database.close()


def following(url: str, chosen: argparse.Namespace) -> Iterator[Measured]:
    """Compare reading on the standby."""
    bench = Bench(url, "on")
    for name, size, rows, most in (("1 MB", MEGABYTE, 2 * chosen.appends, 8), ("200 B", SMALL, 50_000, 4096)):
        model = bench.model()
        journal, body = bench.open(model), os.urandom(size)
        group = 1 if size == MEGABYTE else 500
        for _ in range(rows // group):
            journal.append([JournalEntry("batch", 1, body, 1)] * group)
        wait_for_standby(bench, model, journal.position)
        bare = bench.read_barely(model, most)
        row = Comparison(f"follow rows of {name}", bench.read_on(model), "bare", bare, "rows/s", 0.5)
        yield compare(row, chosen.runs, lambda: None), 0.0
    bench.database.close()


def wait_for_standby(bench: Bench, model: int, position: int) -> None:
    """Wait until the standby shows a position."""
    while bench.open(model, None).position < position:
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.postgres", description=__doc__)
    parser.add_argument(
        "--appends", type=int, default=48, help="appends of 1 MB a run; of 200 B eight times as many"
    )
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    chosen = parser.parse_args()
    found: list[Measured] = []
    with postgresql(standby=True) as cluster:
        url = cluster.database()
        for level in LEVELS:
            found += appending(url, level, "with a standby", chosen)
        found += following(url, chosen)
        alone(cluster)
        found += appending(url, "on", "alone", chosen)
    Console(width=max(Console().width, 120)).print(table_of(found))


def alone(cluster: Cluster) -> None:
    """Have commits wait for no standby."""
    cluster.primary.configure(synchronous_standby_names="")


def table_of(found: list[Measured]) -> Table:
    """Return what was found as a table."""
    table = Table("work", "journal", "bare", "ratio", "least", "most", "median wait", "unit")
    for outcome, wait in found:
        table.add_row(
            outcome.name,
            f"{outcome.ours:,.1f}",
            f"{outcome.peer:,.1f}",
            *(f"{ratio:.2f}" for ratio in (outcome.ratio, outcome.least, outcome.most)),
            f"{1e3 * wait:.2f} ms" if wait else "",
            outcome.unit,
        )
    return table


if __name__ == "__main__":
    main()
