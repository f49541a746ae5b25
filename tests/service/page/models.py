"""Models in the states that a page can be asked to show, brought there as users would."""

from __future__ import annotations

import httpx

from nonzero_service.demo.chunks import simulated_chunks
from nonzero_service.demo.simulation import SimulatedLog
from service.tastes import tastes

HOSTILE = "<img src=x onerror=alert(1)>"
"""A value of a field that would be run, were it read as markup."""

VW = {"content-type": "text/x-vw"}


class Models:
    """A service, and what its models are made of.

    Parameters
    ----------
    url
        Its address.
    client
        A client of it.
    """

    def __init__(self, url: str, client: httpx.Client) -> None:
        self.url = url
        self.client = client

    def page(self, model: str) -> str:
        """Return the address at which the page shows a model."""
        return f"{self.url}/#model={model}"

    def make(self, model: str) -> str:
        """Make a model, and return its path."""
        path = f"/v1/models/{model}"
        assert self.client.put(path, json={}).status_code in (200, 201)
        return path

    def learn(self, model: str, lines: bytes, media: str = "text/x-vw") -> int:
        """Have a model learn; return the status of the answer: 202 once it is paused."""
        answer = self.client.post(
            f"{self.make(model)}/update", content=lines, headers={"content-type": media}
        )
        assert answer.is_success, answer.text
        return answer.status_code

    def changed(self, model: str = "changed") -> str:
        """Make a model of the stream that ``make run`` replays: taste changes half-way."""
        for chunk in simulated_chunks(SimulatedLog(100_000, seed=0), 1_000):
            self.learn(model, chunk.labelled, chunk.content_type)
        return model

    def paused(self, model: str) -> str:
        """Make a model whose learning is paused: suddenly everybody clicks."""
        self.learn(model, tastes(20_000, seed=1))
        assert self.learn(model, b"1 |site s1 |hour h1\n" * 3_000) == 202
        return model

    def starved(self, model: str) -> str:
        """Make a model whose rates have become too small for the change that then came."""
        self.learn(model, tastes(200_000, seed=1))
        if self.learn(model, tastes(8_000, seed=2, turned=True)) == 202:
            assert self.client.post(f"/v1/models/{model}/resume").is_success
        assert self.client.get(f"/v1/models/{model}/diagnosis").json()["verdict"] == "starved"
        return model

    def hostile(self, model: str) -> str:
        """Make a model whose names are markup, and long."""
        names = [HOSTILE, "</script><script>alert(2)</script>", "l" * 400]
        examples = [
            {"features": {"site": name, "<b>bold</b>": HOSTILE}, "label": int(k % 3 == 0)}
            for k, name in enumerate(names * 30)
        ]
        path = self.make(model)
        for action in ("predict", "update"):  # a prediction shows what features are called
            assert self.client.post(f"{path}/{action}", json={"examples": examples}).is_success
        return model
