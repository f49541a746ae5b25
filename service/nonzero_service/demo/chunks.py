"""A click log as request bodies, a hundred examples each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.errors import LineError
from nonzero.formats import Reader
from nonzero_service.demo.simulation import SimulatedLog

_NDJSON: Final = "application/x-ndjson"

_encode: Final = msgspec.json.Encoder().encode_lines


class LogChunk(NamedTuple):
    """Consecutive examples of a log, a line each."""

    content_type: str
    """Of both bodies."""
    unlabelled: bytes
    """What is to be predicted."""
    labelled: bytes
    """What is to be learned from."""
    lines: NDArray[np.int64]
    """int64[n]: where each example stands in the log, counted from 1."""
    labels: NDArray[np.float32]
    """float32[n]: 0 or 1; NaN for an example without a label, and for a line that cannot be read."""
    weights: NDArray[np.float32]
    """float32[n]: importance weights."""
    rates: NDArray[np.float64] | None = None
    """float64[n]: the true click rates, where they are known."""
    errors: tuple[LineError, ...] = ()
    """Lines of the log that cannot be sent."""


def json_chunk(
    features: Iterable[dict[str, Any]],
    lines: NDArray[np.int64],
    labels: NDArray[np.float32],
    rates: NDArray[np.float64] | None = None,
    errors: tuple[LineError, ...] = (),
    weights: NDArray[np.float32] | None = None,
) -> LogChunk:
    """Make NDJSON of examples given by name; what is to be predicted goes without its label."""
    unlabelled: list[dict[str, Any]] = [{"features": named} for named in features]
    labelled = [
        example if np.isnan(label) else {**example, "label": int(label)}
        for example, label in zip(unlabelled, labels, strict=True)
    ]
    if weights is None:
        weights = np.ones(labels.size, np.float32)
    else:
        weighted = zip(labelled, weights.tolist(), strict=True)
        labelled = [{**example, "weight": weight} for example, weight in weighted]
    return LogChunk(_NDJSON, _encode(unlabelled), _encode(labelled), lines, labels, weights, rates, errors)


def simulated_chunks(log: SimulatedLog, size: int) -> Iterator[LogChunk]:
    """Make chunks of a simulated log."""
    before = 0
    for block in log.blocks():
        for start in range(0, len(block.clicks), size):
            part = slice(start, start + size)
            labels = block.clicks[part].astype(np.float32)
            lines = np.arange(before + 1, before + 1 + labels.size)
            features = [log.features(values) for values in block.values[part]]
            before += labels.size
            yield json_chunk(features, lines, labels, block.rates[part])


def line_chunks(blocks: Iterable[bytes], reader: Reader, content_type: str, size: int) -> Iterator[LogChunk]:
    """Send the lines of a file as they are, to be predicted too: a prediction looks at no label.

    Parameters
    ----------
    blocks
        The file.
    reader
        A new reader of its format, which finds the labels that the predictions are held against.
    content_type
        The format's name in HTTP.
    size
        Lines a chunk.
    """
    before = 0
    source = lines_of(blocks)
    while texts := list(islice(source, size)):
        body = b"".join(text + b"\n" for text in texts)
        parsed = reader.feed(body)
        lines = np.arange(before + 1, before + 1 + len(texts))
        labels = np.full(lines.size, np.nan, np.float32)
        weights = np.ones(lines.size, np.float32)
        rows = parsed.lines - (before + 1)
        labels[rows] = parsed.batch.labels
        weights[rows] = parsed.batch.weights
        before += lines.size
        yield LogChunk(content_type, body, body, lines, labels, weights)


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Cut blocks into lines, without their ends.

    Examples
    --------
    >>> list(lines_of([b"a\nb", b"b\n\nc"]))
    [b'a', b'bb', b'', b'c']
    """
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest
