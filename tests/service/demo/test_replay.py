"""Over HTTP the service predicts and learns what the library does with the same rows."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from nonzero import Batch, LogisticRegression, formats
from nonzero.sources.files import Source
from nonzero_service.demo.log import file_log, simulated_log
from nonzero_service.demo.process import ServerError, ServerProcess
from nonzero_service.demo.replay import ReplayError, get, replay
from nonzero_service.demo.simulation import SimulatedLog

BITS = 14


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = tmp_path_factory.mktemp("data")
    with (
        ServerProcess("127.0.0.1", 0, directory, ["--bits", str(BITS)]) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        yield client


def new_model(client: httpx.Client, name: str) -> str:
    assert client.put(f"/v1/models/{name}", json={}).is_success
    return name


def rows(n: int) -> list[tuple[int, list[str]]]:
    generator = np.random.default_rng(7)
    return [
        (int(label), [f"f{value}" for value in values])
        for label, values in zip(generator.random(n) < 0.3, generator.integers(0, 40, (n, 3)), strict=True)
    ]


def vw_text(n: int) -> bytes:
    lines = (f"{label} {1 + label} |f {' '.join(names)}\n" for label, names in rows(n))
    return "".join(lines).encode()


def libsvm_text(n: int) -> bytes:
    slots = [(label, sorted({int(name[1:]) for name in names})) for label, names in rows(n)]
    lines = (f"{label} {' '.join(f'{slot}:1' for slot in named)}\n" for label, named in slots)
    return "".join(lines).encode()


def ndjson_text(n: int) -> bytes:
    examples = ({"features": {"f": names}, "label": label, "weight": 2} for label, names in rows(n))
    return "".join(json.dumps(example) + "\n" for example in examples).encode()


FILES = {"clicks.vw.gz": vw_text(730), "clicks.svm": libsvm_text(730), "clicks.ndjson": ndjson_text(730)}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_predicted_and_learned_as_by_the_library(
    client: httpx.Client, tmp_path: Path, name: str
) -> None:
    path, format_ = tmp_path / name, name.split(".")[1].replace("svm", "libsvm")
    path.write_bytes(gzip.compress(FILES[name]) if name.endswith(".gz") else FILES[name])
    model = new_model(client, format_)
    log = file_log(Source(path), formats.reader(format_), 100)
    sizes, predicted, labels = [], [], []
    for chunk, replayed in replay(client, model, log.chunks):
        assert replayed.errors == []
        assert replayed.accepted == chunk.lines.size
        sizes.append(chunk.lines.size)
        predicted.append(replayed.probabilities)
        labels.append(chunk.labels)
    assert sizes == [100] * 7 + [30]
    assert log.position() == log.total == path.stat().st_size

    library = LogisticRegression(BITS)
    batch = formats.parse(FILES[name], format_)
    expected = []
    for start in range(0, 730, 100):
        part = batch.rows(start, min(start + 100, 730))
        expected.append(library.predict(part))
        library.learn(part)
    assert (np.concatenate(predicted).astype(np.float32) == np.concatenate(expected)).all()
    assert (np.concatenate(labels) == batch.labels).all()
    assert get(client, f"/v1/models/{model}/metrics")["log_loss"] == library.metrics()["log_loss"]


def test_lines_that_cannot_be_read_are_reported_and_the_rest_goes_on(
    client: httpx.Client, tmp_path: Path
) -> None:
    lines = vw_text(250).splitlines(keepends=True)
    lines[120] = b"wrong |f a\n"
    lines[130] = b"|f unlabelled\n"
    path = tmp_path / "clicks.vw"
    path.write_bytes(b"".join(lines))
    log = file_log(Source(path), formats.reader("vw"), 100)
    parts = list(replay(client, new_model(client, "rejects"), log.chunks))
    assert [replayed.accepted for _, replayed in parts] == [100, 98, 50]
    assert [error.line for _, replayed in parts for error in replayed.errors] == [121, 131]
    chunk, replayed = parts[1]
    assert np.flatnonzero(np.isnan(chunk.labels)).tolist() == [20, 30]
    assert np.flatnonzero(np.isnan(replayed.probabilities)).tolist() == [20]


def test_the_simulated_log_is_predicted_without_its_labels(client: httpx.Client) -> None:
    log = simulated_log(1500, seed=3, size=100)
    library, whole = LogisticRegression(BITS), SimulatedLog(1500, seed=3)
    (block,) = whole.blocks()
    features = [whole.features(values) for values in block.values]
    for chunk, replayed in replay(client, new_model(client, "simulated"), log.chunks):
        assert b"label" not in chunk.unlabelled
        assert replayed.accepted == 100
    library.learn(Batch.from_dicts(features, block.clicks))
    assert get(client, "/v1/models/simulated/metrics")["log_loss"] == library.metrics()["log_loss"]


def test_what_the_service_refuses_is_an_error_that_says_so(client: httpx.Client) -> None:
    log = simulated_log(1000, seed=0, size=100)
    with pytest.raises(ReplayError, match=r"/v1/models/absent/predict was answered 404: .*absent"):
        next(replay(client, "absent", log.chunks))


def test_a_service_that_is_gone_is_an_error_that_says_so() -> None:
    log = simulated_log(1000, seed=0, size=100)
    with (
        httpx.Client(base_url="http://127.0.0.1:9", trust_env=False) as client,
        pytest.raises(ReplayError, match="does not answer"),
    ):
        next(replay(client, "default", log.chunks))


def test_a_service_that_does_not_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    server = ServerProcess("127.0.0.1", 0, tmp_path, ["--bots", "3"])
    with pytest.raises(ServerError, match=r"did not start(?s:.*)--bots"), server:
        pass
