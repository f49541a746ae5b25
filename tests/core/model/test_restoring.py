"""A file whose digest is right and whose contents are not is refused: kernels check nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.saved import arrays_of, write
from core.streams import random_batch
from nonzero import LogisticRegression, SnapshotError
from nonzero.kernels.evidence.arrays import FIELDS, PIECES, PIECES_A_BLOCK

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def put(name: str, at: Any, value: float) -> Change:
    def change(tensors: dict[str, Any], _: dict[str, Any]) -> None:
        tensors[name][at] = value

    return change


def setting(name: str, value: Any) -> Change:
    def change(_: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["settings"][name] = value

    return change


def beside(value: Any) -> Change:
    def change(_: dict[str, Any], metadata: dict[str, Any]) -> None:
        metadata["settings"] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("table", (0, 0), np.nan),
        put("table", (3, 1), np.inf),
        put("table", (3, 1), 1e23),
        put("table", (3, 12), -1),
        put("table", (3, 12), np.nan),
        put("table", (16, 0), np.nan),
        put("shares", 0, 0),
        put("shares", (0, slice(0, 8)), 0),
        put("shares", (0, slice(8, 16)), 0),
        put("shares", (0, 1), -1),
        put("sums", 0, np.nan),
        put("sums", 4, 0),
        put("counts", 0, -1),
        put("counts", 1, 2**60),
        put("recent", (5, 1), np.nan),
        put("evidence_counters", PIECES_A_BLOCK, 0),
        put("evidence_counters", PIECES, 2**40),
        put("evidence_counters", FIELDS, 257),
        put("evidence_places", 7, 256),
        put("evidence_places", 7, -2),
        put("evidence_lane_losses", 0, np.inf),
        put("scale_counts", 0, -1),
        put("scale_squares", ..., 0),
        setting("bits", 3),
        setting("bits", 30),
        setting("bits", "4"),
        setting("lanes", 7),
        setting("lanes", [{"rule": "adagrad"}]),
        beside(None),
        beside(["bits", "lanes", "scaled"]),
    ],
)
def test_what_no_stream_leads_to_is_refused(tmp_path: Path, change: Change) -> None:
    model = LogisticRegression(4)
    model.learn(random_batch(1, slots=16))
    model.save(tmp_path / "model")
    tensors, metadata = arrays_of(model), {"settings": model.settings, "notes": {}}
    change(tensors, metadata)
    write(tmp_path / "changed", tensors, metadata, like=model)
    with pytest.raises(SnapshotError):
        LogisticRegression.load(tmp_path / "changed")
    assert LogisticRegression.load(tmp_path / "model").digest() == model.digest()
