"""Predictions are format_predictions as Python writes them, to the last digit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero_service.bodies.prediction_text import format_predictions

SMALLEST, LARGEST = np.float32(1e-10), np.float32(1)


def around(centre: float) -> NDArray[np.float32]:
    """Return the float32s about a number that are no probability too small and none above 1."""
    bits = np.float32(centre).view(np.int32) + np.arange(-100, 100, dtype=np.int32)
    return np.clip(bits.view(np.float32), SMALLEST, LARGEST)


@pytest.mark.parametrize(
    "probabilities",
    [
        np.concatenate([around(10.0**-e) for e in range(11)]),
        np.concatenate([around(2.0**-e) for e in range(34)]),  # their tenth digit may be a 5, and the last
        np.arange(1, 2**14) / np.float32(2**14),
        np.arange(1, 1000) / np.float32(1000),
        10 ** -np.random.default_rng(1).uniform(0, 10, 50_000),
    ],
    ids=["powers of ten", "powers of two", "ties", "few digits", "random"],
)
def test_nine_digits_as_c_writes_them(probabilities: NDArray[np.float64]) -> None:
    found = np.clip(probabilities.astype(np.float32), SMALLEST, LARGEST)
    lines = format_predictions(found, None, b"\n")
    assert lines is not None
    assert lines.decode().splitlines() == [f'{{"probability":{p:.9g}}}' for p in found.tolist()]


def test_ids_stand_where_there_are_any() -> None:
    names = ["a", None, "imp-1", "é", 'q"', "\\", "\x7f", "x" * 255]
    data = bytearray("".join(name or "" for name in names).encode())
    ends = np.cumsum([len((name or "").encode()) for name in names])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], 1)
    spans[1] = -1
    found = np.linspace(0.1, 0.8, len(names), dtype=np.float32)
    plain = np.array([0, 1, 2, 7])
    lines = format_predictions(found[plain], Ids.of_spans(data, spans[plain]), b"\n")
    assert lines is not None
    assert [json.loads(line).get("id") for line in lines.splitlines()] == ["a", None, "imp-1", "x" * 255]
    for row in (3, 4, 5, 6):
        assert format_predictions(found[:1], Ids.of_spans(data, spans[row : row + 1]), b"\n") is None


def test_what_is_not_kept_says_so_beside_its_id() -> None:
    data, spans = bytearray(b"ab"), np.array([[0, 1], [-1, -1], [1, 2]])
    found = np.array([0.25, 1.23456789e-10, 1.23456789e-10], np.float32)
    lines = format_predictions(found, Ids.of_spans(data, spans), b"\n", kept=False)
    assert lines is not None
    rows = [json.loads(line) for line in lines.splitlines()]
    assert [(row.get("id"), row.get("kept")) for row in rows] == [("a", False), (None, None), ("b", False)]
    kept = format_predictions(found, Ids.of_spans(data, spans), b"\n")
    assert kept == lines.replace(b',"kept":false', b"")


def test_small_ones_among_others_are_written_as_python_does() -> None:
    small = [0.0, 9.9999994e-11, 1e-45, 1.23456789e-22]
    found = np.array([0.5, small[0], 0.25, small[1], small[2], 1.0, small[3]], np.float32)
    data, spans = bytearray(b"abcdefg"), np.stack([np.arange(7), np.arange(1, 8)], 1)
    for ids in (None, Ids.of_spans(data, spans)):
        lines = format_predictions(found, ids, b"\n")
        assert lines is not None
        said = [json.loads(line, parse_float=str, parse_int=str) for line in lines.splitlines()]
        assert [row["probability"] for row in said] == [f"{p:.9g}" for p in found.tolist()]
        assert [row.get("id") for row in said] == ([None] * 7 if ids is None else list("abcdefg"))


@pytest.mark.parametrize("others", [[], [9e-11]])
def test_what_is_no_probability_is_left_to_python(others: list[float]) -> None:
    assert format_predictions(np.array([0.5, *others, float("nan")], np.float32), None, b"\n") is None
    assert format_predictions(np.array([0.5, *others, 1.5], np.float32), None, b"\n") is None
