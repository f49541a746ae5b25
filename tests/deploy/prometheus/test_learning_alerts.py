"""Each alert of learning fires when a real model was brought into that state.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from deploy.prometheus.conftest import Scrape
from deploy.promtool import fires, needs_promtool
from deploy.traffic import PATH, Traffic, ndjson
from service.conftest import Clocked, Start
from service.series import series
from service.writer.test_breaker import NDJSON, body, labelled_all, stream
from waiting import until

pytestmark = needs_promtool


def test_a_pause(start: Start, scrapes: Scrape) -> None:
    service = start(bits=12, learning_rate=0.1).until_ready()
    seen = scrapes(service)
    for content, status in ((stream(12_000), 200), (labelled_all(stream(2500, seed=2), 1), 202)):
        seen.take(3)
        assert seen.client.post(f"{PATH}/update", content=body(content), headers=NDJSON).status_code == status
    for _ in range(3):
        seen.take()
    fires(seen, {"NonzeroLearningPaused": "^Model default on ctr:8000 learns nothing: click_rate has jumped"})
    seen.client.post(f"{PATH}/resume", params={"discard": True}).raise_for_status()
    fires(seen.take(), {}, ended=["NonzeroLearningPaused"])


def test_labels_that_stay_away(clocked: Callable[..., Clocked], scrapes: Scrape) -> None:
    """For three hours, while predictions go on."""
    service = clocked(bits=12, breaker="off").until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.teach()
    for _ in range(12):
        traffic.step()
        service.clock.pass_by(300)
        seen.take(5)
    fires(seen, {})
    for _ in range(36):
        traffic.predict(seen.client, 100)
        service.clock.pass_by(300)
        service.until_looked()
        seen.take(5)
    fires(
        seen,
        {
            "NonzeroLabelsMissing": "^Model default on ctr:8000 predicts, and has had no label for 3h",
            "NonzeroCalibration": r"^Model default on ctr:8000 predicts \d+\.\d\d times the clicks that come",
            "NonzeroImpressionsWait": r"^Model default on ctr:8000 learned from [\d.]+k? predictions",
        },
    )


def test_labels_of_nothing(serve: Start, scrapes: Scrape) -> None:
    service = serve().until_ready()
    seen, traffic = scrapes(service), Traffic(service)
    traffic.teach()
    for n in range(20):
        traffic.step()
        if n > 3:
            strange = [{"id": f"none-{n}-{k}", "label": 1} for k in range(20)]
            seen.client.post(f"{PATH}/labels", json={"labels": strange})
        seen.take(3)
    fires(seen, {"NonzeroLabelsUnknown": r"^Model default on ctr:8000 cannot place [\d.]+ labels"})


def test_predictions_that_are_too_high(serve: Start, scrapes: Scrape) -> None:
    """A model that cannot follow predicts one half, where one in ten is clicked; on one site, or on all."""
    service = serve(slices="site", learning_rate=1e-9).until_ready()
    seen = scrapes(service)
    seen.client.put("/v1/models/even", json={}).raise_for_status()
    rates = {"even": {"a": 0.9, "b": 0.1}, "default": {"a": 0.1, "b": 0.1}}
    chance = random.Random(0)
    for _ in range(12):
        for model, sites in rates.items():
            rows = [
                {"features": {"site": site}, "label": int(chance.random() < rate)}
                for site, rate in sites.items()
                for _ in range(40)
            ]
            seen.client.post(f"/v1/models/{model}/update", json={"examples": rows}).raise_for_status()
        seen.take(5)
    fires(
        seen,
        {
            "NonzeroCalibration": r"^Model default on ctr:8000 predicts \d\.\d\d times the clicks that come",
            "NonzeroSliceCalibration": r"^Model even on ctr:8000 predicts 0\.5\d times .* where site is a\.$",
        },
    )


def test_a_queue_that_fills(serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    """Another program has the journal open in a transaction, and so it takes nothing for some seconds."""
    service = serve().until_ready()
    seen = scrapes(service).take(5)
    lines = b"".join(b"1 |f a%d b%d\n" % (n, n % 7) for n in range(100_000))
    with closing(
        sqlite3.connect(tmp_path / "data/models/default/journal.sqlite", isolation_level=None)
    ) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(40) as threads:

            def send() -> int:
                with service.client() as client:
                    return client.post(
                        f"{PATH}/update", content=lines, headers={"content-type": "text/x-vw"}
                    ).status_code

            sent = [threads.submit(send) for _ in range(40)]
            until(lambda: series(seen.client, "nonzero_model_queued_bytes") > 20 * 2**20)
            for _ in range(3):
                seen.take(5)
            shell.execute("ROLLBACK")
            assert {one.result() for one in sent} <= {200, 503}
    fires(seen, {"NonzeroQueueFills": r"^Model default on ctr:8000 is behind: [\d.]+MiB wait"})


def test_fields_that_are_not_what_they_were(serve: Start, scrapes: Scrape) -> None:
    """One comes as a number and as text, and another that a slice names does not come."""
    service = serve(slices="sites").until_ready()
    seen = scrapes(service).take(5)
    for n in range(24):
        rows = [
            {"features": {"bid": "high" if n > 3 and k % 2 else 0.5}, "label": int(k % 10 == 0)}
            for k in range(50)
        ]
        seen.client.post(f"{PATH}/update", json={"examples": rows}).raise_for_status()
        seen.take()
    seen.take(20)
    fires(
        seen,
        {
            "NonzeroSchemaConflicts": r"^Model default on ctr:8000 got [\d.]+ values of bid",
            "NonzeroFieldUnseen": "^Model default on ctr:8000 names the field sites, which has not come",
        },
    )


def test_lines_that_cannot_be_read(serve: Start, scrapes: Scrape) -> None:
    service = serve().until_ready()
    seen = scrapes(service).take(5)
    for _ in range(12):
        rows = ndjson([{"features": {"a": "b"}, "label": 1}] * 20) + b"\nno JSON" * 20
        assert seen.client.post(f"{PATH}/update", content=rows, headers=NDJSON).json()["rejected"] == 20
        seen.take()
    fires(seen, {"NonzeroLinesRejected": r"^Model default on ctr:8000 cannot read [\d.]+ lines"})


def test_a_challenger_that_learns_no_more(serve: Start, scrapes: Scrape, tmp_path: Path) -> None:
    """Its snapshots were restored from the backup of another model; its champion goes on."""
    service = serve(tmp_path / "data").until_ready()
    traffic = Traffic(service)
    seen = scrapes(service)
    for name, settings in (("b", {"follows": "default"}), ("other", {})):
        seen.client.put(f"/v1/models/{name}", json=settings).raise_for_status()
    for _ in range(5):
        traffic.teach()
        Traffic(service, "/v1/models/other").teach()
        seen.take(3)
    fires(seen, {})
    assert series(seen.client, "nonzero_challenger_failed") == 0
    assert service.stop() == 0
    models = tmp_path / "data" / "models"
    shutil.rmtree(models / "b" / "snapshots")
    shutil.copytree(models / "other" / "snapshots", models / "b" / "snapshots")
    service = serve(tmp_path / "data").until_ready()
    seen.of(scrapes(service).client)
    for _ in range(3):
        Traffic(service).teach()
        seen.take(3)
    fires(seen, {"NonzeroChallengerStopped": "^Challenger b of default on ctr:8000 learns no more"})
