"""What a service keeps on disk is in proportion to what models have learned; older files are taken too."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.model.test_saving import OLDER, older
from nonzero import LogisticRegression
from nonzero_service.cli import main
from nonzero_service.journal.snapshots import SnapshotFolder

Start = Callable[..., Any]
PATH = "/v1/models/default"
FILE = {"content-type": "application/vnd.safetensors"}


def files(directory: Path) -> dict[str, bytes]:
    """Return what is in the snapshots of all models under a directory."""
    return {str(path): path.read_bytes() for path in directory.rglob("*.safetensors*")}


def kept(client: httpx.Client) -> int:
    taken = client.post(f"{PATH}/snapshots")
    assert taken.status_code == 201
    return int(taken.json()["bytes"])


def test_a_stop_after_nothing_was_learned_writes_no_snapshot(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        running = start(tmp_path / "data", bits=22).until_ready()
        with running.client() as client:
            assert client.post(f"{PATH}/predict", json={"features": {"a": "b"}}).status_code == 200
        assert running.stop() == 0
        assert files(tmp_path) == {}
    running = start(tmp_path / "data", bits=22).until_ready()
    with running.client() as client:
        assert client.post(f"{PATH}/update", json={"features": {"a": "b"}, "label": 1}).status_code == 200
    assert running.stop() == 0
    [(path, content)] = files(tmp_path).items()
    assert len(content) < 16 << 10
    running = start(tmp_path / "data", bits=22).until_ready()
    assert running.stop() == 0
    assert files(tmp_path) == {path: content}


def test_what_was_learned_just_before_a_stop_is_in_its_snapshot(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", bits=12).until_ready()
    with running.client() as client:
        rows = [{"features": {"site": f"s{j % 9}"}, "label": j % 2} for j in range(900)]
        assert client.post(f"{PATH}/update", json={"examples": rows}).status_code == 200
    assert running.stop() == 0
    [newest] = SnapshotFolder(tmp_path / "data/models/default/snapshots").all()
    assert LogisticRegression.load(newest.path).examples == 900


def test_a_snapshot_of_a_large_table_grows_with_what_is_learned(start: Start) -> None:
    with start(bits=22).until_ready().client() as client:
        sizes = [kept(client)]
        for part in range(3):
            rows = [{"features": {"user": f"u{part}-{j}"}, "label": j % 2} for j in range(500)]
            assert client.post(f"{PATH}/update", json={"examples": rows}).status_code == 200
            sizes.append(kept(client))
    assert sizes[0] < 16 << 10
    assert sizes[-1] < (16 << 10) + 1500 * (64 + 12 + 16 + 64)
    assert sizes == sorted(sizes)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("way", ["put", "import"])
@pytest.mark.parametrize("name", ["eight lanes", "version 1", "one lane"])
def test_a_file_of_the_format_before_becomes_a_model(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, way: str
) -> None:
    with zipfile.ZipFile(OLDER) as stored:
        file = Path(stored.extract(name, tmp_path))
    settings = {"import_file": str(file)} if way == "import" else {}
    running = start(tmp_path / "data", bits=4, **settings).until_ready()
    model = "default" if way == "import" else "older"
    with running.client() as client:
        if way == "put":
            made = client.put(f"/v1/models/{model}", content=file.read_bytes(), headers=FILE)
            assert made.status_code == 201
        latest = client.get(f"/v1/models/{model}/snapshots/latest")
        (tmp_path / "latest").write_bytes(latest.content)
        assert LogisticRegression.load(tmp_path / "latest").digest() == older()[name]["digest"]
        assert len(latest.content) < file.stat().st_size / 40
        update = client.post(f"/v1/models/{model}/update", json={"features": {"a": "b"}, "label": 1})
        assert update.status_code == 200
    assert running.stop() == 0
    with pytest.raises(SystemExit) as exited:
        main(["verify", str(tmp_path / "data")])
    assert exited.value.code == 0, capsys.readouterr().out
