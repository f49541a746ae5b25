"""What bounds a snapshot's lateness counts over lives that are each too short for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nonzero_service.journal.snapshots import snapshots_in
from service.conftest import Clocked
from service.faults.clients import PATH


def grow(client: httpx.Client, nbytes: int) -> None:
    """Have so many bytes journalled, about."""
    rows = "".join(f"1 | {' '.join(f'f{j * 50 + k}' for k in range(50))}\n" for j in range(nbytes // 250))
    client.post(f"{PATH}/update", content=rows, headers={"content-type": "text/x-vw"}).raise_for_status()


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("due", "lives"), [({"snapshot_bytes": "1MiB"}, {3, 4}), ({"snapshot_seconds": 1000}, {4})]
)
def test_bounds_count_over_many_lives(
    clocked: Callable[..., Clocked], tmp_path: Path, due: dict[str, Any], lives: set[int]
) -> None:
    snapshots = tmp_path / "data" / "models" / "default" / "snapshots"
    for life in range(1, 7):
        service = clocked(400 * life, bits=8, breaker="off", **due).until_ready()
        with service.client() as client:
            grow(client, 400_000)
            service.until_looked("snapshots")
        service.kill()
        if snapshots_in(snapshots):
            assert life in lives
            return
    pytest.fail("no snapshot was taken in six lives")
