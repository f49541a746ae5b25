"""Each alert of the journal fires when a real one was brought into that state.

What is scraped is stretched in time (:mod:`deploy.scrapes`), and promtool evaluates the rules on it. None but
the expected may fire.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.prometheus.conftest import Scrape
from deploy.promtool import fires, needs_promtool
from deploy.traffic import PATH, Traffic
from object_store import ObjectStore
from service.conftest import Clocked, Start
from waiting import until

pytestmark = needs_promtool

DAY = 86_400


def test_snapshots_that_fail(clocked: Callable[..., Clocked], scrapes: Scrape, tmp_path: Path) -> None:
    """And none was taken for hours: what came before the last start came so long ago."""
    before = clocked(bits=8).until_ready()
    Traffic(before).teach(10)
    before.kill()
    service = clocked(7 * 3600, bits=8, snapshot_seconds=1e6, snapshot_bytes=8192).until_ready()
    seen = scrapes(service)
    snapshots = tmp_path / "data" / "models" / "default" / "snapshots"
    snapshots.rmdir()
    snapshots.write_text("in the way")
    seen.take(12)
    assert not service.lines("no snapshot could be taken")
    Traffic(service).teach(3000)
    until(lambda: service.lines("no snapshot could be taken"))
    fires(
        seen.take(),
        {
            "NonzeroSnapshotFails": r"^Model default on ctr:8000 could not be saved: 1 snapshots",
            "NonzeroSnapshotOld": r"^Model default on ctr:8000 has not been saved for 7h",
        },
    )


def test_a_store_that_takes_no_snapshots(
    serve: Start, scrapes: Scrape, tmp_path: Path, object_store: ObjectStore
) -> None:
    store = f"s3://no-{object_store.bucket}/snapshots"
    service = serve(tmp_path / "data", snapshot_store=store).until_ready()
    seen = scrapes(service).take(12)
    Traffic(service).teach(10)
    seen.client.post(f"{PATH}/snapshots").raise_for_status()
    until(lambda: service.lines("no snapshot could be stored"))
    said = r"^Snapshots of model default on ctr:8000 do not get to the object store: 1 attempts"
    fires(seen.take(), {"NonzeroSnapshotStoreFails": said})


@pytest.mark.parametrize("days", [-3, 400])
def test_clocks_that_are_apart(clocked: Callable[..., Clocked], scrapes: Scrape, days: int) -> None:
    service = clocked(bits=8).until_ready()
    seen = scrapes(service).take(5)
    service.clock.turn(days * DAY)
    for _ in range(3):
        Traffic(service).teach(10)
        seen.take(3)
    nearly = rf"{abs(days)}d 0h 0m|{abs(days) - 1}d 23h 59m"
    fires(seen, {"NonzeroClockApart": rf"^Model default on ctr:8000: .* ({nearly}) \d+s apart"})
    seen.client.post(f"{PATH}/clock").raise_for_status()
    fires(seen.take(), {}, ended=["NonzeroClockApart"])
