"""Warming: what a request may run is imported and run once before the service is ready."""

from __future__ import annotations

from typing import Final

from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.formats.registry import FORMATS
from nonzero_service.media_types import STREAMS

MORE: Final = {
    "ndjson": b'{"features":{"a":"b","c":0.5,"d":["e"]},"label":1}\n{"indices":[1],"values":[2]}\n?\n',
    "vw": b"1 2.0 f| a=b c:0.5 |d e\n-1 | g\n?\n",
    "libsvm": b"1 1:2.5 3:1\n-1\n?\n",
}
"""Of some formats lines of further kinds."""


def warm_up() -> None:
    """Run what reads, learns and predicts."""
    for name in STREAMS.values():
        reader = formats.reader(name)
        reader.feed(MORE.get(name, FORMATS[name].lines.encode() + b"?\n"))
        reader.finish()
    batch = Batch([0, 1, 2], [1, 2], [1.0, 0.5], labels=[0, 1])
    for optimizer in (None, AdaGrad(0.05)):
        model = LogisticRegression(4, optimizer)
        model.learn(batch)
        model.predict(batch)
        model.explain(batch.rows(0, 1))
        model.metrics()
