"""Clicks of readers with a taste, as VW text: what a model can learn, and what it has to learn anew."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["tastes"]


@cache
def tastes(n: int, seed: int, turned: bool = False) -> bytes:
    """Return VW text of clicks that two namespaces decide; `turned`, the other way round."""
    rng = np.random.default_rng(seed)
    sites, hours = rng.integers(0, 8, n), rng.integers(0, 5, n)
    clicked = rng.random(n) < np.where((sites < 4) ^ turned, 0.8, 0.1)
    return "".join(
        f"{1 if click else -1} |site s{site} |hour h{hour}\n"
        for click, site, hour in zip(clicked.tolist(), sites.tolist(), hours.tolist(), strict=True)
    ).encode()
