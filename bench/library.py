"""The library against its peers on the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from bench.measure import Comparison, Work
from bench.running import COMMAND, WITH_BYTECODE
from bench.workloads import FIELDS, ClickLog, text_with_values

from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.batches import codec
from nonzero.fields.hashing import index_of

__all__ = ["VW", "VW_FLAGS", "comparisons"]

ONE_LANE = AdaGrad(0.1)
LANES = {1: "one lane", 8: "eight lanes"}
VW = [sys.executable, "-m", "vowpalwabbit"]
VW_FLAGS = ["--loss_function", "logistic", "-b", "22", "--adaptive", "--quiet"]
VW_NAME = " ".join(["vw", *VW_FLAGS])
FW = os.environ.get("FW", "")
"""The program of fwumious_wabbit, where there is one."""
FW_FLAGS = [
    *("--loss_function", "logistic", "--link", "logistic", "--sgd", "--adaptive", "--power_t", "0.5"),
    *("--l2", "0.0", "--hash", "all", "-l", "0.1", "-b", "22"),
]
CHUNK = 1 << 20
LONG = 4
"""So many times as many examples as elsewhere are learned by whole processes: a start is part of it."""
ROWS = 2000
"""Examples in one row of the journal."""


def seconds_of(*command: str) -> float:
    """Run a program to its end; return how long it took."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=WITH_BYTECODE)
    return time.perf_counter() - start


def training(log: ClickLog, *options: str, file: Path | None = None) -> Work:
    """Return the work of ``nonzero train`` on VW text, or on another file, the whole process."""
    command = [*COMMAND, "train", str(file or log.vw), "--json", *options]
    return lambda: log.n / seconds_of(*command)


def reading_columns(log: ClickLog, columns: int) -> Work:
    """Return the work of making rows of columns of Arrow that are dictionary-encoded; one thread."""
    import pyarrow.parquet

    names = [f"f{k}" for k in range(columns)]
    table = pyarrow.parquet.read_table(log.parquet, columns=["click", *names], read_dictionary=names)

    def run() -> float:
        start = time.perf_counter()
        Batch.from_arrow(table)
        return log.n / (time.perf_counter() - start)

    return run


def rows_file(log: ClickLog) -> Path:
    """Return the log as a rows file, which `nonzero convert` makes once."""
    path = log.directory / "hashed.rows"
    if not path.exists():
        seconds_of(*COMMAND, "convert", str(log.vw), str(path))
    return path


def training_rows(log: ClickLog, *options: str) -> Work:
    """Return the work of ``nonzero train`` on a rows file, the whole process."""
    command = [*COMMAND, "train", str(rows_file(log)), "--json", *options]
    return lambda: log.n / seconds_of(*command)


EIGHT_SETTINGS = (
    *(f"learning-rate={rate}" for rate in (0.02, 0.1, 0.5)),
    *(f"optimizer=ftrl:alpha={alpha},l1={l1}" for alpha, l1 in ((0.1, 1), (0.05, 0.1))),
    "learning-rate=0.1 bits=20",
    "learning-rate=0.1 interactions=f0*f3",
    "bits=22",
)
"""What is tried in one pass: seven of one lane, and the default's eight lanes."""


def processor_seconds_of(*command: str) -> float:
    """Run a program to its end; return the processor time that it took."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=WITH_BYTECODE
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime


def trying(log: ClickLog) -> Work:
    """Return the cost of eight settings in one pass, in processor time."""
    tries = [part for setting in EIGHT_SETTINGS for part in ("--try", setting)]
    return lambda: processor_seconds_of(*COMMAND, "train", str(log.vw), *tries)


def one_by_one(log: ClickLog) -> Work:
    """Return the cost of the same settings, each in a process of its own."""
    runs = [[f"--{option}" for option in setting.split()] for setting in EIGHT_SETTINGS]
    return lambda: sum(processor_seconds_of(*COMMAND, "train", str(log.vw), *options) for options in runs)


def vw(log: ClickLog, *options: str) -> Work:
    """Return the work of VW on the same, the whole process."""
    return lambda: log.n / seconds_of(*VW, *VW_FLAGS, "-d", str(log.vw), *options)


@cache
def vw_start() -> float:
    """Return how long VW takes to do nothing."""
    return min(seconds_of(*VW, *VW_FLAGS, "-d", "/dev/null") for _ in range(3))


def fwumious(program: str, log: ClickLog) -> Work:
    """Return the work of fwumious_wabbit on the same, the whole process.

    It must be told of each namespace: its name, in a file beside the log, and that it is learned from.
    """
    names = [f"f{k}" for k in range(FIELDS)]
    (log.directory / "vw_namespace_map.csv").write_text("".join(f"{name},{name}\n" for name in names))
    linear = [word for name in names for word in ("--linear", name)]
    command = [program, *FW_FLAGS, *linear, "--data", str(log.vw)]
    return lambda: log.n / seconds_of(*command)


def vw_from_cache(log: ClickLog, *, started: bool = True) -> Work:
    """Return the work of VW on its own cache of the log; without its start, or the whole process."""
    path = log.directory / "log.cache"
    if not path.exists():
        vw(log, "--cache_file", str(path))()
    command = [*VW, *VW_FLAGS, "-d", str(log.vw), "--cache_file", str(path)]
    return lambda: log.n / (seconds_of(*command) - (vw_start() if started else 0))


def learning_bodies(log: ClickLog, optimizer: AdaGrad | None) -> Work:
    """Return the work of reading our own rows from a file, decoding them and learning from them.

    Each time by a model that knows nothing of them yet, as VW's: a log that repeats itself looks like changes
    of taste, of which eight lanes begin anew.
    """
    path = log.directory / "log.rows"
    parts = (log.batch.rows(start, min(start + ROWS, log.n)) for start in range(0, log.n, ROWS))
    with path.open("wb") as file:
        sizes = [file.write(codec.encode_batch(part)) for part in parts]

    def run() -> float:
        model = touched(22, optimizer)
        start = time.perf_counter()
        with path.open("rb") as file:
            for size in sizes:
                model.learn_checked(codec.decode_batch(file.read(size)))
        return log.n / (time.perf_counter() - start)

    return run


def learning_rows(batch: Batch, bits: int, optimizer: AdaGrad | None) -> Work:
    """Return the work of learning alone, by a new model each time."""

    def run() -> float:
        model = touched(bits, optimizer)
        start = time.perf_counter()
        model.learn_checked(batch)
        return len(batch) / (time.perf_counter() - start)

    return run


def touched(bits: int, optimizer: AdaGrad | None) -> LogisticRegression:
    """Return a model all of whose memory is there."""
    model = LogisticRegression(bits, optimizer)
    model.table.rows[:] = 0
    return model


def parsing(text: bytes, form: str) -> Work:
    """Return the work of parsing; its rate in bytes a second."""

    view = memoryview(text)

    def run() -> float:
        start = time.perf_counter()
        reader = formats.reader(form)
        for j in range(0, len(text), CHUNK):
            reader.feed(view[j : j + CHUNK])
        reader.finish()
        return len(text) / (time.perf_counter() - start)

    return run


def decoding_in_python(text: bytes) -> Work:
    """Return what one would write without us: decode each line, hash each feature, gather the columns."""

    def run() -> float:
        start = time.perf_counter()
        for line in text.splitlines():
            features = msgspec.json.decode(line)["features"]
            np.array([index_of(f"{name}={value}") for name, value in features.items()], np.uint32)
        return len(text) / (time.perf_counter() - start)

    return run


def decoding_by_simdjson(text: bytes) -> Work:
    """Return what one would write with simdjson, which decodes only what is asked for, and a loop."""
    from simdjson import Parser

    parser = Parser()

    def run() -> float:
        start = time.perf_counter()
        for line in text.splitlines():
            features = parser.parse(line)["features"]  # type: ignore[index,unused-ignore]
            indices = [index_of(f"{name}={value}") for name, value in features.items()]  # type: ignore[union-attr,unused-ignore]
            np.array(indices, np.uint32)
            del features  # the parser has room for one document
        return len(text) / (time.perf_counter() - start)

    return run


def river(rows: list[dict[str, Any]], labels: list[int]) -> Work:
    """Return the work of river's logistic regression, predicting each example before it learns."""
    from river import linear_model, optim

    named = [{f"{name}={value}": 1.0 for name, value in row.items()} for row in rows]

    def run() -> None:
        model = linear_model.LogisticRegression(optim.AdaGrad(0.1))
        for row, label in zip(named, labels, strict=True):
            model.predict_proba_one(row)  # type: ignore[no-untyped-call,unused-ignore]
            model.learn_one(row, label)

    return run


def learning_dicts(rows: list[dict[str, Any]], labels: list[int], step: int) -> Work:
    """Return the work of hashing dicts and learning from them, so many at a time."""
    model = touched(22, None)

    def run() -> None:
        for start in range(0, len(rows), step):
            model.learn(Batch.from_dicts(rows[start : start + step], labels[start : start + step]))

    return run


def learning_one_by_one(rows: list[dict[str, Any]], labels: list[int]) -> Work:
    """Return the work of `learn_one`, which predicts too."""
    model = touched(22, None)

    def run() -> None:
        for row, label in zip(rows, labels, strict=True):
            model.learn_one(row, label)

    return run


def learning_as_river(rows: list[dict[str, Any]], labels: list[int]) -> Work:
    """Return the work of the same through river's interface."""
    from nonzero.river import NonzeroClassifier

    model = NonzeroClassifier(22)
    model.model.table.rows[:] = 0

    def run() -> None:
        for row, label in zip(rows, labels, strict=True):
            model.learn_one(row, label)

    return run


def learning_csr(batch: Batch) -> tuple[Work, Work]:
    """Return the work of learning from a scipy matrix: through scikit-learn's interface, and without it."""
    from nonzero.sklearn import NonzeroClassifier

    matrix, labels = batch.to_csr(22), batch.labels.astype(int)

    def estimator() -> None:
        NonzeroClassifier(22).fit(matrix, labels)

    def model() -> None:
        LogisticRegression(22).learn(Batch.from_csr(matrix, labels))

    return estimator, model


def sgd(batch: Batch) -> Work:
    """Return the work of scikit-learn's plain gradient descent."""
    from sklearn.linear_model import SGDClassifier

    matrix = batch.to_csr(22)

    def run() -> None:
        SGDClassifier(loss="log_loss").partial_fit(matrix, batch.labels, classes=[0, 1])

    return run


def comparisons(log: ClickLog, data: Path) -> Iterator[Comparison]:
    """Yield the rows of the table one by one: each makes what it works on when it is reached."""
    examples = "examples/s"
    long = ClickLog(LONG * log.n)
    one, eight = training(long, "--learning-rate", "0.1"), training(long)
    for lanes, ours, target, of_fw in ((1, one, 9.0, 4.0), (8, eight, 7.0, 3.0)):
        name = f"VW text file to model, {LANES[lanes]}, whole process"
        yield Comparison(name, ours, VW_NAME, vw(long), examples, target, lanes=lanes)
        if FW:
            peer = fwumious(FW, long)
            yield Comparison(name, ours, " ".join(["fw", *FW_FLAGS]), peer, examples, of_fw, lanes=lanes)
    cached, cached_name = vw_from_cache(log, started=False), f"{VW_NAME} --cache_file"
    for lanes, options, target in ((1, ("--learning-rate", "0.1"), 3.0), (8, (), 2.0)):
        name = f"rows file to model, {LANES[lanes]}, whole process"
        yield Comparison(
            name, training_rows(log, *options), cached_name, cached, examples, target, lanes=lanes
        )
    name, seconds = "eight settings in one pass, VW text", "s of processor time"
    yield Comparison(
        name, trying(log), "eight runs", one_by_one(log), seconds, 1 / 0.6, cost=True, most_runs=5
    )
    yield from _learning(log)
    yield from _parsing(log, data)
    yield from _from_dicts(log)
    yield from _from_columns(log)


def _learning(log: ClickLog) -> Iterator[Comparison]:
    examples = "examples/s"
    one = learning_bodies(log, ONE_LANE)
    name, peer_name, peer = "binary rows to model, one lane", f"{VW_NAME} --cache_file", vw_from_cache(log)
    yield Comparison(name, one, peer_name, peer, examples, 6.0, lanes=1)
    eight, name = learning_bodies(log, None), "binary rows to model, eight lanes"
    yield Comparison(name, eight, "our one lane", one, examples, 0.85, lanes=8)
    large, small = (learning_rows(log.batch, bits, ONE_LANE) for bits in (28, 18))
    name = "learning, 2**28 slots, one lane"
    yield Comparison(name, large, "2**18 slots", small, examples, 1 / 2.2, lanes=1)
    del large, small
    name = f"CSR of {FIELDS} nonzeros to model, eight lanes"
    ours = learning_rows(log.batch, 22, None)
    peer = sgd(log.batch)
    yield Comparison(name, ours, "sklearn SGDClassifier.partial_fit", peer, examples, 3.0, log.n, lanes=8)
    ours, peer = learning_csr(log.batch)
    name = f"CSR of {FIELDS} nonzeros, NonzeroClassifier.fit"
    yield Comparison(name, ours, "our Batch.from_csr and learn", peer, examples, 0.95, log.n, lanes=8)


def _parsing(log: ClickLog, data: Path) -> Iterator[Comparison]:
    rate = "bytes/s"
    with log.vw.open("rb") as file:
        text = file.read(100 * CHUNK)
    yield Comparison("VW text to rows", parsing(text, "vw"), "1.3 GB/s", lambda: 1.3e9, rate, 1.0)
    valued = text_with_values(data, 20 * CHUNK)
    if valued:
        name = "VW text with values to rows"
        yield Comparison(name, parsing(valued, "vw"), "1.3 GB/s", lambda: 1.3e9, rate, 1.0)
    with log.ndjson.open("rb") as file:
        text = file.read(50 * CHUNK)
    yield Comparison("NDJSON to rows", parsing(text, "ndjson"), "1 GB/s", lambda: 1e9, rate, 1.0)
    some = text[: text.rindex(b"\n", 0, 2 * CHUNK) + 1]
    peer = decoding_in_python(some)
    yield Comparison("NDJSON to rows", parsing(some, "ndjson"), "msgspec and a loop", peer, rate, 5.0)
    peer = decoding_by_simdjson(some)
    yield Comparison("NDJSON to rows", parsing(some, "ndjson"), "simdjson and a loop", peer, rate, 5.0)


def _from_columns(log: ClickLog) -> Iterator[Comparison]:
    rows, examples = reading_columns(log, 10), "examples/s"
    name = "Arrow columns to rows, 10 dictionary-encoded columns"
    yield Comparison(name, rows, "5 M rows/s", lambda: 5e6, examples, 1.0)
    one = "--learning-rate", "0.1"
    long = ClickLog(LONG * log.n)
    ours, peer = training(long, *one, file=long.parquet), training(long, *one, file=long.csv)
    name = "Parquet file to model, one lane, whole process"
    yield Comparison(name, ours, "the same as CSV", peer, examples, 2.0, lanes=1)


def _from_dicts(log: ClickLog) -> Iterator[Comparison]:
    rows, labels = log.dicts(4000)
    n, examples = len(rows), "examples/s"
    peer = river(rows, labels)
    name = "river LogisticRegression(AdaGrad)"
    batches, single = learning_dicts(rows, labels, 1000), learning_one_by_one(rows, labels)
    yield Comparison("dicts to model, 1,000 at a time", batches, name, peer, examples, 10.0, n, lanes=8)
    yield Comparison("dicts to model, learn_one", single, name, peer, examples, 1.0, n, lanes=8)
    name, ours = "dicts to model, learn_one of river's interface", learning_as_river(rows, labels)
    yield Comparison(name, ours, "our learn_one", single, examples, 0.95, n, lanes=8)
