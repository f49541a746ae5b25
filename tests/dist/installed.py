# mypy: disable-error-code="no-untyped-call"
"""What is installed works: ``python -I installed.py PART``, by the Python of the environment that has it.

A part is ``bare`` for the library without extras, the name of an extra, or ``client URL``. Nothing of a checkout is
imported. Each part ends by itself, with a traceback where something is not as it should be.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

TABLE = "site,hour,click\n" + "news,9,1\nsport,9,0\nnews,10,1\nsport,11,0\n" * 25
NEWS_IS_CLICKED = [("news", 1), ("sport", 0)] * 50


def nonzero(*arguments: str | Path, fails: bool = False) -> str:
    """Run the installed command; return what it printed, to stderr where it fails."""
    command = [sys.executable, Path(sys.prefix, "bin/nonzero"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 1) if fails else (done.returncode == 0), done
    return done.stderr if fails else done.stdout


def refused(package: str) -> str:
    """Import a package that cannot be; return what the error says."""
    done = subprocess.run([sys.executable, "-I", "-c", f"import {package}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    return done.stderr.splitlines()[-1]


def trained(log: Path) -> float:
    """Train a model of a log, and return the chance of a click on what was always clicked."""
    model = log.with_suffix(".safetensors")
    summary = json.loads(nonzero("train", log, "--bits", "12", "--model", model, "--json", "--overwrite"))
    assert summary["examples"] == 100, summary
    first, second = map(float, nonzero("predict", log, "--model", model).splitlines()[:2])
    assert first > 0.9 > 0.1 > second, (first, second)
    assert "100" in nonzero("inspect", model)
    return first


def bare() -> None:
    """Train, predict and inspect; what needs an extra says which."""
    assert nonzero("--version") == f"nonzero {version('nonzero-ctr')}\n"
    Path("log.csv").write_text(TABLE)
    trained(Path("log.csv"))
    Path("log.parquet").write_bytes(b"PAR1" * 4)
    for extra, said in (
        ("service", nonzero("serve", fails=True)),
        ("service", nonzero("demo", "--once", fails=True)),
        ("arrow", nonzero("train", "log.parquet", "--model", "none", fails=True)),
        ("onnx", nonzero("export", "log.safetensors", "--output", "log.onnx", fails=True)),
        ("sklearn", refused("nonzero.sklearn")),
        ("river", refused("nonzero.river")),
    ):
        assert f"pip install 'nonzero-ctr[{extra}]'" in said, (extra, said)


@contextmanager
def served() -> Iterator[str]:
    """Serve in this folder; the URL."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(Path(sys.prefix, "bin/nonzero")), "serve", "--port", str(port)]
    with Path("log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            while not is_ready(url):
                assert process.poll() is None, Path("log").read_text()
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()
    assert process.returncode == 0, Path("log").read_text()


def is_ready(url: str) -> bool:
    """Whether a service answers there."""
    try:
        with urllib.request.urlopen(f"{url}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def service() -> None:
    """Serve, learn and predict over HTTP, and start again; with ``CLIENT``, its Python has the client, which does so too."""
    for _ in range(2):
        with served() as url:
            body = {"examples": [{"features": {"site": site}, "label": label} for site, label in NEWS_IS_CLICKED]}
            assert post(url, "update", body)["accepted"] == 100
            answer = post(url, "predict", {"examples": [{"features": {"site": "news"}}]})
            assert answer["predictions"][0]["probability"] > 0.9, answer
            with urllib.request.urlopen(f"{url}/openapi.json") as described:
                assert json.load(described)["info"]["version"] == version("nonzero-ctr")
            if python := os.environ.get("CLIENT"):
                subprocess.run([python, "-I", __file__, "client", url], check=True)
    nonzero("verify", "nonzero-data")


def post(url: str, route: str, body: object) -> dict[str, Any]:
    """Post JSON to the model ``default``."""
    request = urllib.request.Request(
        f"{url}/v1/models/default/{route}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return dict(json.load(answer))


def client() -> None:
    """Stream to a service that is there, and ask it; nothing else is installed than what the client requires."""
    import nonzero_client

    assert nonzero_client.__version__ == version("nonzero-client")
    rows = [{"site": site, "click": label} for site, label in NEWS_IS_CLICKED]
    with nonzero_client.Client(sys.argv[2]) as service:
        assert service.update_stream(nonzero_client.from_rows(rows, label="click")).accepted == 100
        assert service.predict_one({"features": {"site": "news"}}).probability > 0.9
    for package in ("numpy", "nonzero", "nonzero_service"):
        assert "No module named" in refused(package)


def arrow() -> None:
    """A model of Parquet is that of the table as text."""
    import pyarrow.csv
    import pyarrow.parquet

    Path("log.csv").write_text(TABLE)
    pyarrow.parquet.write_table(pyarrow.csv.read_csv("log.csv"), "log.parquet")
    assert trained(Path("log.parquet")) == trained(Path("log.csv"))


def onnx() -> None:
    """A model is exported as a graph that ONNX knows as one."""
    from onnx import checker

    Path("log.csv").write_text(TABLE)
    trained(Path("log.csv"))
    nonzero("export", "log.safetensors", "--output", "log.onnx")
    checker.check_model("log.onnx", full_check=True)


def sklearn() -> None:
    """An estimator learns from rows, within a pipeline of scikit-learn."""
    from sklearn.pipeline import make_pipeline

    from nonzero.sklearn import NonzeroClassifier

    rows, labels = [{"site": site} for site, _ in NEWS_IS_CLICKED], [label for _, label in NEWS_IS_CLICKED]
    model = make_pipeline(NonzeroClassifier(bits=12)).fit(rows, labels)
    assert model.predict(rows).tolist() == labels


def river() -> None:
    """A classifier learns one by one, as river evaluates it."""
    from river import evaluate, metrics

    from nonzero.river import NonzeroClassifier

    stream: list[tuple[dict[Hashable, Any], bool]] = [({"site": site}, label == 1) for site, label in NEWS_IS_CLICKED]
    assert evaluate.progressive_val_score(stream, NonzeroClassifier(bits=12), metrics.Accuracy()).get() > 0.9


PARTS: dict[str, Callable[[], None]] = {
    "bare": bare, "service": service, "client": client, "arrow": arrow, "onnx": onnx, "sklearn": sklearn, "river": river
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        PARTS[sys.argv[1]]()
    sys.stdout.write(f"{sys.argv[1]} works\n")
