"""Files with one bit flipped: what is made of them is the truth, or they are refused."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nonzero.errors import NonzeroError


def flip(
    files: Mapping[str, bytes],
    weights: Mapping[str, int],
    place: Path,
    flips: int,
    ask: Callable[[Path], Any],
    refusal: type[NonzeroError],
) -> tuple[int, list[str]]:
    """Flip one random bit at a time.

    Parameters
    ----------
    files
        By their paths under `place`.
    weights
        How often each is chosen.
    place
        Where they are put.
    flips
        How often.
    ask
        Returns what is made of them, or refuses them.
    refusal
        By this error.

    Returns
    -------
    tuple
        How often they were refused, and which file it was each time that the flip was harmless.
    """
    _restore(place, files)
    truth = ask(place)
    chance = random.Random(flips)
    named, harmless = 0, []
    for _ in range(flips):
        _restore(place, files)
        name = chance.choices(list(weights), list(weights.values()))[0]
        data = bytearray(files[name])
        bit = chance.randrange(8 * len(data))
        data[bit // 8] ^= 1 << bit % 8
        (place / name).write_bytes(data)
        try:
            found = ask(place)
        except refusal:
            named += 1
        else:
            assert found == truth, f"bit {bit} of {name}"
            harmless.append(name)
    return named, harmless


def _restore(place: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
