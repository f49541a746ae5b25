"""Steady traffic: predictions with ids whose labels come one step later, and updates."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import httpx

from service.conftest import ServiceProcess
from waiting import until

__all__ = ["PATH", "Traffic", "ndjson"]

PATH: Final = "/v1/models/default"
RATES: Final = {"news": 0.3, "sport": 0.1, "blog": 0.05}
"""How often an impression of each site is clicked."""


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


class Traffic:
    """Of one model of one service.

    Parameters
    ----------
    service
        The service.
    path
        The model's.
    """

    def __init__(self, service: ServiceProcess, path: str = PATH) -> None:
        self.service = service
        self.path = path
        self.labels: list[dict[str, Any]] = []
        """Of clicks, which come with the next step."""
        self._chance = random.Random(0)
        self._ids = 0

    def teach(self, count: int = 3000) -> None:
        """Let the model learn: the first guesses of a new one are far off."""
        examples = [one | {"label": self._clicked(one)} for one in self._examples(count)]
        with self.service.client() as client:
            client.post(f"{self.path}/update", json={"examples": examples}).raise_for_status()

    def step(self, predicted: int = 40, updated: int = 40) -> None:
        """Send the labels of the step before, predictions, and an update; all has to be taken."""
        with self.service.client() as client:
            if self.labels:
                client.post(f"{self.path}/labels", json={"labels": self.labels}).raise_for_status()
            self.predict(client, predicted)
        self.teach(updated)

    def until_told(self, client: httpx.Client) -> None:
        """Wait until it is told how good predictions were: that is worked out once a second."""
        until(lambda: "nonzero_model_recent_calibration{" in client.get("/metrics").text)

    def predict(self, client: httpx.Client, count: int) -> httpx.Response:
        """Send predictions with ids."""
        examples = self._examples(count)
        for one in examples:
            self._ids += 1
            one["id"] = f"i{self._ids}"
        answer = client.post(f"{self.path}/predict", json={"examples": examples}).raise_for_status()
        self.labels = [{"id": one["id"], "label": 1} for one in examples if self._clicked(one)]
        return answer

    def _examples(self, count: int) -> list[dict[str, Any]]:
        return [{"features": {"site": self._chance.choice([*RATES])}} for _ in range(count)]

    def _clicked(self, example: dict[str, Any]) -> int:
        return int(self._chance.random() < RATES[example["features"]["site"]])
