"""What is told of models that have moved is new, and what is told of the others is kept."""

from __future__ import annotations

import platform
import random
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nonzero import __version__
from nonzero.native.loading import usable_targets
from service.conftest import Start
from service.many import make, name_of
from service.series import series, series_of
from waiting import until

MANY = 12


@pytest.fixture
def client(serve: Start) -> Iterator[httpx.Client]:
    service = serve(slices="site", negatives="window", breaker="off").until_ready()
    make(service, MANY)
    with service.client() as client:
        yield client


def of(name: str, metric: str, **labels: str) -> str:
    said = sorted({"model": name, **labels}.items())
    return metric + "{" + ",".join(f'{key}="{value}"' for key, value in said) + "}"


def test_whatever_moves_a_model_is_told_at_once(client: httpx.Client) -> None:
    chance, told = random.Random(0), {name_of(n): [0, 0, 0, 0] for n in range(MANY)}
    for step in range(60):
        name = name_of(chance.randrange(MANY))
        path, counted = f"/v1/models/{name}", told[name]
        match step % 4:
            case 0:
                example = {"features": {"site": f"s{step % 3}"}, "label": step % 2}
                client.post(f"{path}/update", json=example).raise_for_status()
                counted[0] += 1
            case 1:
                client.post(f"{path}/predict", json={"features": {"site": "s1"}}).raise_for_status()
                counted[1] += 1
            case 2:
                example = {"features": {"site": "s2"}, "id": f"i{step}"}
                client.post(f"{path}/predict", json=example).raise_for_status()
                counted[1] += 1
                counted[2] += 1
            case 3:
                client.post(f"{path}/labels", json={"labels": [{"id": f"none{step}", "label": 1}]})
                counted[3] += 1
        text = client.get("/metrics").text
        for model, (examples, predicted, _, unknown) in told.items():
            assert series_of(text, of(model, "nonzero_model_examples")) == examples
            assert series_of(text, of(model, "nonzero_predictions_total")) == predicted
            early = series_of(text, of(model, "nonzero_labels_total", verdict="early"))
            assert early + series_of(text, of(model, "nonzero_labels_total", verdict="unknown")) == unknown
    kept = sum(kept for _, _, kept, _ in told.values())
    until(lambda: series(client, "nonzero_pending_labels") == kept)
    found = {one.name: one for one in text_string_to_metric_families(text)}
    slices = found["nonzero_slice_examples"].samples
    assert sum(one.value for one in slices) == sum(examples for examples, *_ in told.values())
    assert {one.labels["value"] for one in slices} == {"s0", "s1", "s2"}


def test_a_model_that_is_made_anew_begins_anew(client: httpx.Client) -> None:
    path = f"/v1/models/{name_of(3)}"
    client.post(f"{path}/update", json={"features": {"site": "a"}, "label": 1}).raise_for_status()
    assert series(client, of(name_of(3), "nonzero_model_examples")) == 1
    client.delete(path).raise_for_status()
    assert f'model="{name_of(3)}"' not in client.get("/metrics").text
    client.put(path, json={}).raise_for_status()
    assert of(name_of(3), "nonzero_model_examples") + " 0.0\n" in client.get("/metrics").text


def test_what_runs_is_told(client: httpx.Client) -> None:
    said = {"version": __version__, "python": platform.python_version(), "kernels": usable_targets()[0]}
    found = {one.name: one for one in text_string_to_metric_families(client.get("/metrics").text)}
    [sample] = found["nonzero_build_info"].samples
    assert (sample.labels, sample.value) == (said, 1)


def test_the_clicks_are_told_on_which_recent_figures_rest(client: httpx.Client) -> None:
    path = f"/v1/models/{name_of(5)}"
    rows = [{"features": {"site": "a"}, "label": n % 4 == 0, "weight": 2} for n in range(40)]
    client.post(f"{path}/update", json={"examples": rows}).raise_for_status()
    assert series(client, of(name_of(5), "nonzero_model_recent_clicks")) == 20
    assert client.get(f"{path}/metrics").json()["recent"]["clicks"] == 20
