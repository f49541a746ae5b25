"""Steady traffic raises no alert, nor does a start.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

from pathlib import Path

from deploy.prometheus.conftest import Scrape
from deploy.promtool import alerting_rules, fires, needs_promtool, series_named
from deploy.scrapes import Scrapes
from deploy.traffic import PATH, Traffic, ndjson
from service.conftest import Start
from service.writer.test_breaker import NDJSON

pytestmark = needs_promtool


OF_SOURCES = {
    "nonzero_event_time_lag_seconds",
    "nonzero_source_lag_messages",
    "nonzero_source_lag_seconds",
    "nonzero_source_messages_total",
    "nonzero_source_refused_total",
    "nonzero_source_unstable_messages",
    "nonzero_source_up",
}
"""What a service without a source does not tell."""

OF_SNAPSHOT_STORES = {"nonzero_snapshot_store_failures_total"}
"""What a service that copies no snapshots does not tell."""

OF_SEVERAL_NODES = {
    "nonzero_leader_info",
    "nonzero_replica_lag_seconds",
    "nonzero_role",
    "nonzero_synchronous_standbys",
    "nonzero_term",
}
"""What a service with a journal of its own does not tell."""


def unscraped(scrapes: Scrapes) -> set[str]:
    """Return the alerts' series that were not scraped."""
    return series_named(" ".join(rule["expr"] for rule in alerting_rules().values())) - scrapes.names()


def test_steady_traffic_raises_none(serve: Start, scrapes: Scrape) -> None:
    """An hour of it, and six of a sixth of it; not even one that would fire if it went on."""
    service = serve(slices="site", breaker="on", workers=2).until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.teach()
    follows = {"follows": "default", "start": "refold"}
    assert seen.client.put("/v1/models/challenger", json=follows).status_code == 201
    for n in range(30):
        traffic.step()
        if n == 15:
            traffic.until_told(seen.client)
        seen.take(2)
    assert service.stop() == 0
    fires(seen, {}, state=".*")
    fires(seen.slower(6), {}, state=".*")
    assert unscraped(seen) == OF_SEVERAL_NODES | OF_SOURCES | OF_SNAPSHOT_STORES | {
        "nonzero_rejected_lines_total",
        "nonzero_schema_conflicts_total",
        "nonzero_schema_unseen",
    }


def test_a_start_raises_none(serve: Start, scrapes: Scrape) -> None:
    """Counters begin anew with the process; and after a kill, by which no snapshot was taken."""
    seen = None
    for _ in range(2):
        service = serve(slices="site").until_ready()
        seen = scrapes(service) if seen is None else seen.of(scrapes(service).client)
        traffic = Traffic(service)
        traffic.teach()
        for _ in range(10):
            traffic.step()
            seen.take(3)
        service.kill()
    assert seen is not None
    fires(seen, {}, state=".*")


def test_slips_where_little_comes_raise_none(serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    """Ten predictions an hour, and each hour one of everything that may go wrong, for six hours."""
    (tmp_path / "tokens").write_text("admin the-token-of-a-friend\n")
    (tmp_path / "tokens").chmod(0o600)
    service = serve(slices="site", token_file=str(tmp_path / "tokens")).until_ready()
    seen = scrapes(service)
    seen.client.headers["authorization"] = "Bearer the-token-of-a-friend"
    traffic, nobody = Traffic(service), {"authorization": "Bearer another"}
    for n in range(6):
        traffic.predict(seen.client, 10)
        seen.take(30)
        labels = [*traffic.labels, {"id": f"none-{n}", "label": 1}]
        seen.client.post(f"{PATH}/labels", json={"labels": labels})
        rows = ndjson([{"features": {"site": "news", "bid": bid}, "label": 1} for bid in (1, "high")])
        answer = seen.client.post(f"{PATH}/update", content=rows + b"\nno JSON", headers=NDJSON)
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 1)
        assert seen.client.get("/v1/models", headers=nobody).status_code == 401
        seen.take(30)
    fires(seen, {}, state=".*")
    assert unscraped(seen) <= OF_SEVERAL_NODES | OF_SOURCES | OF_SNAPSHOT_STORES | {
        "nonzero_challenger_failed",
        "nonzero_schema_unseen",
        "nonzero_model_recent_calibration",
    }
