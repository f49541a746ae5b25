"""Warming: what a request may run is imported and run once before the service is ready."""

from __future__ import annotations

from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.formats.registry import FORMATS
from nonzero_service.media_types import STREAMS


def warm_up() -> None:
    """Run what reads, learns and predicts."""
    for name in STREAMS.values():
        reader = formats.reader(name)
        reader.feed(FORMATS[name].lines.encode() + b"?\n")
        reader.finish()
    batch = Batch([0, 1, 2], [1, 2], [1.0, 0.5], labels=[0, 1])
    for optimizer in (None, AdaGrad(0.05)):
        model = LogisticRegression(4, optimizer)
        model.learn(batch)
        model.predict(batch)
        model.explain(batch.rows(0, 1))
        model.metrics()
