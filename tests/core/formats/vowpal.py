"""Vowpal Wabbit as the oracle of its own text."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import murmurhash3_32

from nonzero import formats
from nonzero.fields.hashing import index_of

IS_THERE = importlib.util.find_spec("vowpalwabbit") is not None
NO_LABEL = float(np.finfo(np.float32).max)
LABELS = {-1.0: 0.0}  # as we write its labels
MASK = 2**24 - 1
SMALLEST = float(np.finfo(np.float32).smallest_normal)


class Reading(NamedTuple):
    """What Vowpal Wabbit reads in a line; names are joined by ``=``."""

    label: float
    """NaN for none."""
    weight: float
    initial: float
    tag: str
    features: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        """Write it as ``docs/vw.md`` does."""
        label = "-" if np.isnan(self.label) else f"{self.label:g}"
        names = "".join(f" {name}:{value:g}" for name, value in self.features)
        return f"{label} {self.weight:g} |{names}"


def read_by_vowpal(lines: Sequence[str], directory: Path) -> list[Reading]:
    """Let Vowpal Wabbit read lines, in a process of its own.

    Parameters
    ----------
    lines
        Without line ends in them, and without ``^``, by which its audit joins names.
    directory
        Where two files may be written.
    """
    text, heads = directory / "lines.vw", directory / "heads.json"
    text.write_bytes("".join(f"{line}\n" for line in lines).encode())
    script = Path(__file__).with_name("vowpal_reads.py")
    done = subprocess.run([sys.executable, script, text, heads], capture_output=True, check=True)
    audits = done.stdout.decode().split("\n")[1::2]
    return [
        Reading(float("nan") if label == NO_LABEL else label, weight, initial, tag, _features(audit))
        for (label, weight, initial, tag), audit in zip(json.loads(heads.read_text()), audits, strict=True)
    ]


def _features(audit: str) -> tuple[tuple[str, float], ...]:
    """Read ``name:hash:value:weight`` for each feature."""
    found = []
    for feature in audit.split("\t")[1:]:
        name, slot, value, _ = feature.rsplit(":", 3)
        if not name or name.endswith("^"):  # it has a number, which only its hash tells
            namespace = name[:-1].encode()
            first = murmurhash3_32(namespace, 0, positive=True) if namespace else 0
            name += str((int(slot) - first) & MASK)
        found.append((name.replace("^", "="), float(value)))
    return tuple(sorted(found))


class Compared(NamedTuple):
    """How Nonzero reads some lines beside Vowpal Wabbit, by line numbers from 1."""

    refused: dict[int, str]
    """Why it reads none."""
    differing: dict[int, str]
    """What it reads otherwise, and is no error."""


def compare(lines: Sequence[str], theirs: Sequence[Reading]) -> Compared:
    """Read lines, and hold them against what Vowpal Wabbit read.

    Values beyond the normal ones of float32, where its arithmetic ends, are left out on either side.
    """
    reader = formats.reader("vw")
    parts = [reader.feed("".join(f"{line}\n" for line in lines).encode()), reader.finish()]
    refused = {error.line: error.reason for part in parts for error in part.errors}
    differing = {}
    for number in (number for part in parts for number in part.skipped):
        reading = theirs[number - 1]
        if reading.features or reading.tag or not np.isnan(reading.label):
            differing[number] = f"blank, not {reading}"
    for part in parts:
        batch = part.batch
        values = batch.explicit_values()
        for row, number in enumerate(part.lines.tolist()):
            reading = theirs[number - 1]
            span = slice(batch.indptr[row], batch.indptr[row + 1])
            ours = zip(batch.indices[span].tolist(), values[span].tolist(), strict=True)
            found = sorted((index, value) for index, value in ours if abs(value) >= SMALLEST)
            wanted = sorted((index_of(name), value) for name, value in reading.features if np.isfinite(value))
            head = (
                batch.labels[row],
                batch.weights[row],
                0.0,
                (batch.ids[row] if batch.ids is not None else None) or "",
            )
            label = LABELS.get(reading.label, reading.label)
            if not (
                head[3] == reading.tag
                and [index for index, _ in found] == [index for index, _ in wanted]
                and _alike(head[:3], (label, reading.weight, reading.initial))
                and _alike([value for _, value in found], [value for _, value in wanted])
            ):
                differing[number] = f"{head} {found}, not {reading}"
    return Compared(refused, differing)


def _alike(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Tell whether numbers are the same but for the six digits that an audit shows."""
    return np.allclose(ours, theirs, rtol=2e-5, atol=0, equal_nan=True)
