"""``python -m bench.ray``: files read by a Ray cluster of this machine, and by this process alone.

Both learn the same model, in order, in alternating runs; the cluster is up before the clock starts. Then the
parts: what a task takes for a row, what travels, what is left to do here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench.measure import Comparison, compare
from bench.workloads import ClickLog

from nonzero import LogisticRegression
from nonzero.model.side_by_side import SideBySide
from nonzero.persistence.pages import keep_freed
from nonzero.sources.files import Source
from nonzero_service.cli.backfill.blocks import Files
from nonzero_service.cli.backfill.cluster import connected
from nonzero_service.cli.backfill.ordered import ClusterReader
from nonzero_service.cli.backfill.parts import NONZEROS, gathered, packed, unpacked
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.reading import ReadingOptions

AIM: Final = 0.8
BITS: Final = 22


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ray", description=__doc__)
    parser.add_argument("--examples", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5, help="how often each side runs")
    parser.add_argument("--output", type=Path, help="where the figures go, as JSON")
    chosen = parser.parse_args()
    keep_freed()
    log = ClickLog(chosen.examples)
    found: dict[str, Any] = {"processors": len(os.sched_getaffinity(0))}
    with connected("local") as ray:
        for name, file in (("VW text", log.vw), ("Parquet", log.parquet)):
            print(name, file.stat().st_size)
            outcome = compare(
                Comparison(
                    name=f"train on {name}, --ray local",
                    ours=lambda file=file: rate(file, lambda inputs: ClusterReader(inputs, ray).read(print)),
                    peer_name="train without --ray",
                    peer=lambda file=file: rate(file, lambda inputs: inputs.read(print)),
                    unit="examples/s",
                    target=AIM,
                ),
                chosen.runs,
                lambda: None,
            )
            print(f"{outcome.ours:,.0f} beside {outcome.peer:,.0f} examples/s: {outcome.ratio:.2f}")
            print(f"least {outcome.least:.2f}, most {outcome.most:.2f}, to reach {AIM}")
            parts = parts_of(file)
            for part, value in parts.items():
                print(f"{part:<40}{value:>10.3f}")
            found[name] = {**vars(outcome), "parts": parts}
    if chosen.output:
        chosen.output.write_text(json.dumps(found, indent=1))


def rate(file: Path, read: Callable[[InputFiles], Iterator[Any]]) -> float:
    """Learn a model of what is read; return the examples a second."""
    model = LogisticRegression(bits=BITS)
    began = time.perf_counter()
    inputs = InputFiles([Source(file)], ReadingOptions())
    with SideBySide([model], 1) as several:
        for _, parsed in read(inputs):
            several.learn([parsed.batch])
        several.finish()
    return model.examples / (time.perf_counter() - began)


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
    packs, travelling = timed(lambda: [packed(one, 0) for some in gathered(parsed, NONZEROS) for one in some])
    unpacks, _ = timed(lambda: [unpacked(one, 0) for one in travelling])
    model = LogisticRegression(bits=BITS)
    began = clock()
    for one in parsed:
        model.learn(one.batch)
    learns = clock() - began
    size = sum(one.body.nbytes for one in travelling)
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
