"""``nonzero demo`` replays, reports, serves until it is told to stop, and leaves nothing behind."""

import gzip
import itertools
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from command_line import COMMAND, nonzero
from machine import children
from nonzero import Batch, LogisticRegression, Schema, formats
from nonzero_service.demo.simulation import SimulatedLog
from real_data import real_data
from waiting import SECONDS

FIGURES = re.compile(r"^(log loss|AUC|calibration) +(\S+) +(\S+)$", re.MULTILINE)


def figures(text: str) -> dict[str, tuple[float, float]]:
    """Return the server's figures and those over HTTP from a summary."""
    return {name: (float(server), float(over_http)) for name, server, over_http in FIGURES.findall(text)}


def test_the_summary_tells_the_servers_figures_those_over_http_and_the_distance_to_the_truth() -> None:
    done = nonzero("demo", "--once", "--port=0", "--bits=14", "--examples=5000", "--chunk=500", "--seed=1")
    assert done.returncode == 0, done.stderr
    found = figures(done.stdout)
    log = SimulatedLog(5000, seed=1)
    (block,) = log.blocks()
    batch = Batch.from_dicts([log.features(values) for values in block.values], block.clicks)
    model, chunked = LogisticRegression(14), LogisticRegression(14)
    model.learn(batch)
    metrics = model.metrics()
    predicted = []
    for start in range(0, 5000, 500):
        predicted.append(chunked.predict(batch.rows(start, start + 500)))
        chunked.learn(batch.rows(start, start + 500))
    p = np.concatenate(predicted).astype(np.float64)
    loss = -np.where(block.clicks, np.log(p), np.log1p(-p)).mean()
    assert found["log loss"] == pytest.approx((metrics["log_loss"], loss), abs=1e-5)
    assert found["AUC"][0] == pytest.approx(metrics["auc"], abs=1e-4)
    assert found["calibration"] == pytest.approx(
        (metrics["calibration"], p.mean() / block.clicks.mean()), abs=1e-4
    )
    distance = np.abs(p - block.rates)
    assert f"{distance[2250:2500].mean():.4f}" in done.stdout
    assert f"{distance[2500:2750].mean():.4f}" in done.stdout


@contextmanager
def demo(*arguments: str | Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Start ``nonzero demo`` and wait until it has replayed its log and says where it serves."""
    command = [*COMMAND, "demo", "--port=0", "--bits=12", "--examples=1000", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Serving at "):
                    yield process, line.split()[2]
                    break
        finally:
            process.terminate()  # a kill would leave the service that it started


@pytest.mark.sampled(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_keeps_serving_until_it_is_told_to_stop(number: signal.Signals) -> None:
    with demo() as (process, url):
        example = {"features": {"site": "site-1", "ad": "ad-1"}}
        answer = httpx.post(f"{url}/v1/models/default/predict", json=example, trust_env=False)
        assert 0 < answer.json()["predictions"][0]["probability"] < 1
        assert answer.json()["sequence"] == 1000
        directory = data_directory(process.pid)
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
        assert not directory.exists()


def test_a_service_that_ends_by_itself_is_a_failure() -> None:
    with demo() as (process, _):
        (child,) = children(process.pid)
        os.kill(child, signal.SIGKILL)
        assert process.wait(SECONDS) == 1


def data_directory(pid: int) -> Path:
    (child,) = children(pid)
    arguments = Path(f"/proc/{child}/cmdline").read_text().split("\0")
    directory = Path(arguments[arguments.index("--data-dir") + 1])
    assert directory.is_dir()
    return directory


def test_a_kept_data_directory_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "clicks.vw"
    path.write_bytes(b"1 |f a b\n-1 |f b c\n" * 100)
    arguments = ("demo", path, "--once", "--port=0", "--bits=12", "--data-dir", tmp_path / "data")
    first, second = nonzero(*arguments), nonzero(*arguments)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "200 examples that the model had learned from before" not in first.stdout
    assert "200 examples that the model had learned from before" in second.stdout


@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", ["ndjson", "vw", "csv"])
def test_the_service_learns_by_the_schema_that_the_file_is_read_by(tmp_path: Path, form: str) -> None:
    text = {
        "ndjson": '{"label": %d, "features": {"bid": %d, "site": "s%d", "noise": "n%d"}}\n',
        "vw": "%d |bid %d |site s%d |noise n%d\n",
        "csv": "%d,%d,s%d,n%d\n",
    }[form]
    lines = (text % (k % 3 == 0 or (form == "vw") * -1, k % 4, k % 7, k) for k in range(300))
    path = tmp_path / f"clicks.{form}"
    path.write_text("label,bid,site,noise\n" * (form == "csv") + "".join(lines))
    schema = Schema({"bid": "category", "noise": "ignore"}, default="category")
    said = ("--schema", json.dumps(schema.to_dict()))
    with demo(path, *said) as (_, url):
        served = httpx.get(f"{url}/v1/models/default", trust_env=False).json()["settings"]["schema"]
        figures = httpx.get(f"{url}/v1/models/default/metrics", trust_env=False).json()
    model = LogisticRegression(12, schema=schema)
    model.learn(formats.parse(path.read_bytes(), form, schema=schema))
    assert served == schema.to_dict()
    assert (figures["examples"], figures["log_loss"]) == (300, model.metrics()["log_loss"])
    if form != "csv":  # of which all columns are categories that nobody declares as numbers
        other = LogisticRegression(12)
        other.learn(formats.parse(path.read_bytes(), form))
        assert figures["log_loss"] != other.metrics()["log_loss"]


def test_a_taken_port_is_a_failure_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = nonzero("demo", "--once", f"--port={port}")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"nonzero: port {port} of 127.0.0.1 is taken; stop what listens there, or choose another with --port"
    ]


def test_real_clicks_give_the_librarys_figure(tmp_path: Path) -> None:
    path = tmp_path / "clicks.csv"
    with gzip.open(real_data("criteo_attribution.csv.gz")) as whole:
        path.write_bytes(b"".join(itertools.islice(whole, 10_001)))
    done = nonzero("demo", path, "--once", "--port=0", "--bits=18")
    assert done.returncode == 0, done.stderr
    assert "10,000 examples predicted" in done.stdout
    trained = nonzero("train", path, "--json", "--bits=18", "--model", tmp_path / "model")
    assert figures(done.stdout)["log loss"][0] == pytest.approx(
        json.loads(trained.stdout)["log_loss"], abs=1e-5
    )


@pytest.mark.soak
def test_real_clicks_untuned() -> None:
    done = nonzero("demo", real_data("criteo_attribution.csv.gz"), "--once", "--port=0")
    assert done.returncode == 0, done.stderr
    assert "165,152 examples predicted" in done.stdout
    server, over_http = figures(done.stdout)["log loss"]
    assert server <= 0.6209
    assert over_http <= 0.63
