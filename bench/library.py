"""The library against its peers on the same work."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from bench.measure import Comparison
from bench.workloads import FIELDS, ClickLog, text_with_values

from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.hashing import index_of
from nonzero_service.storage import codec

ONE_LANE = AdaGrad(0.1)
VW_FLAGS = ["--loss_function", "logistic", "-b", "22", "--adaptive", "--quiet"]
VW_NAME = "vw 9.11 --loss_function logistic -b 22 --adaptive"
CHUNK = 1_000_000


def command(*arguments: str) -> Callable[[], None]:
    """Return the work of running a program to its end."""

    def run() -> None:
        subprocess.run(arguments, check=True, capture_output=True)

    return run


def train(log: ClickLog, *options: str) -> Callable[[], None]:
    return command(sys.executable, "-m", "nonzero_service.cli", "train", str(log.vw), "--json", *options)


def vw(*arguments: str) -> Callable[[], None]:
    return command(sys.executable, "-m", "vowpalwabbit", *VW_FLAGS, *arguments)


def learn_bodies(bodies: list[bytes], optimizer: AdaGrad | None) -> Callable[[], float]:
    """Return the work of decoding our own rows and learning from them, the table made beforehand."""

    def run() -> float:
        model = LogisticRegression(22, optimizer)
        model.table.rows[:] = 0
        start = time.perf_counter()
        for body in bodies:
            model.learn_checked(codec.decode_batch(body))
        return time.perf_counter() - start

    return run


def learn_rows(batch: Batch, bits: int, optimizer: AdaGrad | None) -> Callable[[], float]:
    """Return the work of learning alone."""

    def run() -> float:
        model = LogisticRegression(bits, optimizer)
        model.table.rows[:] = 0
        start = time.perf_counter()
        model.learn_checked(batch)
        return time.perf_counter() - start

    return run


def vw_cache(log: ClickLog) -> Path:
    """Return VW's own cache of the log, written by VW."""
    path = log.directory / "log.cache"
    if not path.exists():
        vw("-d", str(log.vw), "--cache_file", str(path))()
    return path


def parse(text: bytes, form: str) -> Callable[[], None]:
    def run() -> None:
        reader = formats.reader(form)
        for start in range(0, len(text), CHUNK):
            reader.feed(text[start : start + CHUNK])
        reader.finish()

    return run


def msgspec_loop(text: bytes) -> Callable[[], None]:
    """What one would write without us: decode each line, hash each feature, gather the columns."""

    def run() -> None:
        for line in text.splitlines():
            features = msgspec.json.decode(line)["features"]
            np.array([index_of(f"{name}={value}") for name, value in features.items()], np.uint32)

    return run


def river(rows: list[dict[str, str]], labels: list[int]) -> Callable[[], None]:
    from river import linear_model, optim

    named = [{f"{name}={value}": 1.0 for name, value in row.items()} for row in rows]

    def run() -> None:
        model = linear_model.LogisticRegression(optim.AdaGrad(0.1))
        for row, label in zip(named, labels, strict=True):
            model.predict_proba_one(row)
            model.learn_one(row, label)

    return run


def ours_from_dicts(rows: list[dict[str, str]], labels: list[int], step: int) -> Callable[[], None]:
    def run() -> None:
        model = LogisticRegression(22)
        for start in range(0, len(rows), step):
            model.learn(Batch.from_dicts(rows[start : start + step], labels[start : start + step]))

    return run


def ours_one_by_one(rows: list[dict[str, str]], labels: list[int]) -> Callable[[], None]:
    def run() -> None:
        model = LogisticRegression(22)
        for row, label in zip(rows, labels, strict=True):
            model.learn_one(row, label)

    return run


def sgd(batch: Batch) -> Callable[[], None]:
    from sklearn.linear_model import SGDClassifier

    matrix = batch.to_csr(22)

    def run() -> None:
        SGDClassifier(loss="log_loss").partial_fit(matrix, batch.labels, classes=[0, 1])

    return run


def nothing_but(seconds: float) -> Callable[[], float]:
    """Stand in for a limit that was measured beside: the same seconds each time."""
    return lambda: seconds


def comparisons(log: ClickLog, data: Path) -> Iterator[Comparison]:
    """Yield the rows of the table one by one: each makes what it works on when it is reached."""
    n, text = log.n, log.vw.read_bytes()
    examples = "M examples/s"
    for lanes, options, target in (("one lane", ["--learning-rate", "0.1"], 8.0), ("eight lanes", [], 7.0)):
        ours = train(log, *options)
        yield Comparison(f"VW text file to model, {lanes}", ours, VW_NAME, vw("-d", str(log.vw)), n, examples, target)
    bodies = [codec.encode_batch(log.batch.rows(a, min(a + 2000, n))) for a in range(0, n, 2000)]
    cached = vw("--cache_file", str(vw_cache(log)), "-d", str(log.vw))
    yield Comparison(
        "binary rows to model, one lane", learn_bodies(bodies, ONE_LANE), "vw from its cache", cached, n, examples, 6.0
    )
    yield Comparison(
        "binary rows to model, eight lanes against one",
        learn_bodies(bodies, None),
        "our one lane",
        learn_bodies(bodies, ONE_LANE),
        n,
        examples,
        0.85,
    )
    large = learn_rows(log.batch, 28, ONE_LANE)
    small = learn_rows(log.batch, 18, ONE_LANE)
    yield Comparison("learning, 2**28 slots against 2**18", large, "2**18 slots", small, n, examples, 1 / 2.2)
    gigabytes = "MB/s"
    yield Comparison("VW text to rows", parse(text, "vw"), "1 GB/s", nothing_but(len(text) / 1e9), len(text), gigabytes, 1.0)
    valued = text_with_values(data)
    if valued:
        limit = nothing_but(len(valued) / 0.3e9)
        yield Comparison("VW text with values to rows", parse(valued, "vw"), "0.3 GB/s", limit, len(valued), gigabytes, 1.0)
    json = log.ndjson.read_bytes()[: 40 * CHUNK]
    limit = nothing_but(len(json) / 0.4e9)
    yield Comparison("NDJSON to rows", parse(json, "ndjson"), "0.4 GB/s", limit, len(json), gigabytes, 1.0)
    some = json[: json.rindex(b"\n", 0, 2 * CHUNK) + 1]
    yield Comparison(
        "NDJSON to rows, against Python",
        parse(some, "ndjson"),
        "msgspec and a loop over features",
        msgspec_loop(some),
        some.count(b"\n"),
        examples,
        5.0,
    )
    rows, labels = log.dicts(min(n, 4000))
    peer = river(rows, labels)
    name = "river LogisticRegression(AdaGrad)"
    yield Comparison(
        "dicts to model, in batches", ours_from_dicts(rows, labels, 1000), name, peer, len(rows), examples, 10.0
    )
    yield Comparison("dicts to model, one by one", ours_one_by_one(rows, labels), name, peer, len(rows), examples, 1.0)
    yield Comparison(
        f"CSR of {FIELDS} nonzeros to model, eight lanes",
        learn_rows(log.batch, 22, None),
        "scikit-learn SGDClassifier.partial_fit",
        sgd(log.batch),
        n,
        examples,
        3.0,
    )
