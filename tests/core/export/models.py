"""Models of every kind that can be exported, with what they have learned."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, DualAveraging, LogisticRegression
from nonzero.export.golden import golden_lines, random_rows
from nonzero.export.json_text import write_json
from nonzero.kernels.rules.optimizers import Kalman

BITS: Final = 10
CLOSE: Final = 1e-6


def by_index(**settings: Any) -> LogisticRegression:
    """Return a model of rows of indices with values."""
    model = LogisticRegression(**({"bits": BITS} | settings))
    model.learn(random_batch(1, n=1500, slots=2**7))
    return model


def by_name(**settings: Any) -> LogisticRegression:
    """Return a model of rows of names: of categories, lists of them, and numbers far from 1."""
    model = LogisticRegression(bits=BITS, **settings)
    model.learn(Batch.from_dicts(*named_rows(800)))
    return model


def named_rows(n: int) -> tuple[list[dict[str, Any]], list[int]]:
    """Return dicts of features, and labels."""
    rng = np.random.default_rng(7)
    rows = [
        {"site": f"s{a}", "tags": [f"t{b}", f"t{c}"], "bid": float(x), "zero": 0.0}
        for (a, b, c), x in zip(rng.integers(0, 30, (n, 3)).tolist(), rng.normal(50, 400, n), strict=True)
    ]
    return rows, (rng.random(n) < 0.3).astype(int).tolist()


PAIRS: Final = ["site*tags", "tags*tags", "site*bid"]

MODELS: Final[dict[str, Callable[[], LogisticRegression]]] = {
    "new": lambda: LogisticRegression(bits=BITS),
    "default": by_index,
    "default, by name": by_name,
    "default, recalibrated": lambda: by_name(recalibrated=True),
    "default, interactions": lambda: by_name(interactions=PAIRS),
    "default, of version 2": lambda: by_index(version=2),
    "default, unscaled": lambda: by_index(scaled=False),
    "default, every slot": lambda: by_index(bits=7),
    "default, few slots of many": lambda: by_index(bits=20),
    "open gate": lambda: by_index(optimizer=[Kalman(0.1 * k) for k in range(1, 9)]),
    "AdaGrad": lambda: by_index(optimizer=AdaGrad(0.5)),
    "AdaGrad, scaled, recalibrated": lambda: by_name(optimizer=AdaGrad(), scaled=True, recalibrated=True),
    "AdaGrad, interactions": lambda: by_name(optimizer=AdaGrad(0.01), interactions=PAIRS[:2], scaled=True),
    "FTRL with zeros": lambda: by_index(optimizer=FTRL(l1=3)),
    "dual averaging": lambda: by_index(optimizer=DualAveraging(l1=1e-3)),
    "eight of AdaGrad": lambda: by_index(optimizer=[AdaGrad(0.1 * k) for k in range(1, 9)]),
    "eight of any": lambda: by_index(optimizer=[AdaGrad(), FTRL(), DualAveraging(), FTRL(l1=0)] * 2),
}
"""By what they are."""


@cache
def model_of(name: str) -> LogisticRegression:
    """Return one of them, which nobody may teach further."""
    return MODELS[name]()


def rows_for(model: LogisticRegression) -> Batch:
    """Return rows to predict: random ones, and some with names."""
    return Batch.concatenate([random_rows(model, 300), Batch.from_dicts(named_rows(100)[0])])


def exported(model: LogisticRegression, **options: Any) -> dict[str, Any]:
    """Return a model's JSON, read."""
    file = io.BytesIO()
    write_json(model, file, **options)
    found: dict[str, Any] = json.loads(file.getvalue())
    return found


def golden(model: LogisticRegression, batch: Batch) -> list[dict[str, Any]]:
    """Return golden predictions, read."""
    return [json.loads(line) for line in golden_lines(model, batch)]
