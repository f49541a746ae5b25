from __future__ import annotations

import math

import httpx
import pytest


@pytest.mark.parametrize("settings", [{"bits": 12}, {"bits": 12, "learning_rate": 0.3}])
def test_the_parts_add_up_to_the_log_odds(client: httpx.Client, settings: dict[str, float]) -> None:
    path = "/v1/models/explained"
    client.put(path, json=settings)
    rows = [{"features": {"site": f"s{j % 3}", "bid": j % 4}, "label": j % 3 == 0} for j in range(300)]
    client.post(f"{path}/update", json={"examples": rows})
    example = {
        "features": {
            "site": "s0",
            "bid": 0.5,
            "tags": ["a", "b"],
            "seen": True,
            "new": False,
            "zero": 0,
            "site=s0": 1,
        }
    }
    answer = client.post(f"{path}/explain", json=example).json()
    parts = [(part["feature"], part["value"]) for part in answer["contributions"]]
    assert parts == [("site=s0", 1), ("bid", 0.5), ("tags=a", 1), ("tags=b", 1), ("seen", 1), ("site=s0", 1)]
    assert [part["field"] for part in answer["contributions"]] == [
        "site",
        "bid",
        "tags",
        "tags",
        "seen",
        "site=s0",
    ]
    verdict = "learning" if len(settings) == 1 else "unknown"
    assert answer["contributions"][0]["verdict"] == verdict
    assert all(part["learning_rate"] > 0 for part in answer["contributions"])
    site, other = answer["contributions"][0], answer["contributions"][2]
    assert site["contribution"] == pytest.approx(site["weight"], rel=1e-6)
    assert site["learning_rate"] < other["learning_rate"]
    predicted = client.post(f"{path}/predict", json=example).json()["predictions"][0]["probability"]
    assert answer["probability"] == pytest.approx(predicted, rel=1e-6)
    total = (
        answer["intercept"] + answer["mixing"] + sum(part["contribution"] for part in answer["contributions"])
    )
    assert total == pytest.approx(answer["log_odds"])
    assert answer["log_odds"] == pytest.approx(math.log(predicted / (1 - predicted)), rel=1e-5)
    assert answer["sequence"] == 300
    client.delete(path)


def test_slots_are_named_by_number(client: httpx.Client, model: str) -> None:
    example = {"indices": [7, 3], "values": [2, -1]}
    for body in (example, {"examples": [example]}):
        answer = client.post(f"{model}/explain", json=body).json()
        assert [(part["feature"], part["value"]) for part in answer["contributions"]] == [("7", 2), ("3", -1)]


def test_an_example_without_features_has_its_intercept(client: httpx.Client, model: str) -> None:
    client.post(f"{model}/update", json={"examples": [{"features": {}, "label": 1}] * 3})
    answer = client.post(f"{model}/explain", json={"features": {}}).json()
    assert answer["contributions"] == []
    assert answer["intercept"] > 0
