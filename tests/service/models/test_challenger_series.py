"""What Prometheus is told of challengers is what their comparison says, while both learn."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from service.conftest import Start
from service.models.test_challengers import compared, examples, follow, update
from service.models.test_promotion import promote
from service.series import series
from waiting import until

NAMES = 'follows="default",model="b"'


def of(client: httpx.Client, name: str, more: str = "") -> float:
    labels = ",".join(sorted([*NAMES.split(","), *filter(None, [more])]))
    return series(client, f"nonzero_challenger_{name}{{{labels}}}")


def test_it_is_what_the_comparison_says(serve: Start) -> None:
    service = serve(breaker="off").until_ready()
    with service.client() as client:
        assert "nonzero_challenger_lag_examples{" not in client.get("/metrics").text
        follow(client, learning_rate=1e-6)
        update(client, 0)
        assert "nonzero_challenger_difference_low{" not in client.get("/metrics").text  # too few to tell
        for seed in range(1, 30):
            update(client, seed, 400)
        found = compared(client)
        assert of(client, "compared_examples") == found["examples"] == 40 + 29 * 400
        assert of(client, "lag_examples") == of(client, "failed") == 0
        for one, name in (("champion", "model"), ("challenger", "with")):
            assert of(client, "log_loss", f'of="{one}"') == found["log_loss"][name]
        assert of(client, "difference") == found["difference"]["mean"] > 0
        for end in ("low", "high"):
            assert of(client, f"difference_{end}") == found["difference"][end]
        verdicts = {
            one: of(client, "verdict", f'verdict="{one}"') for one in ("better", "worse", "undecided")
        }
        assert verdicts == {"better": 0, "worse": 1, "undecided": 0}
        assert found["verdict"] == "worse"
        promote(client)
        assert "nonzero_challenger_lag_examples{" not in client.get("/metrics").text
    assert service.stop() == 0
    assert not service.failures()


def test_it_is_behind_while_it_reads(serve: Start, tmp_path: Path) -> None:
    """It is told while both learn, and the lag goes to 0."""
    service = serve(tmp_path / "data", breaker="off").until_ready()
    with service.client() as client:
        for seed in range(20):
            update(client, seed, 2000)
        body = {"follows": "default", "start": "refold", "interactions": ["site*ad", "site*bid", "ad*bid"]}
        assert client.put("/v1/models/b", json=body).status_code == 201
        lags = [of(client, "lag_examples")]
        over = threading.Event()

        def look() -> None:
            with service.client() as other:
                while not over.is_set():
                    lags.append(of(other, "lag_examples"))

        looking = threading.Thread(target=look)
        looking.start()
        for seed in range(20, 30):
            client.post(
                "/v1/models/default/update", json={"examples": examples(seed, 200)}
            ).raise_for_status()
        until(lambda: compared(client)["since"] and not of(client, "lag_examples"))
        over.set()
        looking.join()
        assert max(lags) > 0
        assert min(lags) >= 0
        assert of(client, "log_loss", 'of="champion"') == pytest.approx(
            compared(client)["log_loss"]["model"] or 0, rel=1e-12
        )
    assert service.stop() == 0
