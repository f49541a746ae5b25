"""Warming: what a request may run is imported, compiled and run once before the service is ready."""

from __future__ import annotations

from typing import Final

from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.compiled import wait_for_kernels

__all__ = ["warm_up"]

LINES: Final = {
    "ndjson": b'{"features":{"a":"b","c":0.5,"d":["e"]},"label":1}\n{"indices":[1],"values":[2]}\n?\n',
    "vw": b"1 2.0 f| a=b c:0.5 |d e\n-1 | g\n?\n",
    "libsvm": b"1 1:2.5 3:1\n-1\n?\n",
}
"""Of each format: lines of several kinds, a bad one among them."""


def warm_up() -> None:
    """Run what reads, learns and predicts; other kernels are there when they are imported."""
    # First all are made: so this process compiles one reader while its companion is at another.
    readers = {name: formats.reader(name) for name in LINES}
    wait_for_kernels()
    for name, reader in readers.items():
        reader.feed(LINES[name])
        reader.finish()
    batch = Batch([0, 1, 2], [1, 2], [1.0, 0.5], labels=[0, 1])
    for optimizer in (None, AdaGrad(0.05)):
        model = LogisticRegression(4, optimizer)
        model.learn(batch)
        model.predict(batch)
        model.explain(batch.rows(0, 1))
        model.metrics()
