"""The history of a name goes on when a challenger takes it: live, after a stop, and after kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nonzero import LogisticRegression
from nonzero_service.history.points import Totals, totals_of
from service.conftest import ServiceProcess, Start
from service.models.test_challengers import DEFAULT, batch, examples, folded, follow, update
from service.models.test_promotion import promote


def learned(seeds: list[int], promoted_after: int, challenger_from: int) -> Totals:
    """Return the figures of a stream: a champion's up to a promotion, and a challenger's from there on."""
    champion = LogisticRegression(8)
    for seed in seeds[:promoted_after]:
        champion.learn(batch(seed))
    whole, part = folded(seeds[challenger_from:]), folded(seeds[challenger_from:promoted_after])
    sums = np.array(totals_of(champion)) + totals_of(whole) - np.array(totals_of(part))
    examples, weight, clicks, predicted, loss = sums.tolist()
    return examples, weight, clicks, predicted, loss


def summed(rows: list[dict[str, Any]]) -> Totals:
    """Return what rows of a history add up to."""
    return (
        sum(row["examples"] for row in rows),
        sum(row["weight"] for row in rows),
        sum(row["clicks"] for row in rows),
        sum(row["predicted"] for row in rows),
        sum(row["log_loss"] * row["weight"] for row in rows),
    )


def check(client: httpx.Client, totals: Totals, events: list[str], starts: int) -> None:
    """Hold what is told of all steps against the figures of the stream."""
    for step in ("minute", "hour", "day", "examples"):
        told: dict[str, Any] = client.get(f"{DEFAULT}/history", params={"step": step}).json()
        rows = told["rows"]
        assert summed(rows) == pytest.approx(totals, rel=1e-9), step
        assert rows[-1]["sequence"] == client.get(DEFAULT).json()["sequence"] == totals[0]
        kinds = [one["kind"] for one in told["events"]]
        assert [kind for kind in kinds if kind != "start"] == events
        assert kinds.count("start") <= starts


@pytest.mark.sampled(2)
@pytest.mark.parametrize("beginning", ["nothing", "refold"])
@pytest.mark.parametrize("between", ["live", "stop", "kill"])
def test_rows_add_up_across_a_promotion(serve: Start, beginning: str, between: str, tmp_path: Path) -> None:
    """Whatever comes between: what was learned is promoted, that goes on, and so does the next start."""

    def again(service: ServiceProcess) -> ServiceProcess:
        if between == "live":
            return service
        assert service.stop() == 0 if between == "stop" else service.kill() == -9
        return serve(tmp_path / "data", breaker="off").until_ready()

    begun = 0 if beginning == "refold" else 1
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client, beginning)
        update(client, 1)
    service = again(service)
    with service.client() as client:  # nothing has been learned since the start
        promote(client)
    service = again(service)
    with service.client() as client:
        check(client, learned([0, 1], 2, begun), ["promotion"], 2)
        update(client, 2)
        check(client, learned([0, 1, 2], 2, begun), ["promotion"], 3)
    service = again(service)
    with service.client() as client:
        update(client, 3)
        assert client.post(f"{DEFAULT}/snapshots").status_code == 201
        update(client, 4)
    service = again(service)
    with service.client() as client:
        check(client, learned([0, 1, 2, 3, 4], 2, begun), ["promotion"], 5)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("snapshots", [0, 1, 2])
def test_a_snapshot_takes_no_row_that_the_history_needs(serve: Start, tmp_path: Path, snapshots: int) -> None:
    """Rows before a snapshot are not read again: what they say is on disk before it is."""
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client)
        update(client, 1)
        promote(client)
        for seed in range(2, 2 + snapshots):
            assert client.post(f"{DEFAULT}/snapshots").status_code == 201
            update(client, seed)
        assert client.post(f"{DEFAULT}/snapshots").status_code == 201
    assert service.kill() == -9
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        check(client, learned(list(range(2 + snapshots)), 2, 1), ["promotion"], 2)


def test_a_promotion_that_the_history_ends_with_is_read_again(serve: Start, tmp_path: Path) -> None:
    """A start that reads its row first has the model of before, and a history of what came after."""
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        update(client, 0)
        follow(client, "refold")
        assert client.post(f"{DEFAULT}/snapshots").status_code == 201
        promote(client)
        assert client.post(f"{DEFAULT}/snapshots").status_code == 201  # after the history is saved
    assert service.kill() == -9
    max((tmp_path / "data/models/default/snapshots").iterdir()).unlink()
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        update(client, 1)
        check(client, learned([0, 1], 1, 0), ["promotion"], 2)


def test_two_promotions(serve: Start, tmp_path: Path) -> None:
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        for seed, name in ((0, "b"), (2, "c")):
            update(client, seed)
            follow(client, name=name)
            update(client, seed + 1)
            promote(client, name)
    assert service.kill() == -9
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        told = client.get(f"{DEFAULT}/history", params={"step": "minute"}).json()
        assert sum(row["examples"] for row in told["rows"]) == 160
        clicks = sum(one["label"] for seed in range(4) for one in examples(seed, 40))
        assert sum(row["clicks"] for row in told["rows"]) == clicks
        assert [one["kind"] for one in told["events"]].count("promotion") == 2
