"""``python -m bench.ray``: files read by a Ray cluster of this machine, and by this process alone.

Both learn the same model, in order, in alternating runs; the cluster is up before the clock starts. They are
compared by the clock, and by the processor time of all processes: where others use the machine too, several
processes get more of it than one does. Then the parts: what a task takes for a row, what travels, what is
left to do here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.measure import Outcome, cpu_seconds
from bench.workloads import ClickLog

from nonzero import LogisticRegression
from nonzero.model.side_by_side import SideBySide
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import Source
from nonzero_service.cli.backfill.blocks import Files
from nonzero_service.cli.backfill.cluster import connected
from nonzero_service.cli.backfill.ordered import ClusterReader
from nonzero_service.cli.backfill.parts import packed, unpacked
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.reading import ReadingOptions

AIM: Final = 0.8
BITS: Final = 22


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ray", description=__doc__)
    parser.add_argument("--examples", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=3, help="how often each side runs")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    chosen = parser.parse_args()
    keep_freed()
    log = ClickLog(chosen.examples)
    found: dict[str, Any] = {"processors": len(os.sched_getaffinity(0))}
    with connected("local") as ray:
        for name, file in (("VW text", log.vw), ("Parquet", log.parquet)):
            work = Trainings(file, ray)
            clocks = [*compared(work, name, chosen.runs)]
            parts = parts_of(file)
            for outcome in clocks:
                print(
                    f"{outcome.name}: {outcome.ours:,.0f} beside {outcome.peer:,.0f} {outcome.unit}, "
                    f"{outcome.ratio:.2f} ({outcome.least:.2f} to {outcome.most:.2f}), to reach {AIM}"
                )
            for part, value in parts.items():
                print(f"{part:<40}{value:>10.3f}")
            found[name] = {"compared": [vars(one) for one in clocks], "parts": parts}
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))


class Trainings:
    """One pass over a file, by a cluster and by this process."""

    def __init__(self, file: Path, ray: Any) -> None:
        self._file, self._ray = file, ray

    def by_cluster(self) -> tuple[float, float]:
        """Return the examples a second, by the clock and of processor time."""
        return self._rates(lambda inputs: ClusterReader(inputs, self._ray).read(print))

    def here(self) -> tuple[float, float]:
        """Return the same of this process alone."""
        return self._rates(lambda inputs: inputs.read(print))

    def _rates(self, read: Callable[[InputFiles], Iterator[Any]]) -> tuple[float, float]:
        model = LogisticRegression(bits=BITS)
        began, spent = time.perf_counter(), sum(map(cpu_seconds, family(os.getpid())))
        inputs = InputFiles([Source(self._file)], ReadingOptions())
        with SideBySide([model], 1) as several:
            for _, parsed in read(inputs):
                several.learn([parsed.batch])
            several.finish()
        seconds = time.perf_counter() - began
        spent = sum(map(cpu_seconds, family(os.getpid()))) - spent
        return model.examples / seconds, model.examples / spent


def compared(work: Trainings, name: str, runs: int) -> Iterator[Outcome]:
    """Yield how the two compare by the clock, and by processor time; of the same runs."""
    rates: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for _ in range(runs + 1):
        rates["ours"].append(work.by_cluster())
        rates["theirs"].append(work.here())
    for place, unit in enumerate(("examples/s", "examples/s of processor time")):
        ours, theirs = ([one[place] for one in rates[side][1:]] for side in ("ours", "theirs"))
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        median = statistics.median
        yield Outcome(
            name, unit, median(ours), "without --ray", median(theirs), median(ratios), min(ratios),
            max(ratios), AIM, 8,
        )  # fmt: skip


def family(process: int) -> Iterator[int]:
    """Yield a process, and those that it has started, and they."""
    yield process
    for threads in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, threads.read_text().split()):
                yield from family(child)


def parts_of(file: Path) -> dict[str, float]:
    """Return what each part of the work takes of one processor, in microseconds a row; and bytes a row."""
    inputs = InputFiles([Source(file)], ReadingOptions())
    clock = time.thread_time

    def timed(work: Callable[[], Any]) -> tuple[float, Any]:
        times = []
        for _ in range(3):
            began = clock()
            found = work()
            times.append(clock() - began)
        return statistics.median(times), found

    reads, data = timed(lambda: sum(len(block) for block in Source(file)))
    began = time.process_time()
    parsed = [one for _, one in inputs.read(print)]
    parses = time.process_time() - began - reads
    rows = sum(len(one.batch) for one in parsed)
    packs, travelling = timed(lambda: [packed(one, 0) for one in parsed])
    unpacks, _ = timed(lambda: [unpacked(one, 0) for one in travelling])
    model = LogisticRegression(bits=BITS)
    began = clock()
    for one in parsed:
        model.learn(one.batch)
    learns = clock() - began
    size = sum(len(piece) for one in travelling for piece in one.body)
    return {
        "read, us a row": reads / rows * 1e6,
        "parse and hash, us a row": parses / rows * 1e6,
        "pack, us a row": packs / rows * 1e6,
        "unpack, us a row": unpacks / rows * 1e6,
        "learn, us a row": learns / rows * 1e6,
        "bytes of the file a row": data / rows,
        "bytes that travel a row": size / rows,
        "blocks": len([*Files(inputs, 2).blocks()]),
    }


if __name__ == "__main__":
    main()
