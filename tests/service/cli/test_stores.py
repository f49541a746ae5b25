"""Commands on files of an object store: what they come to is what they come to on files of this machine."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import subprocess
import termios
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
import zstandard

from command_line import COMMAND, nonzero_here
from nonzero import LogisticRegression
from nonzero.sources.files import Source
from nonzero.sources.places import Remote
from object_store import ObjectStore, own_store
from waiting import until

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

RNG = np.random.default_rng(5)
ROWS = 12_000
TABLE = pa.table(
    {
        "id": [f"i{k:09}" for k in range(ROWS)],
        **{f"c{k}": [f"v{n}" for n in RNG.integers(0, 500, ROWS)] for k in range(4)},
        "bid": RNG.random(ROWS),
        "click": RNG.integers(0, 2, ROWS),
    }
)


def run(*arguments: str | Path) -> str:
    """Run a command that shall go well; return what it prints."""
    done = nonzero_here(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("logs")
    pc.write_csv(TABLE, place / "day.csv")
    text = (place / "day.csv").read_bytes()
    (place / "day.csv.gz").write_bytes(gzip.compress(text, mtime=0))
    (place / "day.csv.zst").write_bytes(zstandard.compress(text))
    pq.write_table(TABLE, place / "day.parquet", row_group_size=5000)
    pf.write_feather(TABLE, place / "day.arrow", compression="uncompressed", chunksize=5000)
    run("convert", place / "day.csv", place / "day.rows")
    return place


NAMES = ["day.csv", "day.csv.gz", "day.csv.zst", "day.parquet", "day.arrow", "day.rows"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_a_stored_file_is_that_of_a_local_one(
    name: str, logs: Path, object_store: ObjectStore, tmp_path: Path
) -> None:
    url = object_store.put(name, (logs / name).read_bytes())
    run("train", logs / name, "--bits=12", "--model", tmp_path / "m.safetensors")
    run("train", url, "--bits=12", "--model", f"{object_store.url}/m.safetensors")
    assert object_store.get("m.safetensors") == (tmp_path / "m.safetensors").read_bytes()
    here = run("predict", logs / name, "--model", tmp_path / "m.safetensors")
    run("predict", url, "--model", f"{object_store.url}/m.safetensors", "-o", f"{object_store.url}/p.txt.gz")
    assert gzip.decompress(object_store.get("p.txt.gz")).decode() == here
    assert object_store.uploads() == []


def test_a_pattern_names_stored_files_by_their_numbers(object_store: ObjectStore, tmp_path: Path) -> None:
    for day in (10, 2, 1):
        part = TABLE.slice(day * 100, 300)
        pq.write_table(part, tmp_path / f"{day}.parquet")
        object_store.put(f"day={day}/part.parquet", (tmp_path / f"{day}.parquet").read_bytes())
    object_store.put("day=1/_SUCCESS", b"")
    files = [tmp_path / f"{day}.parquet" for day in (1, 2, 10)]
    run("train", *files, "--bits=12", "--model", tmp_path / "m")
    done = nonzero_here(
        "train", f"{object_store.url}/day=*/*.parquet", "--bits=12", "--model", tmp_path / "n"
    )
    assert done.returncode == 0, done.stderr
    assert "day: in the names of folders, which are not read" in done.stderr
    assert (
        LogisticRegression.load(tmp_path / "m").digest() == LogisticRegression.load(tmp_path / "n").digest()
    )
    for bad, said in (
        (f"{object_store.url}/day=*/*.csv", "no file fits"),
        (f"{object_store.url}/day=1", "is a folder; give its files, such as"),
        (object_store.url, f"{object_store.url} is a bucket; give its files, such as '{object_store.url}/*."),
        ("s3://no-such-bucket/*.csv", "no file fits s3://no-such-bucket/*.csv"),
    ):
        done = nonzero_here("train", bad)
        assert done.returncode != 0
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_the_other_commands(logs: Path, object_store: ObjectStore, tmp_path: Path) -> None:
    csv = object_store.put("day.csv", (logs / "day.csv").read_bytes())
    model = f"{object_store.url}/m.safetensors"
    run("train", csv, "--bits=12", "--model", model)
    assert json.loads(run("inspect", model, "--json"))["digest"] == LogisticRegression.load(model).digest()
    assert run("evaluate", csv, "--model", model) == run("evaluate", logs / "day.csv", "--model", model)
    run("convert", csv, f"{object_store.url}/day.parquet")
    (tmp_path / "day.parquet").write_bytes(object_store.get("day.parquet"))
    assert pq.read_table(tmp_path / "day.parquet").num_rows == ROWS
    run("convert", csv, f"{object_store.url}/day.rows", "--like", model)
    run("export", model, "-o", f"{object_store.url}/m.json")
    assert json.loads(object_store.get("m.json"))
    shown = "id,time,site\n" + "".join(f"i{k},{k},s{k % 3}\n" for k in range(100))
    clicks = "id,time\n" + "".join(f"i{k},{k + 1}\n" for k in range(0, 100, 5))
    files = [object_store.put(f"{len(text)}.csv", text.encode()) for text in (shown, clicks)]
    out = f"{object_store.url}/joined.csv"
    run("join", *files, "--id=id", "--time=time:s", "--window=10", "-o", out)
    joined = object_store.get("joined.csv").decode().splitlines()
    assert [line.endswith(",1") for line in joined].count(True) == 20
    assert object_store.uploads() == []


def test_what_is_there_is_not_replaced_unless_it_is_said(logs: Path, object_store: ObjectStore) -> None:
    model = object_store.put("m.safetensors", b"another's")
    log = logs / "day.csv"
    done = nonzero_here("train", log, "--bits=12", "--model", model)
    assert done.returncode == 2
    assert "is there already; name another file, or replace it by --overwrite" in done.stderr
    assert object_store.get("m.safetensors") == b"another's"
    run("train", log, "--bits=12", "--model", model, "--overwrite")
    examples = LogisticRegression.load(model).examples
    run("train", log, "--from", model, "--model", model)
    assert LogisticRegression.load(model).examples == 2 * examples
    for bad, said in (
        (f"{object_store.url}/", "is a folder; name a file in it"),
        ("s3://no-such-bucket/m", "there is no bucket no-such-bucket"),
        ("https://127.0.0.1:1/m", "cannot be written: files of a web server are only read"),
    ):
        done = nonzero_here("train", log, "--model", bad)
        assert done.returncode != 0
        assert said in done.stderr
    done = nonzero_here("convert", log, f"{object_store.url}/day.xyz")
    assert done.returncode == 2
    csv = object_store.put("day.csv", log.read_bytes())
    done = nonzero_here("predict", csv, "--model", model, "-o", csv, "--overwrite")
    assert "is a file that is read; name another" in done.stderr
    assert object_store.get("day.csv") == log.read_bytes()


def test_what_fails_half_way_leaves_nothing(
    logs: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonzero.persistence.store_writing._PART", 5 << 20)
    text = (logs / "day.csv").read_bytes()
    csv = object_store.put("day.csv.gz", gzip.compress(text * 8, 1, mtime=0)[:-2_000])
    done = nonzero_here("convert", csv, f"{object_store.url}/day.tsv")
    assert done.returncode == 1
    assert "is damaged, or not whole" in done.stderr
    assert object_store.keys() == ["day.csv.gz"]
    assert object_store.uploads() == []


def is_empty(pipe: int) -> bool:
    """Whether all that was written to a pipe has been read."""
    return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_training_that_is_stopped_is_stored_as_partial(name: str, object_store: ObjectStore) -> None:
    """The log comes by a pipe that stays open: the command waits for more of it."""
    model = f"{object_store.url}/m.safetensors"
    lines = b"".join(b"%d |site s%d\n" % (k % 3 == 0, k % 97) for k in range(200_000))
    command = [*COMMAND, "train", "-", "--format=vw", "--bits=12", "--model", model]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        running.stdin.write(lines)
        running.stdin.flush()
        until(partial(is_empty, running.stdin.fileno()))
        time.sleep(0.5)  # until what was read is learned from
        running.send_signal(getattr(signal, name))
        said = running.stderr.read().decode()
        running.stdin.close()
    assert running.returncode == 130, said
    assert f"saved as {model}.partial, which --from goes on from; {model} is not there" in said
    assert object_store.keys() == ["m.safetensors.partial"]
    assert LogisticRegression.load(f"{model}.partial").examples > 100_000


def test_what_is_stopped_while_it_is_sent_leaves_nothing(object_store: ObjectStore) -> None:
    """More is written than a part of an upload, which has begun: it is given up."""
    line = b"1," + b"s" * 2000 + b"\n"
    command = [*COMMAND, "convert", "-", f"{object_store.url}/log.tsv", "--format=csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stderr is not None
        running.stdin.write(b"click,site\n")
        for _ in range(20):
            running.stdin.write(line * 1000)
        running.stdin.flush()
        until(object_store.uploads)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read().decode()
        running.stdin.close()
    assert running.returncode == 130, said
    assert f"nothing was written: {object_store.url}/log.tsv is not there" in said
    assert object_store.keys() == []
    assert object_store.uploads() == []


def test_of_parquet_only_what_is_used_is_fetched(tmp_path: Path) -> None:
    wide = pa.table(
        {
            "site": [f"s{n}" for n in RNG.integers(0, 50, 40_000)],
            "click": RNG.integers(0, 2, 40_000),
            **{f"more{k}": RNG.random(40_000) for k in range(30)},
        }
    )
    pq.write_table(wide, tmp_path / "wide.parquet", row_group_size=10_000)
    with own_store() as (store, address):
        store.files["/wide.parquet"] = (tmp_path / "wide.parquet").read_bytes()
        for name, file in (("a", f"{address}/wide.parquet"), ("b", tmp_path / "wide.parquet")):
            run("train", file, "--bits=12", "--ignore=more*", "--model", tmp_path / f"m.{name}")
        digests = {LogisticRegression.load(file).digest() for file in tmp_path.glob("m.*")}
        assert len(digests) == 1
        assert store.bytes_sent() < len(store.files["/wide.parquet"]) / 5


def test_a_stored_file_is_known_by_what_a_listing_said(object_store: ObjectStore) -> None:
    from nonzero.sources.store_errors import ChangedError
    from nonzero.sources.stores import found_by

    object_store.put("day.vw", b"1 |site a\n")
    [found] = found_by(Remote(f"{object_store.url}/*.vw"))
    source = Source(found)
    assert source.size == 10
    assert b"".join(source) == b"1 |site a\n"
    object_store.put("day.vw", b"0 |site b\n")
    with pytest.raises(ChangedError):
        b"".join(Source(found))
