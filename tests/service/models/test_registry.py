from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import structlog

from nonzero import FTRL, AdaGrad, Batch, LogisticRegression, SettingsError
from nonzero.persistence import snapshot
from nonzero.persistence.rows import ArrayRows
from nonzero_service.journal.errors import JournalDamagedError, LockedError
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings
from service.failures import no_failure
from service.labelling import LABELLING

FILE = {"content-type": "application/vnd.safetensors"}


def test_default_exists(client: httpx.Client) -> None:
    assert "default" in [one["model"] for one in client.get("/v1/models").json()["models"]]
    state = client.get("/v1/models/default").json()
    known = {"model", "settings", "sequence", "bytes", "created", "follows", "followers"}
    assert state.keys() == known | {"learning", "mixture", "late_labels", "replica", "topics"}
    assert state["settings"]["bits"] == 18
    assert len(state["settings"]["lanes"]) == 8
    assert state["bytes"] == LogisticRegression(18).nbytes


def test_a_model_with_settings_of_its_own(client: httpx.Client) -> None:
    path = "/v1/models/own_1-x"
    made = client.put(path, json={"bits": 8, "learning_rate": 0.5})
    assert made.status_code == 201
    assert made.json()["settings"] == LogisticRegression(8, AdaGrad(0.5)).settings | LABELLING
    again = client.put(path, json={"bits": 8})
    assert (again.status_code, again.json()) == (200, made.json())
    assert client.put(path, json={"bits": 9}).status_code == 409
    assert client.get(path).json().items() >= made.json().items()
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        (["adagrad", "kalman"], 201),
        (["adagrad", "ftrl"], 201),
        (["ftrl", "kalman"], 422),
    ],
)
def test_eight_rules_are_mixed_or_combined(client: httpx.Client, rules: list[str], status: int) -> None:
    made = client.put(
        f"/v1/models/{'-'.join(rules)}", json={"optimizer": [{"rule": rule} for rule in rules * 4]}
    )
    assert made.status_code == status
    assert status == 201 or "'kalman' stands among eight of" in made.json()["detail"]


def test_without_settings_it_has_the_services(client: httpx.Client) -> None:
    bodies: list[dict[str, Any]] = [{}, {"json": {}}]
    for body in bodies:
        assert client.put("/v1/models/plain", **body).json()["settings"]["bits"] == 18
        client.delete("/v1/models/plain")


@pytest.mark.parametrize("name", ["UPPER", "-a", "a" * 65, "a.b", "%2e%2e", "ä"])
def test_a_name_that_is_none(client: httpx.Client, name: str) -> None:
    assert client.put(f"/v1/models/{name}", json={}).status_code in (404, 422)


def test_a_trained_model_is_uploaded_and_downloaded(client: httpx.Client, tmp_path: Path) -> None:
    trained = LogisticRegression(10, AdaGrad(0.2))
    for j in range(50):
        trained.learn_one({"site": f"s{j % 3}"}, j % 2)
    trained.save(tmp_path / "trained")
    content = (tmp_path / "trained").read_bytes()
    path = "/v1/models/uploaded"
    made = client.put(path, content=content, headers=FILE)
    assert made.status_code == 201
    assert (made.json()["settings"], made.json()["sequence"]) == (trained.settings | LABELLING, 50)
    assert client.put(path, content=content, headers=FILE).status_code == 409
    latest = client.get(f"{path}/snapshots/latest")
    assert latest.headers["content-type"] == "application/vnd.safetensors"
    (tmp_path / "latest").write_bytes(latest.content)
    assert LogisticRegression.load(tmp_path / "latest").digest() == trained.digest()

    client.post(f"{path}/update", json={"features": {"site": "s1"}, "label": 1})
    trained.learn_one({"site": "s1"}, 1)
    taken = client.post(f"{path}/snapshots")
    assert taken.status_code == 201
    (tmp_path / "latest").write_bytes(client.get(f"{path}/snapshots/latest").content)
    assert taken.json() == {
        "model": "uploaded",
        "sequence": 51,
        "bytes": (tmp_path / "latest").stat().st_size,
    }
    assert LogisticRegression.load(tmp_path / "latest").digest() == trained.digest()
    client.delete(path)


def test_a_damaged_file_makes_no_model(client: httpx.Client, tmp_path: Path) -> None:
    LogisticRegression(8).save(tmp_path / "model")
    content = bytearray((tmp_path / "model").read_bytes())
    content[-1] ^= 1
    answer = client.put("/v1/models/damaged", content=bytes(content), headers=FILE)
    assert answer.status_code == 422
    assert "/" not in answer.json()["detail"]
    assert client.get("/v1/models/damaged").status_code == 404


def test_no_snapshot_yet(client: httpx.Client, model: str) -> None:
    assert client.get(f"{model}/snapshots/latest").status_code == 404


def test_metrics_are_null_where_they_are_not_defined(client: httpx.Client, model: str) -> None:
    empty = client.get(f"{model}/metrics").json()
    assert (empty["examples"], empty["sequence"], empty["log_loss"], empty["auc"]) == (0, 0, None, None)
    client.post(f"{model}/update", json={"examples": [{"features": {}, "label": 0}] * 3})
    some = client.get(f"{model}/metrics").json()
    assert (some["examples"], some["auc"], some["calibration"]) == (3, None, None)
    assert some["log_loss"] == some["recent"]["log_loss"] > 0


def test_models_learn_apart(client: httpx.Client, model: str) -> None:
    before = client.get("/v1/models/default").json()["sequence"]
    client.post(f"{model}/update", json={"features": {}, "label": 0})
    assert client.get("/v1/models/default").json()["sequence"] == before


def test_of_many_who_make_one_model_one_does(service: object, client: httpx.Client) -> None:
    statuses: list[int] = []

    def make() -> None:
        with service.client() as own:  # type: ignore[attr-defined]
            statuses.append(own.put("/v1/models/race", json={"bits": 16}).status_code)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(201) == 1
    assert set(statuses) <= {200, 201, 409}
    client.delete("/v1/models/race")


def test_a_deleted_default_stays_deleted(tmp_path: Path) -> None:
    async def run() -> None:
        settings = Settings.load(data_dir=tmp_path, bits=4)
        first = Models(settings, no_failure)
        await first.open()
        await first.delete("default")
        await first.close()
        second = Models(settings, no_failure)
        await second.open()
        assert second.all() == []
        await second.close()

    asyncio.run(run())


def test_a_first_start_that_failed_is_made_up_for(tmp_path: Path) -> None:
    """A file that cannot be imported leaves no directory that passes for one without a default model."""

    async def start(trained: Path | None) -> list[str]:
        models = Models(Settings.load(data_dir=tmp_path / "data", bits=4, import_file=trained), no_failure)
        try:
            await models.open()
            return [served.name for served in models.all()]
        finally:
            await models.close()

    with pytest.raises(FileNotFoundError):
        asyncio.run(start(tmp_path / "missing"))
    LogisticRegression(5).save(tmp_path / "trained")
    assert asyncio.run(start(tmp_path / "trained")) == ["default"]


def trained(place: Path, label: int) -> Path:
    model = LogisticRegression(5)
    model.learn_one({"a": "b"}, label)
    model.save(place)
    return place


def starts_with(data_dir: Path, file: Path | None, *then: str) -> list[str]:
    """Start once; return the models that there are, and end."""

    async def run() -> list[str]:
        models = Models(Settings.load(data_dir=data_dir, bits=4, import_file=file), no_failure)
        try:
            await models.open()
            if "learn" in then:
                await models.get("default").learner.submit(Batch.from_dicts([{"a": "c"}], [1]))
            if "delete" in then:
                await models.delete("default")
            return [served.name for served in models.all()]
        finally:
            await models.close()

    return asyncio.run(run())


def test_a_file_is_imported_once_and_another_is_refused(tmp_path: Path) -> None:
    """A container that is started anew has the same flags, and a model that has learned more since."""
    data, first = tmp_path / "data", trained(tmp_path / "first", 1)
    assert starts_with(data, first, "learn") == ["default"]
    assert starts_with(data, first) == starts_with(data, None) == ["default"]
    other = trained(tmp_path / "other", 0)
    with pytest.raises(SettingsError, match=r"other is not imported: .*/default is a model already"):
        starts_with(data, other)
    with pytest.raises(FileNotFoundError):
        starts_with(data, tmp_path / "missing")
    shutil.copy(first, tmp_path / "copy")
    assert starts_with(data, tmp_path / "copy") == ["default"]


def test_a_file_is_not_imported_beside_a_model_of_settings(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert starts_with(data, None) == ["default"]
    with pytest.raises(SettingsError, match="start without --import"):
        starts_with(data, trained(tmp_path / "file", 1))
    assert starts_with(data, None) == ["default"]


def test_what_cannot_be_told_is_warned_of(tmp_path: Path) -> None:
    """The model was deleted; or an older release has not noted where it came from."""
    data, file = tmp_path / "data", trained(tmp_path / "file", 1)
    starts_with(data, file)
    kept = data / "models" / "default" / "model.json"
    noted = json.loads(kept.read_bytes())
    del noted["file"]
    kept.write_text(json.dumps(noted))
    with structlog.testing.capture_logs() as logged:
        assert starts_with(data, file, "delete") == []
        assert starts_with(data, file) == []
    assert [line["event"].partition(":")[2] for line in logged if line["log_level"] == "warning"] == [
        " it is not known of which file the model is",
        " the model was deleted",
    ]


def test_a_second_service_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        settings = Settings.load(data_dir=tmp_path, bits=4)
        first, second = Models(settings, no_failure), Models(settings, no_failure)
        await first.open()
        with first.folder.workplace() as place:
            (place / "upload").write_bytes(b"half")
            with pytest.raises(LockedError, match=f"process {os.getpid()}"):
                await second.open()
            await second.close()
            assert (place / "upload").exists()
        await first.close()
        await second.open()
        await second.close()

    asyncio.run(run())


def test_a_model_is_made_with_rules_and_interactions_of_its_own(client: httpx.Client) -> None:
    path = "/v1/models/crossed"
    wanted = {"bits": 10, "optimizer": {"rule": "ftrl", "l1": 0.5}, "interactions": ["site*hour"]}
    made = client.put(path, json=wanted)
    alone = LogisticRegression(10, FTRL(l1=0.5), interactions=["site*hour"])
    assert (made.status_code, made.json()["settings"]) == (201, alone.settings | LABELLING)
    assert client.put(path, json=wanted).status_code == 200
    assert client.put(path, json=wanted | {"interactions": []}).status_code == 409
    assert client.put(path, json=wanted | {"optimizer": {"rule": "ftrl"}}).status_code == 409
    rows = [{"site": f"s{j % 3}", "hour": f"h{j % 2}"} for j in range(200)]
    labels = [(j % 3 == 0) ^ (j % 2 == 0) for j in range(200)]
    alone.learn(Batch.from_dicts(rows, labels))
    examples = [{"features": row, "label": label} for row, label in zip(rows, labels, strict=True)]
    client.post(f"{path}/update", json={"examples": examples})
    found = client.post(f"{path}/predict", json={"features": rows[0]}).json()["predictions"][0]
    assert np.float32(found["probability"]) == alone.predict_one(rows[0])
    parts = client.post(f"{path}/explain", json={"features": rows[0]}).json()["contributions"]
    assert [(part["feature"], part["field"]) for part in parts] == [
        ("site=s0", "site"),
        ("hour=h0", "hour"),
        ("site=s0*hour=h0", "site*hour"),
    ]
    assert client.get(f"{path}/diagnosis").json()["remedy"]["setting"] == {"optimizer": "auto"}
    client.delete(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"rule": "sgd"}},
        {"optimizer": {"rule": "ftrl", "l1": -1}},
        {"optimizer": {"rule": "ftrl", "rate": 1}},
        {"optimizer": [{"rule": "ftrl"}] * 2},
        {"optimizer": {"rule": "ftrl"}, "learning_rate": 0.1},
        {"interactions": ["site"]},
        {"interactions": ["a*b", "b*a"]},
    ],
)
def test_rules_and_interactions_that_are_none_are_refused(
    client: httpx.Client, settings: dict[str, object]
) -> None:
    answer = client.put("/v1/models/refused", json=settings)
    assert answer.status_code == 422, answer.text


def test_a_file_too_large_for_memory_is_refused_before_it_is_read(
    client: httpx.Client, tmp_path: Path
) -> None:
    """The sizes are in its header: neither its table nor that of its settings takes memory."""
    metadata = {"settings": LogisticRegression(4).settings | {"bits": 30}, "notes": {}}
    tensors = {"table": ArrayRows(np.zeros((17, 16), np.float32))}
    snapshot.write(tmp_path / "large", tensors, metadata)
    answer = client.put("/v1/models/large", content=(tmp_path / "large").read_bytes(), headers=FILE)
    assert answer.status_code == 422
    assert "30 bits and 8 lanes takes 131072 MiB" in answer.json()["detail"]
    assert client.get("/v1/models/large").status_code == 404
    metadata["settings"]["bits"] = 20
    snapshot.write(tmp_path / "other", tensors, metadata)
    answer = client.put("/v1/models/large", content=(tmp_path / "other").read_bytes(), headers=FILE)
    assert (answer.status_code, "its table has 17 rows" in answer.json()["detail"]) == (422, True)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("change", ["put", "delete"])
def test_a_client_that_goes_leaves_nothing_half_done(tmp_path: Path, change: str) -> None:
    """Its request is given up at any moment; what it began is done to its end."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure)
        await models.open()
        for turns in range(12):
            if change == "delete":
                await models.create("x")
            work = models.create("x") if change == "put" else models.delete("x")
            request = asyncio.create_task(work)
            for _ in range(turns):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            await models._changes.ended()
            served, there = models.find("x") is not None, (tmp_path / "models" / "x").exists()
            assert served == there
            assert (
                sorted(path.name for path in (tmp_path / "models").iterdir()) == ["default", "x"][: 1 + there]
            )
            if served:
                await models.delete("x")
        await models.close()

    asyncio.run(run())


def test_a_start_that_fails_closes_what_it_opened(tmp_path: Path) -> None:
    """The third model is damaged: the two before it are let go, and so is the data directory."""

    async def begin() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure)
        await models.open()
        for name in ("x", "y"):
            await models.create(name)
        await models.close()

    async def start() -> None:
        await Models(Settings.load(data_dir=tmp_path, bits=4, learning_rate=0.1), no_failure).open()

    asyncio.run(begin())
    (tmp_path / "models" / "y" / "mark").write_bytes(b"?")
    for _ in range(2):  # the second finds no lock that is held
        with pytest.raises(JournalDamagedError, match="mark"):
            asyncio.run(start())
    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()]
    assert not [path for path in opened if str(tmp_path) in path]
