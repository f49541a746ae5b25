"""Answers as bytes: the JSON of predictions, and answers that are streamed.

They are made by hand where a request may take tens of microseconds. A probability is written with nine
digits: they say which float32 it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.types import Send

from nonzero import LineError
from nonzero.formats import Parsed
from nonzero_service.bodies.prediction_text import format_predictions
from nonzero_service.bodies.spool import Spool
from nonzero_service.media_types import JSON, NDJSON

CONTENT_JSON: Final = (b"content-type", JSON.encode())
CONTENT_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
CONTENT_NDJSON: Final = (b"content-type", NDJSON.encode())


async def send_json(send: Send, body: bytes, status: int = 200) -> None:
    """Answer with JSON."""
    await send_whole(send, CONTENT_JSON, body, status)


async def send_whole(send: Send, content: tuple[bytes, bytes], body: bytes, status: int = 200) -> None:
    """Answer with a body of whatever type: `content` is the header that says it."""
    headers = [content, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_stream(send: Send, spool: Spool, write: Callable[[Spool], Awaitable[None]]) -> None:
    """Answer 200 with NDJSON lines that `write` puts into a spool, as fast as the client takes them.

    The answer begins with its first line: until then `write` may still raise a problem.
    """

    async def fill() -> None:
        try:
            await write(spool)
        finally:
            spool.end()

    writing = asyncio.create_task(fill())
    try:
        data = await spool.take()
        if not data:
            await writing
        await send({"type": "http.response.start", "status": 200, "headers": [CONTENT_NDJSON]})
        while data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            data = await spool.take()
        await writing
        await send({"type": "http.response.body", "body": b""})
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await writing
        spool.close()


def predictions(
    model: str,
    found: NDArray[np.float32],
    ids: Sequence[str | None] | None,
    sequence: int,
    uncertainty: NDArray[np.float32] | None = None,
    *,
    kept: bool = True,
) -> bytes:
    """Return the answer to a JSON body; `kept`: whether what has an id is kept."""
    rows = format_predictions(found, ids, b",", kept=kept) if uncertainty is None else None
    if rows is None:
        rows = ",".join(_rows(found, ids, uncertainty, kept=kept)).encode() + b","
    return b'{"model":"%b","predictions":[%b],"sequence":%d}' % (model.encode(), rows[:-1], sequence)


def prediction(model: str, probability: float, sequence: int) -> bytes:
    """Return the answer to a JSON body of one example without an id."""
    text = f'{{"model":"{model}","predictions":[{{"probability":{probability:.9g}}}],"sequence":{sequence}}}'
    return text.encode()


def probabilities(found: NDArray[np.float32]) -> bytes:
    """Return probabilities as the elements of a JSON list, which other protocols answer with."""
    return ",".join(map("%.9g".__mod__, found.tolist())).encode()


def prediction_lines(
    found: NDArray[np.float32],
    parsed: Parsed,
    uncertainty: NDArray[np.float32] | None = None,
    *,
    kept: bool = True,
) -> bytes:
    """Return a line for each line of a streamed body: a prediction, or why there is none.

    A blank line has its line too, so that the n-th answer is always that of the n-th line. `kept`: whether
    what has an id is kept.
    """
    ids = parsed.batch.ids
    if uncertainty is None and not parsed.errors and not parsed.skipped:
        lines_of_all = format_predictions(found, ids, b"\n", kept=kept)
        if lines_of_all is not None:
            return lines_of_all
    lines = list(zip(parsed.lines.tolist(), _rows(found, ids, uncertainty, kept=kept), strict=True))
    skipped = [LineError(line, "the line holds no example") for line in parsed.skipped]
    for line, reason in (*parsed.errors, *skipped):
        lines.append((line, msgspec.json.encode({"line": line, "reason": reason}).decode()))
    lines.sort()
    return "".join([f"{line}\n" for _, line in lines]).encode()


def _rows(
    found: NDArray[np.float32],
    ids: Sequence[str | None] | None,
    uncertainty: NDArray[np.float32] | None,
    *,
    kept: bool,
) -> Iterator[str]:
    """Write each prediction with what there is of it beside its probability."""
    unsure = [None] * found.size if uncertainty is None else uncertainty.tolist()
    return map(partial(_row, kept), found.tolist(), ids or [None] * found.size, unsure)


def _row(kept: bool, probability: float, name: str | None, uncertainty: float | None) -> str:
    more = "" if uncertainty is None else f',"uncertainty":{uncertainty:.9g}'
    if name is not None:
        more += f',"id":{msgspec.json.encode(name).decode()}' + ("" if kept else ',"kept":false')
    return f'{{"probability":{probability:.9g}{more}}}'
