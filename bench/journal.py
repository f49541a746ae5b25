"""``python -m bench.journal``: what the journal costs a bulk update, and what a start and a snapshot take.

The same VW text goes to two services over HTTP in turn: one as users run it, one whose learner neither
encodes nor appends. Both run one lane of 2**22 slots.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Comparison, compare, cpu_seconds
from bench.running import COMMAND, serving
from bench.workloads import ClickLog
from rich.progress import Progress

from nonzero import AdaGrad, LogisticRegression
from nonzero_service.journal.chain import JournalEntry
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.recovery import replay

PATH = "/v1/models/default"
CHUNK = 1 << 18
FORGETFULLY = "forgetfully"
"""Before the service's command line: its journal is to be a :class:`Forgetful` one."""


class Forgetful(SqliteJournal):
    """A journal that keeps only its first row: all others it counts and forgets."""

    _more = (0, 0)

    def append(self, entries: Sequence[JournalEntry]) -> int:
        if not self.position:
            return super().append(entries)
        rows, examples = self._more
        self._more = rows + len(entries), examples + sum(entry.count for entry in entries)
        return super().position + self._more[0]

    @property
    def next_sequence(self) -> int:
        return super().next_sequence + self._more[1]


def serve_forgetfully(arguments: list[str]) -> None:
    """Be the service's command line, with such a journal."""
    from nonzero_service import cli
    from nonzero_service.journal.sqlite import store
    from nonzero_service.writer import group_rows

    vars(store)["SqliteJournal"] = Forgetful
    vars(group_rows)["batch_entry"] = _without_body
    cli.main(arguments)


def _without_body(batch: Any, keys: Sequence[KeyRecord] = ()) -> JournalEntry:
    return JournalEntry("batch", 1, b"", len(batch), tuple(keys))


@contextmanager
def service(directory: Path, journalled: bool) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """Run a service of one lane that takes no snapshots, and connect to it; with its pid."""
    command = COMMAND if journalled else (sys.executable, "-m", "bench.journal", FORGETFULLY)
    never: dict[str, Any] = {"snapshot_bytes": 1 << 40, "snapshot_seconds": 1e9, "journal_retention": "all"}
    with serving(directory, command=command, learning_rate=0.1, **never) as server:
        yield http.client.HTTPConnection("127.0.0.1", server.port), server.pid


def upload(connection: http.client.HTTPConnection, log: Path) -> Callable[[], None]:
    """Return the work of one bulk update."""

    def run() -> None:
        with log.open("rb") as file:
            pieces = iter(lambda: file.read(CHUNK), b"")
            headers = {"content-type": "text/x-vw", "content-length": str(log.stat().st_size)}
            connection.request("POST", f"{PATH}/update", pieces, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise RuntimeError(content)

    return run


def replay_rates(directory: Path, log: ClickLog) -> tuple[float, float]:
    """Return (replayed, plainly learned) examples a second of the journal that a service left."""
    batch = log.batch
    plain = LogisticRegression(22, AdaGrad(0.1))
    plain.table.rows[:] = 0
    start = time.perf_counter()
    plain.learn_checked(batch)
    learned = len(batch) / (time.perf_counter() - start)
    with JournalReader(directory / "models" / "default") as reader:
        model = LogisticRegression(22, AdaGrad(0.1))
        model.table.rows[:] = 0
        start = time.perf_counter()
        replay(model, reader, 1, lambda last, end: None)  # noqa: ARG005
        return model.examples / (time.perf_counter() - start), learned


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__)
    parser.add_argument("--examples", type=int, default=200_000, help="lines of the made-up click log")
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    chosen = parser.parse_args()
    log = ClickLog(chosen.examples)
    data = Path(os.environ.get("TMPDIR", tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(dir=data) as place, Progress() as progress:
        kept, forgotten = Path(place) / "kept", Path(place) / "forgotten"
        with service(kept, True) as (ours, ours_pid), service(forgotten, False) as (theirs, theirs_pid):
            before = cpu_seconds(ours_pid), cpu_seconds(theirs_pid)
            task = progress.add_task("bulk updates", total=2 * (chosen.runs + 1))
            outcome = compare(
                Comparison(
                    "bulk update, journal on against off",
                    upload(ours, log.vw),
                    "off",
                    upload(theirs, log.vw),
                    "examples/s",
                    0.75,
                    chosen.examples,
                ),
                chosen.runs,
                lambda: progress.advance(task),
            )
            with_it = cpu_seconds(ours_pid) - before[0]
            without = cpu_seconds(theirs_pid) - before[1]
        replayed, learned = replay_rates(kept, log)
    print(
        f"bulk update over HTTP, VW text, one lane: {outcome.ours / 1e6:.3f} M examples/s with the journal, "
        f"{outcome.peer / 1e6:.3f} without, ratio {outcome.ratio:.2f} ({outcome.least:.2f} to "
        f"{outcome.most:.2f}); to reach {outcome.target:.2f}"
    )
    millions = chosen.examples * (chosen.runs + 1) / 1e6
    print(
        f"processor time of the service: {with_it / millions:.2f} s a million examples with it, "
        f"{without / millions:.2f} without, ratio {without / with_it:.2f}"
    )
    print(
        f"replay: {replayed / 1e6:.2f} M examples/s, plain learning {learned / 1e6:.2f}, "
        f"ratio {replayed / learned:.2f}; to reach 0.50"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == [FORGETFULLY]:
        serve_forgetfully(sys.argv[2:])
    else:
        main()
