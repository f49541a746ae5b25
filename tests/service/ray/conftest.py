"""One cluster of this machine for all tests of ``--ray``, and logs of each kind."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from nonzero_service.cli.backfill import blocks, ordered, parts
from nonzero_service.cli.backfill.cluster import connected
from object_store import ENVIRONMENT
from service.ray.killed import SMALL

ROWS = 6_000


@pytest.fixture(scope="session")
def cluster(s3_endpoint: str) -> Iterator[Any]:
    """A cluster of four processors, to which this process is connected; it reads of an object store."""
    if find_spec("ray") is None:  # importing it here would settle what it takes from the environment
        pytest.skip("Ray is not installed: make .venv/ray")
    theirs = {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": s3_endpoint}
    with patch.dict(os.environ), ExitStack() as stack:
        os.environ.update(theirs)
        ray = stack.enter_context(connected("local", 4))
        for name in theirs:
            del os.environ[name]
        yield ray


@pytest.fixture
def workers(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have so many blocks read at the same time, small ones, in several parts each."""
    assert cluster.is_initialized()
    monkeypatch.setattr(blocks, "SMALLEST", SMALL["SMALLEST"])
    monkeypatch.setattr(parts, "NONZEROS", SMALL["NONZEROS"])

    def limit(number: int) -> None:
        monkeypatch.setattr(ordered.ClusterReader, "_window", property(lambda _: number))

    return limit


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some thousand examples in each format, with lines that cannot be read."""
    import pyarrow
    import pyarrow.parquet

    place = tmp_path_factory.mktemp("logs")
    chance = random.Random(7)
    rows = [
        (int(chance.random() < 0.3), f"s{chance.randrange(50)}", f"u{chance.randrange(900)}", chance.random())
        for _ in range(ROWS)
    ]
    with (place / "log.vw").open("w") as vw, (place / "log.ndjson").open("w") as ndjson:
        for k, (label, site, user, bid) in enumerate(rows):
            vw.write("neither label nor features\n" if k % 997 == 5 else "")
            vw.write(f"{2 * label - 1} |site {site} |user {user} |bid {bid if k % 5 else 'none'}\n")
            example = {"features": {"site": site, "user": user, "bid": bid}, "label": label}
            ndjson.write(json.dumps(example) + "\n")
    with (place / "log.csv").open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["click", "site", "user", "said"])
        for k, (label, site, user, _) in enumerate(rows):
            said = 'they said "no"\n\nand, later, 1,"yes"\n' * (k % 40) if k % 7 == 0 else "nothing"
            writer.writerow([label if k % 1009 else "maybe", site, user, said])
    with (place / "bare.csv").open("w", newline="") as text:
        csv.writer(text).writerows((label, site, user) for label, site, user, _ in rows)
    for name in ("log.vw", "log.csv"):
        (place / f"{name}.gz").write_bytes(gzip.compress((place / name).read_bytes(), 1))
    # A task hands it over in ten parts or so, and waits after two.
    (place / "long.vw.gz").write_bytes(gzip.compress((place / "log.vw").read_bytes() * 40, 1))
    columns = dict(zip(("click", "site", "user", "bid"), zip(*rows, strict=True), strict=True))
    table = pyarrow.table({name: [*values] for name, values in columns.items()})
    pyarrow.parquet.write_table(table, place / "log.parquet", row_group_size=700)
    return place
