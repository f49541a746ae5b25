"""What a saved model may hold: kernels index by some of it, and check nothing.

A digest tells damage. It does not tell who wrote a file: one that was made to harm has a right digest too,
and would let a kernel write outside of its arrays, or put numbers that are none into the state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.kernels.evidence import arrays as ev
from nonzero.kernels.evidence.arrays import Evidence
from nonzero.kernels.progress import LARGEST_WEIGHT
from nonzero.kernels.rules.optimizers import Kalman, Rule, is_combined
from nonzero.model.learned_state import LearnedState
from nonzero.model.table import Table
from nonzero.persistence.rows import ArrayRows, Rows, Touched, count_of
from nonzero.persistence.snapshot import Arrays
from nonzero.statistics.recalibration import check_map

_SCALES: Final = ("scale_squares", "scale_counts", "scale_marks")

_ROWS: Final = 64
"""So many rows of the table are looked at side by side: numpy takes ten times as long for columns of 16."""

_BLOCK: Final = 64
"""So many times as many are looked at together: they stay in the cache."""


def pack(state: LearnedState) -> dict[str, Any]:
    """Return copies of all that was learned, by name: of larger arrays what was touched."""
    return {
        name: array.copy() if isinstance(array, np.ndarray) else _touched(array)
        for name, array in state.kept().items()
    }


def _touched(rows: Rows) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the blocks and the masks of the touched rows, and these."""
    touched = rows.touched()
    return touched.blocks, touched.masks, touched.copied_from(rows)


def unpack(state: LearnedState, given: Mapping[str, Any], lanes: Sequence[Rule]) -> None:
    """Take over what was packed; refuse what no stream leads to, as far as a kernel could go astray by it.

    Parameters
    ----------
    state
        A new model's, which is of no use any more where this fails.
    given
        As :func:`pack` returned it.
    lanes
        The model's.

    Raises
    ------
    KeyError, ValueError
        It names the array, and what it must be.
    """
    kept = state.kept()
    for name, array in kept.items():
        numbers = given[name] if isinstance(array, np.ndarray) else given[name][2]
        if numbers.dtype != array.dtype:
            raise ValueError(f"{name} is {numbers.dtype}, not {array.dtype}")
        if isinstance(array, np.ndarray):
            array[:] = numbers.reshape(array.shape)
        else:
            _put(array, Touched(*given[name][:2]), numbers)
    check_restored(state, lanes, kept)


def _put(rows: Rows, touched: Touched, kept: NDArray[Any]) -> None:
    """Write the touched rows of an array."""
    touched.check(count_of(rows))
    rows.expect(touched.count)
    first = 0
    for numbers in touched.numbers():
        rows.put(numbers, kept[first : first + numbers.size])
        first += numbers.size


def check_restored(state: LearnedState, lanes: Sequence[Rule], kept: Arrays) -> None:
    """Refuse what was read into a new model's state, and no stream leads to.

    Of larger arrays only what was read is looked at. All else is as it is in a new model, and a look at it
    takes longer than all the rest of a start.

    Parameters
    ----------
    state
        The model's.
    lanes
        The model's.
    kept
        The arrays of the state, into which was read.

    Raises
    ------
    ValueError
        It names the array, and what it must be.
    """
    _check_table(state.table, lanes)
    arrays = {
        name: array if isinstance(array, np.ndarray) else array.at(array.written)
        for name, array in kept.items()
        if isinstance(array, np.ndarray | ArrayRows)
    }
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    _require(bool((arrays["shares"][0] >= 0).all()), "shares", "0 or more")
    for name in ("groups", "counts", "histogram", "evidence_counters", "evidence_shares"):
        _require(bool((arrays[name] >= 0).all()), name, "0 or more")
    mixtures = arrays["shares"][0].reshape(2, -1)
    used = mixtures if state.combined else mixtures[:1]
    _require(bool((used.sum(axis=1) > 0).all()), "shares", "0 or more, and not all 0")
    _require(bool((arrays["groups"] <= 1).all()), "groups", "0 or 1")
    _require(state.learned <= state.examples < 2**53, "counts", "examples, and those learned")
    _require(state.progress.sums[LARGEST_WEIGHT] >= 1, "sums", "1 or more where the largest weight stands")
    _check_evidence(state.evidence, arrays["evidence_places"])
    if state.scales is not None:
        _check_scales(kept)
    if state.recalibration is not None:
        check_map(state.recalibration)


def _check_table(table: Table, lanes: Sequence[Rule]) -> None:
    """Weights are bounded, sums of squares are not below 0, and all are numbers: a NaN is neither."""
    if is_combined(lanes):
        _check_variances(table, [lane for lane in lanes if isinstance(lane, Kalman)])
        return
    largest = np.array([lane.largest for lane in lanes], np.float32)
    lowest = np.concatenate([-largest, np.zeros_like(largest)])
    highest = np.concatenate([largest, np.full_like(largest, np.finfo(np.float32).max)])
    lowest, highest = np.tile(lowest, _ROWS), np.tile(highest, _ROWS)
    rows = _held(table)
    whole = len(rows) // _ROWS * _ROWS
    body = rows[:whole].reshape(-1, lowest.size)
    blocks = [body[start : start + _BLOCK] for start in range(0, len(body), _BLOCK)]
    singly = [few for few in (rows[whole:], table.memory[-1:]) if len(few)]
    for block in (*singly, *blocks):
        width = block.shape[1]
        within = (block.min(axis=0) >= lowest[:width]) & (block.max(axis=0) <= highest[:width])
        _require(bool(within.all()), "table", "weights within their bounds, and sums of squares of 0 or more")


def _touched_of(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the touched rows of some, where these are few: all others are as in a new model."""
    touched = Touched.in_rows(block)
    if 2 * touched.count > len(block):
        return block
    numbers = [*touched.numbers()]
    return block[numbers[0]] if numbers else block[:0]


def _held(table: Table) -> NDArray[np.float32]:
    """Return the rows of slots as they stand, without those that have no place."""
    memory, places = table.standing
    return memory[:-1] if places is None else memory[1 : places.taken + 1]


def _check_variances(table: Table, lanes: Sequence[Kalman]) -> None:
    """Weights are bounded; rates are above 0, and at most the first ones, which differ in the last row."""
    for rows, rules in (
        (_held(table), lanes),
        (table.memory[-1:], [lane.for_intercept() for lane in lanes]),
    ):
        first = np.array([lane.prior_variance for lane in rules], np.float32)
        for start in range(0, len(rows), _ROWS * _BLOCK):
            block = _touched_of(rows[start : start + _ROWS * _BLOCK])
            weights, kept = block[:, : len(lanes)], block[:, len(lanes) :]
            rates = (kept.view(np.uint32) ^ first.view(np.uint32)).view(np.float32)
            bounded = np.abs(weights) <= rules[0].largest
            falling = (rates > 0) & (rates <= first)
            _require(bool((bounded & falling).all()), "table", "weights and rates within their bounds")


def _check_evidence(evidence: Evidence, places: NDArray[np.int16]) -> None:
    """What the evidence's kernels index by; of the places, those that were read."""
    counters = evidence.counters
    pieces, a_block, fields = (int(counters[at]) for at in (ev.PIECES, ev.PIECES_A_BLOCK, ev.FIELDS))
    _require(
        0 < a_block <= 2**40 and pieces <= ev.BLOCKS * a_block,
        "evidence_counters",
        "pieces within their blocks",
    )
    _require(fields <= ev.MAX_FIELDS, "evidence_counters", f"at most {ev.MAX_FIELDS} fields")
    _require(
        bool((places >= -1).all() and (places < max(fields, 1)).all()), "evidence_places", "places of fields"
    )


def _check_scales(kept: Arrays) -> None:
    """What values are divided by."""
    rows = {name: array for name in _SCALES if isinstance(array := kept.get(name), ArrayRows)}
    for name, array in rows.items():
        _require(bool((array.at(array.written) >= 0).all()), name, "0 or more")
    squares, counts, marks = map(rows.get, _SCALES)
    assert squares is not None  # noqa: S101 - where there are scales, these two are
    assert counts is not None  # noqa: S101
    summed, counted = (array.at(counts.written) for array in (squares, counts))
    _require(bool((summed[counted > 0] > 0).all()), "scale_squares", "more than 0 where counted")
    if marks is not None:
        within = marks.at(marks.written) <= squares.at(marks.written)
        _require(bool(within.all()), "scale_marks", "at most the summed squares")


def _require(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{name} holds numbers that are not {what}")
