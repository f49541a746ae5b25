"""Models, their figures and files, over a real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.calling import Calling, calling
from nonzero import LogisticRegression
from nonzero_client import (
    ConflictError,
    ContentError,
    InputError,
    NotFoundError,
    TimedOutError,
    UnavailableError,
)
from service.conftest import Start
from waiting import until


def test_models_are_made_listed_read_and_deleted(client: Calling) -> None:
    made = client.create_model("ads", {"bits": 10, "learning_rate": 0.1})
    assert (made["model"], made["sequence"], made["settings"]["bits"]) == ("ads", 0, 10)
    assert client.create_model("ads", {"bits": 10}).items() <= client.get_model("ads").items()
    with pytest.raises(ConflictError, match="its bits is 10, not 11") as conflict:
        client.create_model("ads", {"bits": 11})
    assert not conflict.value.outcome_unknown
    with pytest.raises(ContentError, match="bits"):
        client.create_model("too-large", {"bits": 99})
    assert [state["model"] for state in client.list_models()] == ["ads", "default"]
    client.delete_model("ads")
    for call in (client.get_model, client.metrics, client.diagnosis, client.delete_model):
        with pytest.raises(NotFoundError, match="no model named 'ads'"):
            call("ads")


def test_a_model_of_the_services_settings(client: Calling) -> None:
    assert client.create_model("plain")["settings"]["bits"] == 12
    client.delete_model("plain")


@pytest.mark.parametrize("name", ["", "../default", "A", "a/b", "a?dry_run=true", "x" * 65, None, "é"])
def test_names_that_are_none_are_not_sent(client: Calling, name: Any) -> None:
    with pytest.raises(InputError, match="the model is named"):
        client.get_model(name)
    with pytest.raises(InputError, match="the model is named"):
        client.update_stream([], model=name)


def test_what_a_model_says_of_itself(client: Calling, model: str) -> None:
    client.update_stream(
        ({"features": {"site": f"s{i % 3}"}, "label": i % 2} for i in range(20)), model=model
    )
    metrics = client.metrics(model)
    assert (metrics["examples"], metrics["sequence"], metrics["recent"]["examples"]) == (20, 20, 20)
    assert metrics["log_loss"] is not None
    assert 0 < metrics["log_loss"] < 2
    assert client.diagnosis(model)["examples"] == 20
    for call in (client.remedy, client.resume):
        with pytest.raises(ConflictError):
            call(model)
    with pytest.raises(ConflictError):
        client.remedy(model, dry_run=True)


def test_a_challenger_is_compared_and_promoted(client: Calling, model: str) -> None:
    name = f"{model}-b"
    made = client.create_model(name, {"follows": model, "learning_rate": 0.5})
    assert (made["follows"], client.get_model(model)["followers"]) == (model, [name])
    until(lambda: client.comparison(name, model=model)["since"] is not None)
    client.update_stream(({"features": {"site": "a"}, "label": i % 2} for i in range(20)), model=model)
    assert client.comparison(name, model=model)["examples"] == 20
    assert client.promote(name, model=model)["sequence"] == 20
    with pytest.raises(NotFoundError):
        client.get_model(name)


def test_a_pause_is_resumed(start: Start, kind: Any, memory_path: Path) -> None:
    service = start(memory_path / "data", bits=8).until_ready()

    def log(n: int, clicks: int) -> Any:
        return ({"features": {"site": "news"}, "label": int(i % 100 < clicks)} for i in range(n))

    with calling(kind, service.url) as client:
        assert client.update_stream(log(12_000, 10), batch_size=4000).held == 0
        result = client.update_stream(log(4000, 90), batch_size=4000)
        assert result.held > 0
        assert result.accepted + result.held == 4000
        resumed = client.resume(discard=True)
        assert (resumed["applied"], resumed["discarded"]) == (0, result.held)


def test_files_go_there_and_back(client: Calling, model: str, tmp_path: Path) -> None:
    client.update({"features": {"site": "news"}, "label": 1}, model=model)
    file = tmp_path / "model.safetensors"
    with pytest.raises(NotFoundError, match="no snapshot yet"):
        client.download_snapshot(file, model=model)
    assert list(tmp_path.iterdir()) == []
    assert client.take_snapshot(model)["sequence"] == 1
    assert client.download_snapshot(file, model=model) == file.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert LogisticRegression.load(file).examples == 1
    copy = client.import_model("copy", str(file))
    assert (copy["model"], copy["sequence"]) == ("copy", 1)
    example = {"features": {"site": "news"}}
    assert client.predict_one(example, model="copy") == client.predict_one(example, model=model)
    with pytest.raises(ConflictError, match="a model named 'copy' already") as conflict:
        client.import_model("copy", file)
    assert not conflict.value.outcome_unknown
    client.delete_model("copy")


def test_files_that_cannot_be_used(client: Calling, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing cannot be read: No such file"):
        client.import_model("copy", tmp_path / "missing")
    with pytest.raises(InputError, match=r"model cannot be written: No such file"):
        client.download_snapshot(tmp_path / "nowhere" / "model")
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"no model")
    with pytest.raises(ContentError):
        client.import_model("copy", nonsense)


def test_a_download_that_fails_leaves_what_was_there(tmp_path: Path, kind: Any) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"yesterday's")
    with calling(kind, "http://127.0.0.1:9") as nobody, pytest.raises((UnavailableError, TimedOutError)):
        nobody.download_snapshot(file, deadline=0.05)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"yesterday's"]


def test_readiness(client: Calling, kind: Any) -> None:
    assert client.is_ready()
    client.wait_until_ready()
    with calling(kind, "http://127.0.0.1:9") as nobody:
        assert not nobody.is_ready()
        with pytest.raises((UnavailableError, TimedOutError)):
            nobody.wait_until_ready(deadline=0.2)
