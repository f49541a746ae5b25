"""Topics of clicks: labels of impressions, joined by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero import Batch, LineError
from nonzero.batches.limits import MAX_ID
from nonzero.formats import Parsed
from nonzero.formats.json_bodies import NOT_JSON
from nonzero_service.bodies.label_bodies import why_no_label
from nonzero_service.faults import shown_value, why_not_json
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.message_readers import LineReader, Refusal, found_in
from nonzero_service.streams.pieces import Lines
from nonzero_service.writer.learner import LABEL_BYTES
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.work import Applied, StreamState


class _Click(msgspec.Struct):
    """A click. Whatever else it says is of no use here: others read the topic too."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    label: int | bool | float = 1


_decoder: Final = msgspec.json.Decoder(_Click)


class ClicksTaken(NamedTuple):
    """Labels of a piece."""

    served: ServedModel
    event_time: EventTime
    piece: Sequence[Lines]
    ids: Sequence[str]
    labels: Sequence[int]
    lines: NDArray[np.int64]
    """int64[n]: which line of the piece each is of, from 1."""
    sizes: Sequence[Sequence[int]]
    """Of each chunk, how many lines each message has."""
    examples: Sequence[int]
    refused: Sequence[int]
    refusals: Sequence[Refusal]

    @property
    def is_too_large(self) -> bool:
        """Whether they cannot be journalled in one transaction: no piece has so many."""
        return False

    @property
    def nbytes(self) -> int:
        """What they take while they wait."""
        return LABEL_BYTES * len(self.ids)

    def submit(self, origin: Origin, stream: StreamState) -> asyncio.Future[Applied]:
        """Have them joined with their impressions."""
        event_time, learner = self.event_time, self.served.learner
        given = event_time.times_of_lines(self.piece, self.sizes, self.lines)

        def give(reached: Origin) -> asyncio.Future[Applied]:
            return learner.label(self.ids, self.labels, stream, origin=reached, times=given)

        return event_time.give(give, origin)


class ClickTaker:
    """Takes messages that hold clicks: a JSON object a line, with an ``id``, and a ``label`` where it is 0.

    Parameters
    ----------
    served
        The model.
    settings
        The bounds.
    event_time
        That of the source.
    """

    def __init__(self, served: ServedModel, settings: Settings, event_time: EventTime) -> None:
        self._served = served
        self._reader = LineReader("ndjson", served.model.schema, int(settings.max_line_bytes))
        self._event_time = event_time

    def take(self, piece: Sequence[Lines]) -> ClicksTaken:
        """Read the clicks of a piece."""
        ids: list[str] = []
        labels: list[int] = []
        numbers: list[int] = []
        errors: list[LineError] = []
        texts = [line for lines in piece for line in bytes(lines.data).split(b"\n")[:-1]]
        for number, line in enumerate(texts, 1):
            try:
                click = _decoder.decode(line)
            except NOT_JSON:
                if line.strip():  # a blank line holds no click
                    errors.append(LineError(number, _why_not(line)))
                continue
            if click.label not in (0, 1, -1):
                errors.append(LineError(number, _why_not(line)))
                continue
            ids.append(click.id)
            labels.append(int(click.label == 1))
            numbers.append(number)
        of_lines = np.array(numbers, np.int64)
        parsed = Parsed(Batch.empty(), of_lines, tuple(errors), len(texts))
        found = found_in(piece, parsed, self._reader)
        sizes = [self._reader.sizes(lines.chunk) for lines in piece]
        return ClicksTaken(
            self._served,
            self._event_time,
            piece,
            ids,
            labels,
            of_lines,
            sizes,
            found.examples,
            found.refused,
            found.refusals,
        )

    def refuse(self, piece: Sequence[Lines], reason: str) -> ClicksTaken:
        """Refuse the one message of a piece."""
        refusal = Refusal.of_first(piece[0].chunk, reason)
        nothing = self.take([])
        return nothing._replace(piece=piece, examples=[0], refused=[1], refusals=[refusal])


def _why_not(line: bytes) -> str:
    """Say why a line is no click."""
    try:
        value: Any = msgspec.json.decode(line)
    except NOT_JSON as error:
        return f"the line is not JSON: {why_not_json(line, error)}"
    if not isinstance(value, dict):
        return f'a click is an object such as {{"id": "imp-1"}}, not {shown_value(value)}'
    return why_no_label({"label": 1} | {name: value[name] for name in ("id", "label") if name in value})
