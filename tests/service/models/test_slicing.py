"""Calibration by slice: what was predicted and what came, of each value of the named fields."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from nonzero import AdaGrad, Batch, LogisticRegression, Schema
from nonzero_service.models.names import FieldNames
from nonzero_service.models.slicing import VALUES, Slices
from nonzero_service.settings import MAX_SLICED_FIELDS


def stream(n: int, sites: int) -> tuple[Batch, list[str], list[str]]:
    rng = np.random.default_rng(5)
    site = [f"s{k}" for k in np.minimum(rng.geometric(0.08, n) - 1, sites - 1)]
    place = [f"p{k}" for k in rng.integers(0, 3, n)]
    clicks = rng.random(n) < np.where(np.array(place) == "p1", 0.4, 0.1)
    features = [{"site": a, "place": b, "bid": 0.5} for a, b in zip(site, place, strict=True)]
    return Batch.from_dicts(features, clicks, rng.choice([0.5, 1, 3], n)), site, place


def test_each_value_has_what_was_predicted_for_it_and_what_came() -> None:
    batch, sites, places = stream(4000, VALUES + 20)
    model, slices = LogisticRegression(14, AdaGrad(0.1)), Slices(["site", "place"])
    slices.name((field, name, f"{field}={name}") for field, name in [("site", "s0"), ("place", "p0")])
    p = np.empty(0)
    for start in range(0, 4000, 500):
        part = batch.rows(start, start + 500)
        found = model.learn(part)
        slices.learned(part, found)
        slices.name(("site", name, f"site={name}") for name in sites)
        slices.name(("place", name, f"place={name}") for name in places)
        p = np.append(p, found)
    known = list(dict.fromkeys(sites))[:VALUES]
    told = slices.all()
    assert len(told["site"]) == VALUES + 1
    assert [one.value for one in told["place"]].count(None) == 0
    for field, column in (("site", sites), ("place", places)):
        for one in told[field]:
            rows = np.array([(x not in known) if one.value is None else x == one.value for x in column])
            s, y = batch.weights[rows].astype(float), batch.labels[rows]
            assert one.examples == rows.sum()
            assert (one.weight, one.clicks) == (s.sum(), (s * y).sum())
            assert one.predicted == pytest.approx((s * p[rows]).sum(), rel=1e-6)
    assert [one.examples for one in told["site"][:-1]] == sorted(
        (one.examples for one in told["site"][:-1]), reverse=True
    )


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", '{"examples": [{"features": {"site": "news", "tags": ["a", "b"], "bid": 2}}]}'),
        ("application/json", '{"features": {"site": "news", "tags": ["a", "b"], "bid": 2}}'),
        ("application/x-ndjson", '{"features": {"site": "news", "tags": ["a", "b"], "bid": 2}}\n' * 3),
        ("text/x-vw", "1 |site news |tags a b:2 |other c\n"),
        ("text/csv", 'click,site,tags,bid\n1,news,a,2\n0,"ne",b,2\n1,,"\n",1\n'),
        ("text/tab-separated-values", "site\ttags\nnews\ta\nne\tb\n0"),
    ],
)
def test_names_of_values_come_from_requests(media: str, body: str) -> None:
    slices = Slices(["site", "tags"])
    if media == "text/x-vw":
        from nonzero import formats

        batch = formats.parse(body.encode(), "vw")
    else:
        batch = Batch.from_dicts([{"site": "news", "tags": ["a", "b"], "bid": 2}], [1])
    slices.learned(batch, np.full(1, 0.5, np.float32))
    assert all((one.value or "").startswith("#") for found in slices.all().values() for one in found)
    FieldNames({}, slices, Schema()).look(media, body.encode())
    assert {one.value for one in slices.all()["site"]} == {"news"}
    assert {one.value for one in slices.all()["tags"]} == {"a", "b"}


def test_what_has_no_fields_has_no_slices() -> None:
    slices = Slices(["site"])
    slices.learned(Batch([0, 2], [1, 2], labels=[1]), np.full(1, 0.5, np.float32))
    assert slices.all() == {"site": []}


def test_slices_are_served(client: httpx.Client, model: str) -> None:
    rows = [{"features": {"site": site}, "label": label} for site, label in [("news", 1), ("blog", 0)] * 4]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    client.post(f"{model}/update", content=content, headers={"content-type": "application/x-ndjson"})
    client.post(f"{model}/update", json={"features": {"site": "shop"}, "label": 1, "weight": 2})
    found = {one["value"]: one for one in client.get(f"{model}/metrics").json()["slices"]["site"]}
    assert {value: (one["examples"], one["clicks"]) for value, one in found.items()} == {
        "news": (4, 4),
        "blog": (4, 0),
        "shop": (1, 2),
    }
    assert found["blog"]["calibration"] is None
    assert found["news"]["calibration"] == pytest.approx(found["news"]["predicted"] / 4)
    text = client.get("/metrics").text
    name = model.rpartition("/")[2]
    assert f'nonzero_slice_clicks_total{{field="site",model="{name}",value="news"}} 4.0' in text
    assert len([line for line in text.splitlines() if line.startswith("nonzero_slice_examples_total")]) <= (
        MAX_SLICED_FIELDS * (VALUES + 1)
    )
