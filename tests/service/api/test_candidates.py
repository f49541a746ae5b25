"""Candidates over a shared context: each is predicted, kept and taught as the whole example of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero import LogisticRegression
from nonzero.batches.limits import MAX_JOINED
from service.conftest import ServiceProcess, Start

SHARED = {"site": "news", "hour": "9", "user": "u7", "age": 41, "tags": ["a", "b"]}
OWN: list[dict[str, Any]] = [{"ad": f"a{j}", "bid": j / 4, "tags": f"t{j % 3}"} for j in range(40)]
WHOLE = [{**SHARED, **one, "tags": [*SHARED["tags"], one["tags"]]} for one in OWN]  # type: ignore[misc]
JSON = {"content-type": "application/json"}


def body(own: list[dict[str, Any]] = OWN, **rest: Any) -> dict[str, Any]:
    return {"shared": {"features": SHARED}, "candidates": [{"features": one, **rest} for one in own]}


@pytest.fixture
def taught(client: httpx.Client, model: str) -> str:
    """A model with products across both parts and within them, which knows what it is asked."""
    settings = {"bits": 12, "interactions": ["site*ad", "hour*user", "ad*tags", "tags*tags"]}
    client.delete(model)
    assert client.put(model, json=settings).status_code == 201
    labelled = [{"features": one, "label": j % 3 == 0} for j, one in enumerate(WHOLE)]
    assert client.post(f"{model}/update", json={"examples": labelled}).status_code == 200
    return model


def test_candidates_are_predicted_as_whole_examples(client: httpx.Client, taught: str) -> None:
    # A name that stands in both counts in both; in JSON's text, too, where one object holds it twice.
    texts = [json.dumps(SHARED)[:-1] + ", " + json.dumps(one)[1:] for one in OWN]
    whole = b'{"examples": [%b]}' % ", ".join(f'{{"features": {text}}}' for text in texts).encode()
    expected = client.post(f"{taught}/predict", content=whole, headers=JSON).json()
    assert len({row["probability"] for row in expected["predictions"]}) > 10
    for sent in (body(), dict(reversed(body().items()))):
        for indent in (None, 1):
            text = json.dumps(sent, indent=indent).encode()
            answer = client.post(f"{taught}/predict", content=text, headers=JSON)
            assert answer.json() == expected
    unsure = client.post(f"{taught}/predict?uncertainty=true", json=body()).json()["predictions"]
    assert [row["probability"] for row in unsure] == [row["probability"] for row in expected["predictions"]]
    assert (
        unsure
        == client.post(f"{taught}/predict?uncertainty=true", content=whole, headers=JSON).json()[
            "predictions"
        ]
    )
    assert client.post(f"{taught}/predict", json=body([])).json()["predictions"] == []


def test_the_label_of_a_candidate_teaches_its_whole_example(
    client: httpx.Client, model: str, tmp_path: Path
) -> None:
    def digest() -> str:
        assert client.post(f"{model}/snapshots").status_code == 201
        (tmp_path / "model").write_bytes(client.get(f"{model}/snapshots/latest").content)
        return LogisticRegression.load(tmp_path / "model").digest()

    settings = {"bits": 12, "learning_rate": 0.1, "negatives": "at_end", "interactions": ["site*ad"]}
    digests = []
    for by_candidates in (True, False):
        client.delete(model)
        assert client.put(model, json=settings).status_code == 201
        context = {"features": SHARED, "time": 1_700_000_000_000}
        own = [{"features": {"ad": str(j)}, "id": f"imp-{j}", "weight": 1 + j} for j in range(3)]
        if by_candidates:
            asked: dict[str, Any] = {"shared": context, "candidates": own}
        else:
            whole = [{**context, **one, "features": {**SHARED, **one["features"]}} for one in own]  # type: ignore[dict-item]
            asked = {"examples": whole}
        answer = client.post(f"{model}/predict", json=asked).json()
        assert [row["id"] for row in answer["predictions"]] == ["imp-0", "imp-1", "imp-2"]
        labels = [{"id": f"imp-{j}", "label": int(j == 1)} for j in range(3)]
        assert client.post(f"{model}/labels", json={"labels": labels}).json()["accepted"] == 3
        digests.append(digest())
    assert digests[0] == digests[1]


def test_a_bad_candidate_is_named_by_its_place(client: httpx.Client, model: str) -> None:
    sent = body()
    sent["candidates"][17] = {"features": {"ad": {}}}
    sent["candidates"][20] = {"ad": "a20"}
    answer = client.post(f"{model}/predict", json=sent)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(
        "2 candidates cannot be used, and nothing was done; candidates[17]: the feature 'ad' is an object"
    )
    assert [(error["line"], error["reason"][:15]) for error in answer.json()["errors"]] == [
        (18, "candidates[17]:"),
        (21, "candidates[20]:"),
    ]
    sent = {"shared": {"indices": [1]}, "candidates": [{"indices": [2]}, {"indices": [4096]}]}
    answer = client.post(f"{model}/predict", json=sent)
    assert answer.json()["detail"].partition("; ")[2].startswith("candidates[1]: index 4096 is outside")
    sent = {
        "shared": {"features": {}},
        "candidates": [{"features": {}}, {"features": {}, "id": "x", "weight": 1e5}],
    }
    answer = client.post(f"{model}/predict", json=sent)
    assert (
        "a candidate cannot be used, and nothing was done; candidates[1]: the importance weight"
        in (answer.json()["detail"])
    )


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ('{"shared": {"features": {}}}', 422, 'there are no "candidates"'),
        ('{"candidates": [], "shared": {"ad": 1}}', 422, "\"shared\": the member 'ad' is unknown"),
        ('{"shared": {"features": {}}, "candidates": [', 400, "this is not JSON"),
        ('{"shared": {"features": {}, "id": "x"}, "candidates": []}', 422, "give it to each candidate"),
    ],
)
def test_what_is_no_body_of_candidates_is_said(
    client: httpx.Client, model: str, text: str, status: int, said: str
) -> None:
    answer = client.post(f"{model}/predict", content=text, headers=JSON)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_only_predictions_have_candidates(client: httpx.Client, model: str) -> None:
    for action in ("update", "explain"):
        answer = client.post(f"{model}/{action}", json=body(label=1))
        assert answer.status_code == 422
        assert "the member 'shared' is unknown" in answer.json()["detail"]


def test_candidates_are_bounded_before_they_are_joined(client: httpx.Client, model: str) -> None:
    shared = {"indices": [1] * 10_000}
    sent = {"shared": shared, "candidates": [{"indices": []}] * (MAX_JOINED // 10_000)}
    assert len(client.post(f"{model}/predict", json=sent).json()["predictions"]) == MAX_JOINED // 10_000
    sent["candidates"] = [{"indices": []}] * 100_000
    answer = client.post(f"{model}/predict", json=sent)
    assert answer.status_code == 413
    assert answer.json()["detail"] == (
        "100000 candidates with the 10000 features that they share have 1000000000 features in all; "
        f"one body has at most {MAX_JOINED}: send fewer candidates at once"
    )


def test_settings_bound_candidates(serve: Start) -> None:
    running = serve(max_examples=10, max_features=6).until_ready()
    with running.client() as client:

        def ask(sent: dict[str, Any]) -> httpx.Response:
            return client.post("/v1/models/default/predict", json=sent)

        assert ask(body([{"ad": "7"}] * 11)).status_code == 413
        # They are counted before it is said what is wrong with each of a million.
        assert ask({"shared": {"features": {}}, "candidates": [{}] * 11}).status_code == 413
        assert ask({"examples": [{}] * 11}).status_code == 413
        assert ask({"examples": [{}] * 10}).status_code == 422
        assert ask(body([{}] * 10)).status_code == 200  # each has the six that they share
        answer = ask(body([{}, {"ad": "7"}]))
        assert answer.status_code == 422
        assert "candidates[1]: it has 7 features" in answer.json()["detail"]
    assert running.stop() == 0


def test_workers_answer_as_the_writer_does(serve: Start) -> None:
    running: ServiceProcess = serve(workers=2).until_ready()
    with running.client() as client:
        route = "/v1/models/default"
        for j in range(8):
            sent = body([{"ad": f"a{j}"}], id=f"imp-{j}")
            whole = {"features": {**SHARED, "ad": f"a{j}"}}
            [expected] = client.post(f"{route}/predict", json=whole).json()["predictions"]
            [row] = client.post(f"{route}/predict", json=sent).json()["predictions"]
            assert row["probability"] == expected["probability"]
            label = client.post(f"{route}/labels", json={"id": f"imp-{j}", "label": j % 2})
            assert label.status_code == 200
    assert running.stop() == 0
    assert not running.failures()
