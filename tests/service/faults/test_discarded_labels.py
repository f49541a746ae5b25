"""A late click takes its negative back where that was learned, and not where it was held and discarded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from nonzero_service.impressions.joined import decode_joined
from nonzero_service.journal.sqlite.reader import JournalReader
from service.conftest import Clocked
from service.faults.clients import PATH
from service.faults.test_pauses import jump
from service.series import series
from waiting import until

Start = Callable[..., Clocked]
HOUR = 3600
"""A window."""
SETTINGS = {"bits": 12, "learning_rate": 0.1, "negatives": "at_end", "impressions": "durable"}


def predict(client: httpx.Client, name: str) -> float:
    answer = client.post(f"{PATH}/predict", json={"indices": [1, 60, 301], "id": name}).json()
    return float(answer["predictions"][0]["probability"])


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lost", [False, True], ids=["in one life", "killed"])
@pytest.mark.parametrize("discard", [True, False], ids=["discarded", "applied"])
def test_the_weight_of_a_late_click(clocked: Start, tmp_path: Path, discard: bool, lost: bool) -> None:
    directory = tmp_path / "data" / "models" / "default"
    service = clocked(**SETTINGS).until_ready()
    client = service.client()
    jump(client)
    p = predict(client, "late")
    predict(client, "early")
    held = series(client, "nonzero_held_examples")
    assert client.post(f"{PATH}/labels", json={"id": "early", "label": 0}).status_code == 202
    service.clock.pass_by(HOUR)
    until(lambda: series(client, "nonzero_held_examples") == held + 2)
    assert client.post(f"{PATH}/resume", params={"discard": discard}).status_code == 200
    if lost:
        client.close()
        service.kill()
        service = clocked(HOUR, **SETTINGS).until_ready()
        client = service.client()
    late = client.post(f"{PATH}/labels", json={"id": "late", "label": 1})
    assert (late.status_code, late.json()["corrected"]) == (200, 1)
    assert client.post(f"{PATH}/labels", json={"id": "late", "label": 1}).status_code == 409
    assert client.post(f"{PATH}/labels", json={"id": "early", "label": 1}).status_code == 409
    client.close()
    service.kill()
    with JournalReader(directory) as reader:
        last = reader.last_of("joined")
    assert last is not None
    [weight] = decode_joined(last.body)[0].weights.tolist()
    assert weight == (1 if discard else pytest.approx(1 / (1 - p), rel=1e-5))
