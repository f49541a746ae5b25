"""``nonzero train --ray``: the model of one process, to the bit, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from command_line import nonzero_here
from nonzero import LogisticRegression, __version__
from nonzero_service.cli import checkpoints
from nonzero_service.cli.backfill import ordered, parts
from nonzero_service.cli.backfill.blocks import Block, Files
from object_store import ObjectStore
from service.ray.conftest import ROWS
from service.ray.killed import killed, learn_and, tasks
from waiting import until

Workers = Callable[[int], None]

SAME = ("examples", "log_loss", "auc", "normalized_entropy", "calibration", "rejected")


def trained(place: Path, *arguments: str | Path) -> tuple[CompletedProcess[str], str]:
    """Train, and return what was said and the model's digest."""
    place.mkdir(exist_ok=True)
    model = place / "model"
    done = nonzero_here("train", *arguments, "--bits=12", "--json", "--model", model, "--overwrite")
    return done, LogisticRegression.load(model).digest() if model.exists() else ""


def said(done: CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if not line.startswith("learning: ")]


def check_same(place: Path, *arguments: str | Path) -> CompletedProcess[str]:
    """Hold what a cluster comes to against what one process comes to."""
    here, expected = trained(place, *arguments)
    done, digest = trained(place, *arguments, "--ray=local")
    assert (done.returncode, said(done)) == (here.returncode, said(here))
    assert digest == expected
    if here.stdout:
        figures, others = json.loads(done.stdout), json.loads(here.stdout)
        assert {name: figures[name] for name in SAME} == {name: others[name] for name in SAME}
    assert {path.name for path in place.iterdir()} <= {"model"}
    return done


@pytest.mark.sampled(1)
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_cluster_comes_to_the_model_of_one_process(
    logs: Path, tmp_path: Path, workers: Workers, number: int
) -> None:
    workers(number)
    for file in ("log.vw", "log.ndjson", "log.csv", "bare.csv", "log.vw.gz", "log.csv.gz", "log.parquet"):
        more = ["--columns=click,site,user"] if file == "bare.csv" else []
        assert check_same(tmp_path, logs / file, *more).returncode == 0


def test_rows_files_and_files_of_several_kinds(logs: Path, tmp_path: Path, workers: Workers) -> None:
    workers(4)
    rows = tmp_path.with_name("log.rows")
    assert nonzero_here("convert", logs / "log.vw", rows).returncode == 0
    check_same(tmp_path, rows, logs / "log.vw.gz", logs / "log.ndjson")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("file", ["log.csv", "log.parquet", "log.vw.gz"])
def test_files_of_an_object_store(
    logs: Path, tmp_path: Path, workers: Workers, object_store: ObjectStore, file: str
) -> None:
    workers(1)  # each that reads of a store imports a second's worth first
    check_same(tmp_path, object_store.put(file, (logs / file).read_bytes()))


def test_a_model_goes_on(logs: Path, tmp_path: Path, workers: Workers) -> None:
    workers(2)
    begun = tmp_path.with_name("begun")
    assert nonzero_here("train", logs / "log.csv", "--bits=12", "--model", begun).returncode == 0
    done, digest = trained(tmp_path, logs / "log.csv.gz", logs / "log.csv", "--from", begun, "--ray=local")
    here, expected = trained(tmp_path, logs / "log.csv.gz", logs / "log.csv", "--from", begun)
    assert digest == expected
    found, others = json.loads(done.stdout), json.loads(here.stdout)
    assert (found["examples"], found["whole"]) == (others["examples"], others["whole"])
    assert said(done) == said(here)


def test_settings_side_by_side(logs: Path, tmp_path: Path, workers: Workers) -> None:
    workers(2)
    tries = ("--try=bits=10", "--try=learning-rate=0.2 bits=14")
    for name, more in (("here", ()), ("there", ("--ray=local",))):
        model = tmp_path / f"{name}{{n}}"
        assert nonzero_here("train", logs / "log.vw", *tries, "--model", model, *more).returncode == 0
    digests = {path.name: LogisticRegression.load(path).digest() for path in tmp_path.iterdir()}
    assert digests["here1"] == digests["there1"] != digests["here2"] == digests["there2"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("cut.vw.gz", lambda data: data[: len(data) // 2]),
        ("damaged.parquet", lambda data: data[:10] + bytes(60) + data[70:]),
        ("empty.csv", lambda _: b""),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_its_place(
    logs: Path, tmp_path: Path, workers: Workers, name: str, change: Callable[[bytes], bytes]
) -> None:
    workers(2)
    kind = name.partition(".")[2]
    bad = tmp_path.with_name(name)
    bad.write_bytes(change((logs / f"log.{kind}").read_bytes()))
    done = check_same(tmp_path, logs / f"log.{kind}", bad)
    assert done.returncode == (0 if name == "empty.csv" else 1)


def test_what_was_read_before_the_damage_is_learned(
    logs: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is less than a part."""
    workers(2)
    monkeypatch.setattr(parts, "NONZEROS", 1 << 21)
    bad = tmp_path.with_name("cut.vw.gz")
    data = (logs / "long.vw.gz").read_bytes()
    bad.write_bytes(data[: len(data) // 2])
    done = check_same(tmp_path, bad)
    assert done.returncode == 1
    assert "cut.vw.gz, line 1004: there is no '|'" in done.stderr


def test_a_file_that_is_gone_is_told(
    logs: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers(2)
    lost = tmp_path / "lost.vw"
    lost.write_bytes((logs / "log.vw").read_bytes())
    blocks = Files.blocks

    def without(files: Files, *behind: Block | None) -> Iterator[Block]:
        for block in blocks(files, *behind):
            lost.unlink(missing_ok=True)
            yield block

    monkeypatch.setattr(Files, "blocks", without)
    done = nonzero_here("train", lost, "--bits=12", "--ray=local")
    assert done.returncode == 1
    assert "lost.vw cannot be read on " in done.stderr
    assert "No such file or directory" in done.stderr
    assert "give a path that all machines have, or a URL" in done.stderr


def kill_tasks(found: list[int]) -> None:
    found.extend(tasks())
    for one in found:
        os.kill(one, signal.SIGKILL)


def test_what_a_killed_task_was_reading_is_read_again(logs: Path, tmp_path: Path, workers: Workers) -> None:
    workers(2)
    _, expected = trained(tmp_path, logs / "long.vw.gz")
    found: list[int] = []
    with learn_and(lambda: kill_tasks(found), 2):  # it waits then, with most parts to be made
        done, digest = trained(tmp_path, logs / "long.vw.gz", "--ray=local")
    assert found
    assert done.returncode == 0, done.stderr
    assert digest == expected


@pytest.mark.soak
def test_tasks_that_wait_make_room_for_the_first_one(
    logs: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are killed are asked for again behind four others, which take all processors and wait."""
    workers(8)
    monkeypatch.setattr(ordered, "STALLED", 1)
    files = [logs / "long.vw.gz"] * 8
    _, expected = trained(tmp_path, *files)
    taken: list[Block] = []
    make_room = ordered.ClusterReader._make_room

    def counted(reader: ordered.ClusterReader) -> None:
        make_room(reader)
        taken.extend(reader._given_back)

    monkeypatch.setattr(ordered.ClusterReader, "_make_room", counted)

    def kill() -> None:
        until(lambda: len([*tasks()]) == 4)
        kill_tasks([])

    with learn_and(kill, 2):
        done, digest = trained(tmp_path, *files, "--ray=local")
    assert done.returncode == 0, done.stderr
    assert digest == expected
    assert taken


def begun(logs: Path, place: Path, file: str) -> tuple[list[str | Path], dict[str, float], str]:
    """Return a training's arguments, and the figures and the digest that one process comes to."""
    here, expected = trained(place, logs / file)
    (place / "model").unlink()
    figures = json.loads(here.stdout)
    return [logs / file, "--bits=12", "--json", "--model", place / "model"], figures, expected


def check_goes_on(place: Path, given: list[str | Path], figures: dict[str, float], digest: str) -> None:
    """Have the training that has left a checkpoint go on, and hold it against that of one process."""
    assert {path.name for path in place.iterdir()} == {"model.checkpoint"}
    done = nonzero_here("train", *given, "--ray=local")
    assert done.returncode == 0, done.stderr
    assert re.search(r"goes on from \S+/model.checkpoint, at line [1-9][\d,]+ of ", done.stderr)
    assert {path.name for path in place.iterdir()} == {"model"}
    assert LogisticRegression.load(place / "model").digest() == digest
    found = json.loads(done.stdout)
    assert {name: found[name] for name in SAME} == {name: figures[name] for name in SAME}


@pytest.mark.soak
def test_a_training_that_was_killed_goes_on(
    logs: Path, tmp_path: Path, workers: Workers, cluster: Any
) -> None:
    workers(2)
    given, figures, digest = begun(logs, tmp_path, "log.csv")
    status, told = killed(cluster.get_runtime_context().gcs_address, tmp_path, *given, nth=9)
    assert status == -signal.SIGKILL, told
    check_goes_on(tmp_path, given, figures, digest)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("file", "nth"), [("log.csv", 9), ("long.vw.gz", 5), ("log.parquet", 9)])
def test_a_training_that_has_failed_goes_on(
    logs: Path, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, file: str, nth: int
) -> None:
    workers(2)
    given, figures, digest = begun(logs, tmp_path, file)

    def fail() -> None:
        raise MemoryError

    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    monkeypatch.setattr(checkpoints, "SHARE", 0)
    with learn_and(fail, nth), pytest.raises(MemoryError):
        nonzero_here("train", *given, "--ray=local")
    other = nonzero_here("train", *given, "--interactions=site*user", "--ray=local")
    assert other.returncode == 1
    assert "--interactions was not given, and is site*user" in other.stderr
    assert "--overwrite to begin anew" in other.stderr
    check_goes_on(tmp_path, given, figures, digest)


def test_a_training_that_is_stopped_keeps_what_it_has_learned(
    logs: Path, tmp_path: Path, workers: Workers
) -> None:
    workers(2)
    with learn_and(lambda: os.kill(os.getpid(), signal.SIGINT), 5):
        done = nonzero_here("train", logs / "log.vw", "--bits=12", "--ray=local", f"--model={tmp_path}/model")
    assert done.returncode == 130, done.stderr
    found = re.search(r"stopped: ([\d,]+) examples were learned, as far as line ([\d,]+) of", done.stderr)
    assert found is not None
    examples, lines = (int(text.replace(",", "")) for text in found.groups())
    assert {path.name for path in tmp_path.iterdir()} == {"model.partial"}
    part = tmp_path.with_name("part.vw")
    part.write_bytes(b"".join((logs / "log.vw").read_bytes().splitlines(keepends=True)[:lines]))
    _, expected = trained(tmp_path.with_name("alone"), part)
    assert LogisticRegression.load(tmp_path / "model.partial").digest() == expected
    assert 0 < examples < lines < ROWS


def test_what_cannot_be_reached_or_read_is_told(
    logs: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster.is_initialized()
    done = nonzero_here("train", logs / "log.vw", "--ray=ray://head:10001")
    assert done.returncode == 2
    assert "run the command on a machine of the cluster, with --ray auto" in done.stderr
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)  # of the cluster that other tests need
    done = nonzero_here("train", logs / "log.vw", "--ray=127.0.0.1:1")
    assert done.returncode == 1
    assert "--ray 127.0.0.1:1: no cluster can be reached: [Errno 111] Connection refused" in done.stderr
    done = nonzero_here("train", logs / "log.vw", "--ray=head")
    assert done.returncode == 1
    said = "--ray head: no cluster can be reached: Invalid address format: head; give HOST:PORT of its head"
    assert said in done.stderr
    monkeypatch.setitem(sys.modules, "ray", None)
    done = nonzero_here("train", logs / "log.vw", "--ray=local")
    assert done.returncode == 1
    assert "pip install 'nonzero-ctr[ray]'; in a checkout: make .venv/ray" in done.stderr


def test_another_version_is_told(logs: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers(1)
    monkeypatch.setattr(ordered, "__version__", "0.0.9")
    done = nonzero_here("train", logs / "log.vw", "--ray=local")
    assert done.returncode == 1
    assert f"has nonzero {__version__}, and this process 0.0.9" in done.stderr
    assert "install nonzero-ctr 0.0.9" in done.stderr
