"""Replay a click log through the service over HTTP: predict, then update, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.errors import LineError, NonzeroError
from nonzero_service.demo.chunks import LogChunk

_decode_lines: Final = msgspec.json.Decoder(dict[str, Any]).decode_lines


class ReplayError(NonzeroError):
    """The service refused, or could not be reached."""


class Replayed(NamedTuple):
    """What the service said to one chunk."""

    probabilities: NDArray[np.float64]
    """float64[lines]: as predicted before the chunk was learned from; NaN for an unreadable line."""
    accepted: int
    """How many of its examples were learned from."""
    errors: list[LineError]
    """The lines of the log that were not."""


def replay(
    client: httpx.Client, model: str, chunks: Iterable[LogChunk]
) -> Iterator[tuple[LogChunk, Replayed]]:
    """Send each chunk to be predicted, then to be learned from, and wait for both answers before the next.

    Parameters
    ----------
    client
        Knows the service's address.
    model
        The model's name.
    chunks
        The log, in order.

    Raises
    ------
    ReplayError
        For any answer other than success.
    """
    for chunk in chunks:
        if not chunk.lines.size:
            yield chunk, Replayed(np.empty(0), 0, list(chunk.errors))
            continue
        predicted = _send(client, "POST", f"/v1/models/{model}/predict", chunk.unlabelled, chunk.content_type)
        answers = _decode_lines(predicted)
        if len(answers) != chunk.lines.size:
            raise ReplayError(f"{chunk.lines.size} lines were answered by {len(answers)} predictions")
        probabilities = np.array([answer.get("probability", np.nan) for answer in answers], np.float64)
        learned = json.loads(
            _send(client, "POST", f"/v1/models/{model}/update", chunk.labelled, chunk.content_type)
        )
        refused = [
            LineError(int(chunk.lines[error["line"] - 1]), error["reason"]) for error in learned["errors"]
        ]
        yield chunk, Replayed(probabilities, learned["accepted"], sorted([*chunk.errors, *refused]))


def get(client: httpx.Client, path: str) -> dict[str, Any]:
    """Read a JSON object from the service.

    Raises
    ------
    ReplayError
        For any answer other than success.
    """
    answer: dict[str, Any] = json.loads(_send(client, "GET", path))
    return answer


def _send(client: httpx.Client, method: str, path: str, body: bytes = b"", content_type: str = "") -> bytes:
    headers = {"Content-Type": content_type} if content_type else {}
    try:
        answer = client.request(method, path, content=body, headers=headers)
    except httpx.TransportError as error:
        raise ReplayError(f"the service at {client.base_url} does not answer: {error!r}") from error
    if answer.is_success:
        return answer.content
    raise ReplayError(f"{method} {path} was answered {answer.status_code}: {answer.text}")
