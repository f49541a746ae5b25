"""A model as JSON: all that its predictions are made of, as ``docs/export.md`` tells it.

The text is written slot by slot, so that its size in memory does not grow with the model's. Each slot has a
line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression, __version__
from nonzero.export.coordinates import Coordinates, chosen, intercept_of, untouched
from nonzero.export.slot_names import SlotNames
from nonzero.fields.hashing import field_of
from nonzero.model.formula import Formula, TwoAnswers
from nonzero.model.notes import noted_fields

FORMAT: Final = "nonzero-export-1"
"""What the text says that it is."""


def write_json(
    model: LogisticRegression, file: BinaryIO, names: SlotNames | None = None, top: int | None = None
) -> int:
    """Write a model.

    Parameters
    ----------
    model
        The model.
    file
        To write to.
    names
        The names of features in its slots, where any are known.
    top
        Write only the slots of so many largest averaged weights. Predictions cannot be made from the rest,
        and the text says so. None: all.

    Returns
    -------
    int
        How many slots were written.

    Examples
    --------
    >>> import io
    >>> model, file = LogisticRegression(bits=10), io.BytesIO()
    >>> before = model.learn_one({"site": "news"}, 1)
    >>> write_json(model, file)
    1
    >>> json.loads(file.getvalue())["weights"][0]["slot"]
    783
    """
    formula = model.formula()
    members = _members(model, formula, whole=top is None)
    head = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members.items())
    file.write(f'{{\n{head},\n"weights": ['.encode())
    written = 0
    for some in chosen(model, formula, top):
        begin = ",\n" if written else "\n"
        file.write((begin + ",\n".join(_slot_lines(some, formula, names))).encode())
        written += some.slots.size
    file.write(b"\n]\n}\n")
    return written


def _members(model: LogisticRegression, formula: Formula, *, whole: bool) -> dict[str, Any]:
    """Return all but the weights."""
    return {
        "format": FORMAT,
        "nonzero": __version__,
        "digest": model.digest(),
        "examples": model.examples,
        "whole": whole,
        "settings": model.settings,
        "slots": 2**model.bits,
        "mixing": _mixing(formula),
        "averaging": formula.averaging.tolist(),
        "scales": None if formula.scales is None else _scales(model, formula.scales),
        "recalibration": None if formula.map is None else {"slope": formula.map[0], "offset": formula.map[1]},
        "intercept": _first(intercept_of(model, formula)),
        "untouched": _first(untouched(formula)),
    }


def _mixing(formula: Formula) -> dict[str, Any]:
    """Return what makes one probability of the lanes' log-odds."""
    answers = formula.answers
    if len(formula.lanes) == 1:
        return {"kind": "one"}
    if answers is None:
        return {"kind": "mixture", "shares": formula.shares.tolist()}
    return {"kind": "gated", "shares": formula.shares.tolist(), **_two_answers(answers)}


def _two_answers(answers: TwoAnswers) -> dict[str, Any]:
    return {
        "plain_shares": answers.plain_shares.tolist(),
        "regression": answers.regression.tolist(),
        "free_odds": answers.free_odds,
        "restricted_odds": answers.restricted_odds,
        "answer": "free" if answers.is_open else "restricted",
    }


def _scales(model: LogisticRegression, roots: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the fields whose scale is known, by the names that the model knows of them."""
    known = (*model.schema.fields, *noted_fields(model.notes), *model.interactions)
    names = {field_of(name): name for name in known if name in model.interactions or "*" not in name}
    return [
        {"field": field, "rms": float(roots[field])} | ({"name": names[field]} if field in names else {})
        for field in np.flatnonzero(roots).tolist()
    ]


def _first(some: Coordinates) -> dict[str, Any]:
    found: dict[str, Any] = {"lanes": some.weights[0].tolist()}
    return found if some.variances is None else found | {"variance": float(some.variances[0])}


def _slot_lines(some: Coordinates, formula: Formula, names: SlotNames | None) -> Iterator[str]:
    """Yield a line for each slot. Numbers are the shortest that read back to the same float32."""
    lanes = some.weights.astype(str).tolist()
    variances = some.slots.size * [""]
    if some.variances is not None:
        variances = [f', "variance": {text}' for text in some.variances.astype(str).tolist()]
    weights = lanes if len(formula.lanes) == 1 else (some.weights @ formula.averaging).astype(str).tolist()
    for slot, each, weight, variance in zip(some.slots.tolist(), lanes, weights, variances, strict=True):
        known = names.of(slot) if names is not None else []
        named = f', "names": {json.dumps(known)}' if known else ""
        text = weight if isinstance(weight, str) else weight[0]
        yield f'{{"slot": {slot}{named}, "weight": {text}, "lanes": [{", ".join(each)}]{variance}}}'
