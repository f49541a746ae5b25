"""A model's prediction as a graph of ONNX: rows of indices and values -> probabilities.

The inputs are padded, ``[rows, width]``. A nonzero whose value is 0 adds nothing, so that padding needs no
mask. Sums are made in float64: the model adds float32 in an order that ONNX does not promise, and so what is
left of the difference is the model's own rounding.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression
from nonzero.export.coordinates import Coordinates, coordinates_of, intercept_of, untouched
from nonzero.export.onnx_nodes import Nodes
from nonzero.kernels.newton import MAX_ODDS
from nonzero.kernels.rules.bounds import MAX_MARGIN
from nonzero.kernels.scales import FIELDS, LARGEST
from nonzero.model.formula import Formula, TwoAnswers
from nonzero.statistics.recalibration import LEAST_CERTAIN, MOST_CERTAIN

OPSET: Final = 13
"""The operators are those of ai.onnx of this version: of 2020, which every runtime knows."""


class Stored(NamedTuple):
    """A table as the graph holds it.

    Parameters
    ----------
    places
        int32[slots]: in which row of `table` a slot is found. None: in that of its own number.
    table
        float32[rows, lanes], with a further column for the variances where they are asked for.
    """

    places: NDArray[np.int32] | None
    table: NDArray[np.float32]


def stored(model: LogisticRegression, formula: Formula) -> Stored:
    """Return a model's table: whole, or where that is smaller, its touched rows and where they stand.

    Parameters
    ----------
    model, formula
        The model, and its own formula.

    Examples
    --------
    >>> model = LogisticRegression(bits=10)
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> found = stored(model, model.formula())
    >>> found.places.shape, int(found.places[783]), found.table.shape
    ((1024,), 1, (2, 9))
    """
    slots, new = 2**model.bits, _columns(untouched(formula))
    pieces = [(some.slots, _columns(some)) for some in coordinates_of(model, formula)]
    touched = np.concatenate([np.zeros(0, np.int64), *(numbers for numbers, _ in pieces)])
    rows = np.concatenate([new, *(columns for _, columns in pieces)])
    if slots + rows.size >= slots * new.size:
        table = np.tile(new, (slots, 1))
        table[touched] = rows[1:]
        return Stored(None, table)
    places = np.zeros(slots, np.int32)
    places[touched] = np.arange(1, len(rows))
    return Stored(places, rows)


def _columns(some: Coordinates) -> NDArray[np.float32]:
    return some.weights if some.variances is None else np.column_stack([some.weights, some.variances])


def predicting(nodes: Nodes, model: LogisticRegression, formula: Formula) -> None:
    """Put a model's prediction into a graph.

    Parameters
    ----------
    nodes
        An empty graph.
    model, formula
        The model, and its own formula.
    """
    indices = nodes.input("indices", np.int64, ["rows", "width"])
    values = nodes.input("values", np.float32, ["rows", "width"])
    if formula.scales is not None:
        fields = nodes.input("fields", np.int64, ["rows", "width"])
        values = _scaled(nodes, indices, values, fields, formula.scales)
    sums = _sums(nodes, model, formula, indices, values)
    probability, answers = _answer(nodes, formula, sums)
    if formula.map is not None:
        probability = _mapped(nodes, probability, *formula.map)
    for name, column in {"probability": probability, **answers}.items():
        nodes.output(name, nodes.float32(nodes.op("Squeeze", column, nodes.axes(1))))


def _scaled(nodes: Nodes, indices: str, values: str, fields: str, roots: NDArray[np.float64]) -> str:
    """Return values in units of their fields, as :mod:`nonzero.kernels.scales` has them."""
    zero = nodes.constant(np.int64(0))
    low = nodes.op("Mod", indices, nodes.constant(np.int64(FIELDS)))
    of = nodes.op("Where", nodes.op("Equal", fields, zero), low, fields)
    root = nodes.op("Gather", nodes.constant(roots, "scales"), of, axis=0)
    known = nodes.op("Greater", root, nodes.number(0))
    divisor = nodes.op("Where", known, root, nodes.number(1))
    quotient = nodes.op("Div", nodes.float64(values), divisor)
    limit = nodes.number(LARGEST)
    within = nodes.float32(nodes.op("Clip", quotient, nodes.op("Neg", limit), limit))
    return nodes.op("Where", known, within, nodes.op("Sign", values))


def _sums(nodes: Nodes, model: LogisticRegression, formula: Formula, indices: str, values: str) -> str:
    """Return float64[rows, columns]: each lane's sum of weights times values; of variances times squares."""
    found, last = stored(model, formula), _columns(intercept_of(model, formula))
    at = nodes.op("Mod", indices, nodes.constant(np.int64(2**model.bits)))
    if found.places is not None:
        at = nodes.op("Gather", nodes.constant(found.places, "places"), at, axis=0)
    rows = nodes.float64(nodes.op("Gather", nodes.constant(found.table, "table"), at, axis=0))
    x = nodes.op("Unsqueeze", nodes.float64(values), nodes.axes(1))
    lanes = len(formula.lanes)
    if formula.answers is None:
        sums = nodes.op("Squeeze", nodes.op("MatMul", x, rows), nodes.axes(1))
    else:
        both = nodes.op("MatMul", nodes.op("Concat", x, nodes.op("Mul", x, x), axis=1), rows)
        plain, squared = (nodes.op("Gather", both, nodes.constant(np.int64(k)), axis=1) for k in range(2))
        sums = nodes.op(
            "Concat", nodes.columns(plain, 0, lanes), nodes.columns(squared, lanes, lanes + 1), axis=1
        )
    return nodes.op("Add", sums, nodes.constant(last.astype(np.float64)))


def _answer(nodes: Nodes, formula: Formula, sums: str) -> tuple[str, dict[str, str]]:
    """Return what is predicted, before it is recalibrated, and both answers where there is a gate.

    Each is float64[rows, 1].
    """
    limit = float(MAX_MARGIN)
    lanes = len(formula.lanes)
    margins = sums if formula.answers is None else nodes.columns(sums, 0, lanes)
    margins = nodes.op("Clip", margins, nodes.number(-limit), nodes.number(limit))
    if lanes == 1:
        return nodes.op("Sigmoid", margins), {}
    clicks, nones = nodes.op("Sigmoid", margins), nodes.op("Sigmoid", nodes.op("Neg", margins))
    click, none = _mixed(nodes, clicks, nones, formula.shares)
    if formula.answers is None:
        return click, {}
    unsure = nodes.op("Log", nodes.op("Add", nodes.columns(sums, lanes, lanes + 1), nodes.number(1)))
    base = nodes.op("Sub", nodes.op("Log", click), nodes.op("Log", none))
    raw = _regressed(nodes, formula.answers, margins, base, unsure)
    plain = nodes.op(
        "Gather", margins, nodes.constant(np.flatnonzero(formula.answers.plain_shares > 0)), axis=1
    )
    lowest = nodes.op("ReduceMin", plain, axes=[1], keepdims=1)
    highest = nodes.op("ReduceMax", plain, axes=[1], keepdims=1)
    within = nodes.op("Min", nodes.op("Max", raw, lowest), highest)
    slow, _ = _mixed(nodes, clicks, nones, formula.answers.plain_shares)
    free = _aggregated(nodes, click, raw, formula.answers.free_odds)
    restricted = _aggregated(nodes, slow, within, formula.answers.restricted_odds)
    return free if formula.answers.is_open else restricted, {"free": free, "restricted": restricted}


def _mixed(nodes: Nodes, clicks: str, nones: str, shares: NDArray[np.float32]) -> tuple[str, str]:
    """Return (a mixture's probability of a click, and of none), each float64[rows, 1]."""
    column = nodes.constant(shares.astype(np.float64).reshape(-1, 1))
    click, none = nodes.op("MatMul", clicks, column), nodes.op("MatMul", nones, column)
    whole = nodes.op("Add", click, none)
    return nodes.op("Div", click, whole), nodes.op("Div", none, whole)


def _regressed(nodes: Nodes, answers: TwoAnswers, margins: str, base: str, unsure: str) -> str:
    """Return float64[rows, 1]: the log-odds of the regression over the lanes."""
    size = nodes.op("Abs", base)
    inputs = nodes.op(
        "Concat",
        nodes.op("Sub", margins, base),
        base,
        unsure,
        nodes.op("Mul", unsure, base),
        size,
        nodes.op("Mul", nodes.op("Mul", base, size), nodes.number(0.25)),
        axis=1,
    )
    weights = answers.regression.astype(np.float64)
    constant = weights[9]
    summed = nodes.op("MatMul", inputs, nodes.constant(np.delete(weights, 9).reshape(-1, 1)))
    limit = float(MAX_ODDS)
    raw = nodes.op("Add", summed, nodes.number(constant))
    return nodes.op("Clip", raw, nodes.number(-limit), nodes.number(limit))


def _aggregated(nodes: Nodes, mixture: str, odds: str, share_odds: float) -> str:
    """Return the mixture of a mixture and the regression."""
    share = share_odds / (share_odds + 1)
    regression = nodes.op("Mul", nodes.op("Sigmoid", odds), nodes.number(share))
    return nodes.op("Add", nodes.op("Mul", mixture, nodes.number(1 - share)), regression)


def _mapped(nodes: Nodes, probability: str, slope: float, offset: float) -> str:
    """Return what recalibration makes of predictions, which it takes as float32 has them."""
    p = nodes.float64(nodes.float32(probability))
    p = nodes.op("Clip", p, nodes.number(float(LEAST_CERTAIN)), nodes.number(float(MOST_CERTAIN)))
    odds = nodes.op("Sub", nodes.op("Log", p), nodes.op("Log", nodes.op("Sub", nodes.number(1), p)))
    odds = nodes.op("Add", nodes.op("Mul", odds, nodes.number(slope)), nodes.number(offset))
    limit = float(MAX_MARGIN)
    return nodes.op("Sigmoid", nodes.op("Clip", odds, nodes.number(-limit), nodes.number(limit)))


def inputs_of(model: LogisticRegression, batch: Any) -> dict[str, NDArray[Any]]:
    """Return a batch as the graph of a model takes it.

    Parameters
    ----------
    model
        The model, whose interactions are multiplied here: the graph does not.
    batch
        The examples, a :class:`nonzero.Batch`.

    Returns
    -------
    dict
        ``indices`` int64[rows, width], ``values`` float32[rows, width] and, for a model that scales values,
        ``fields`` int64[rows, width]; the width is that of the longest row, at least 1.

    Examples
    --------
    >>> from nonzero import Batch
    >>> rows = Batch([0, 2, 3], [7, 9, 7], [1.0, 0.5, 2.0])
    >>> inputs = inputs_of(LogisticRegression(bits=10), rows)
    >>> inputs["indices"].tolist(), inputs["values"].tolist()
    ([[7, 9], [7, 0]], [[1.0, 0.5], [2.0, 0.0]])
    """
    whole = model.expanded(batch)
    lengths = np.diff(whole.indptr)
    filled = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    arrays: dict[str, NDArray[Any]] = {
        "indices": whole.indices.astype(np.int64),
        "values": whole.explicit_values(),
    }
    if model.scaled:
        fields = np.zeros(whole.nnz, np.int64) if whole.fields is None else whole.fields
        arrays["fields"] = fields.astype(np.int64)
    inputs = {}
    for name, array in arrays.items():
        inputs[name] = np.zeros(filled.shape, array.dtype)
        inputs[name][filled] = array
    return inputs
