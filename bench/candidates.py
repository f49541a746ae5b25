"""Candidates over a shared context over HTTP, against the same predictions of whole examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bench.measure import Comparison, Work
from bench.running import Server, serving
from bench.service import NEVER_PAUSED, SERVER_CORE, Load, request
from bench.workloads import ClickLog

__all__ = ["comparisons"]

SHARED, OWN = 30, 10
"""Features of the context, and of a candidate."""

CANDIDATES = 200
REQUESTS = 40
"""So many different ones are sent by turns."""

VALUES = 200_000
TARGET = 3.0

MODELS: dict[str, list[str]] = {
    "eight lanes": [],
    "eight lanes and three interactions": ["f1*f31", "f2*f32", "f33*f34"],
}


def bodies() -> tuple[list[bytes], list[bytes]]:
    """Return the bodies of requests with a context, and those of whole examples."""
    rng = np.random.default_rng(7)
    short: list[bytes] = []
    whole: list[bytes] = []
    for _ in range(REQUESTS):
        shared = features(0, rng.integers(VALUES, size=SHARED).tolist())
        own = [features(SHARED, row) for row in rng.integers(VALUES, size=(CANDIDATES, OWN)).tolist()]
        candidates = [{"features": one} for one in own]
        short.append(written({"shared": {"features": shared}, "candidates": candidates}))
        whole.append(written({"examples": [{"features": {**shared, **one}} for one in own]}))
    return short, whole


def features(first: int, values: list[int]) -> dict[str, str]:
    return {f"f{first + k}": f"v{value}" for k, value in enumerate(values)}


def written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def taught(server: Server, name: str, pairs: list[str], examples: list[bytes]) -> None:
    """Make a model that has learned from what it will be asked."""
    request(server.port, "PUT", f"/v1/models/{name}", written({"interactions": pairs}))
    for body in examples:
        labelled = [
            {**one, "label": int(row % 3 == 0)} for row, one in enumerate(json.loads(body)["examples"])
        ]
        request(server.port, "POST", f"/v1/models/{name}/update", written({"examples": labelled}))


def by_processor(load: Load) -> Work:
    return lambda: CANDIDATES * load.rate()


def by_clock(load: Load, seconds: int) -> Work:
    return lambda: CANDIDATES * load.asked()["requests"] / seconds


def comparisons(log: ClickLog, seconds: int) -> Iterator[Comparison]:
    """Yield the rows one by one; the servers of a row run while it is measured."""
    files: list[Path] = []
    for name, lines in zip(("candidates", "whole"), bodies(), strict=True):
        files.append(log.directory / f"{name}.ndjson")
        files[-1].write_bytes(b"\n".join(lines))
    examples = files[1].read_bytes().split(b"\n")
    with serving(core=SERVER_CORE, **NEVER_PAUSED) as server:
        for number, (what, pairs) in enumerate(MODELS.items()):
            taught(server, f"m{number}", pairs, examples)
            ours, theirs = (Load(server, f"/v1/models/m{number}/predict", file, 1, seconds) for file in files)
            for unit, work in (
                ("predictions/CPU s", by_processor),
                ("predictions/s", lambda load: by_clock(load, seconds)),
            ):
                yield Comparison(
                    f"{CANDIDATES} candidates of {OWN} features over {SHARED}, {what}, {unit}",
                    work(ours),
                    f"{CANDIDATES} examples of {SHARED + OWN}",
                    work(theirs),
                    unit,
                    TARGET,
                )
