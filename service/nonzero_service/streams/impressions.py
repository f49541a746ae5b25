"""Topics of impressions: what is read is predicted, and kept until its click comes or its window ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.ids import Ids
from nonzero_service.bodies.reading import within
from nonzero_service.impressions.hashes import hashes_of, named_rows
from nonzero_service.impressions.packing import PredictedRows, size_of_records
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.streams.event_time import EventTime
from nonzero_service.streams.examples import ExampleTaker
from nonzero_service.streams.message_readers import Refusal, found_in
from nonzero_service.streams.pieces import Lines
from nonzero_service.writer.learner import MAX_BATCH
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.teachable import named, teachable
from nonzero_service.writer.work import Applied, StreamState

NO_ID: Final = 'it has no "id", by which its click could find it; give each impression one'


class ImpressionsTaken(NamedTuple):
    """Impressions of a piece, which were predicted."""

    served: ServedModel
    event_time: EventTime
    piece: Sequence[Lines]
    predictions: PredictedRows
    lines: NDArray[np.int64]
    """int64[n]: which line of the piece each is of, from 1."""
    sizes: Sequence[Sequence[int]]
    """Of each chunk, how many lines each message has."""
    examples: Sequence[int]
    refused: Sequence[int]
    refusals: Sequence[Refusal]

    @property
    def nbytes(self) -> int:
        """What they take while they wait."""
        return size_of_records(self.predictions)

    @property
    def is_too_large(self) -> bool:
        """Whether they cannot be journalled in one transaction."""
        return self.nbytes > MAX_BATCH

    def submit(self, origin: Origin, stream: StreamState) -> asyncio.Future[Applied]:
        """Have them kept."""
        event_time, learner = self.event_time, self.served.learner
        made = event_time.times_of_lines(self.piece, self.sizes, self.lines)

        def give(reached: Origin) -> asyncio.Future[Applied]:
            return learner.impress(self.predictions, waits=True, stream=stream, origin=reached, times=made)

        return event_time.give(give, origin, made.size)


class ImpressionTaker(ExampleTaker):
    """Takes messages that hold impressions: examples with an id, whose labels come by another topic.

    Parameters
    ----------
    served
        The model.
    format
        How a message is read.
    settings
        The bounds.
    event_time
        That of the source.
    """

    def __init__(self, served: ServedModel, format: str, settings: Settings, event_time: EventTime) -> None:
        super().__init__(served, format, settings)
        self._event_time = event_time

    def take(self, piece: Sequence[Lines]) -> ImpressionsTaken:  # type: ignore[override]
        """Read the impressions of a piece, and predict them."""
        served, settings = self._served, self._settings
        model = served.model  # once: a promotion may come in between
        reader = self._reader_of(piece)
        parsed = within(reader.read(piece), settings.max_features)
        parsed = teachable(parsed, model.bits, settings.max_weight, labelled=False)
        lacks = ~named(parsed.batch)
        if lacks.any():
            parsed = parsed.without(lacks, lambda _: NO_ID)
        parsed = reader.whole(parsed)
        found = found_in(piece, parsed, reader)
        ids = Ids.of(found.batch.ids or ())
        rows = named_rows(ids)
        answered = model.predict(found.batch) if rows.size else np.empty(0, np.float32)
        fresh = np.ones(rows.size, np.uint8)
        predictions = PredictedRows(found.batch, ids, answered, rows, hashes_of(ids, rows), fresh, 0)
        sizes = [reader.sizes(lines.chunk) for lines in piece]
        return ImpressionsTaken(
            served,
            self._event_time,
            piece,
            predictions,
            parsed.lines,
            sizes,
            found.examples,
            found.refused,
            found.refusals,
        )

    def refuse(self, piece: Sequence[Lines], reason: str) -> ImpressionsTaken:  # type: ignore[override]
        """Refuse the one message of a piece."""
        refusal = Refusal.of_first(piece[0].chunk, reason)
        nothing = self.take([])
        return nothing._replace(piece=piece, examples=[0], refused=[1], refusals=[refusal])
