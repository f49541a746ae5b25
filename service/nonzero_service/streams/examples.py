"""Topics of examples, which are learned from as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from nonzero import Batch
from nonzero.formats.registry import FORMATS
from nonzero_service.bodies.reading import within
from nonzero_service.media_types import JSON
from nonzero_service.models.names import LOOK
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.streams.message_readers import MessageReader, Refusal, found_in, reader_of
from nonzero_service.streams.pieces import Lines
from nonzero_service.writer.learner import MAX_BATCH, ModelLearner, row_bytes
from nonzero_service.writer.origins import Origin
from nonzero_service.writer.teachable import teachable
from nonzero_service.writer.work import Applied, StreamState

_MEDIA: Final = {"json": JSON}


class ExamplesTaken(NamedTuple):
    """Examples of a piece, to be learned from."""

    learner: ModelLearner
    batch: Batch
    examples: Sequence[int]
    refused: Sequence[int]
    refusals: Sequence[Refusal]

    @property
    def nbytes(self) -> int:
        """What they take while they wait."""
        return self.batch.nbytes

    @property
    def is_too_large(self) -> bool:
        """Whether they cannot be journalled in one transaction."""
        return row_bytes(self.batch) > MAX_BATCH

    def submit(self, origin: Origin, stream: StreamState) -> asyncio.Future[Applied]:
        """Have them learned from."""
        return self.learner.submit(self.batch, origin=origin, stream=stream)


class ExampleTaker:
    """Takes messages that hold examples.

    Parameters
    ----------
    served
        The model.
    format
        How a message is read.
    settings
        The bounds.
    """

    def __init__(self, served: ServedModel, format: str, settings: Settings) -> None:
        self._served = served
        self._format = format
        self._media = _MEDIA.get(format) or FORMATS[format].media_type or JSON
        self._settings = settings
        self._reader = self._new_reader()

    def _new_reader(self) -> MessageReader:
        self._schema = self._served.model.schema
        return reader_of(self._format, self._schema, int(self._settings.max_line_bytes))

    def take(self, piece: Sequence[Lines]) -> ExamplesTaken:
        """Read the examples of a piece."""
        served, settings, reader = self._served, self._settings, self._reader_of(piece)
        parsed = within(reader.read(piece), settings.max_features)
        parsed = reader.whole(teachable(parsed, served.model.bits, settings.max_weight, labelled=True))
        return ExamplesTaken(served.learner, *found_in(piece, parsed, reader))

    def refuse(self, piece: Sequence[Lines], reason: str) -> ExamplesTaken:
        """Refuse the one message of a piece."""
        refusal = Refusal.of_first(piece[0].chunk, reason)
        return ExamplesTaken(self._served.learner, Batch.empty(), [0], [1], [refusal])

    def _reader_of(self, piece: Sequence[Lines]) -> MessageReader:
        """Return what reads a piece by the model's schema, when its beginning was looked at."""
        if self._served.model.schema is not self._schema:  # another model was promoted
            self._reader = self._new_reader()
        if piece:
            self._look(piece[0])
        return self._reader

    def _look(self, lines: Lines) -> None:
        """Have the beginning of a piece looked at for the names of fields."""
        data = lines.first()[:LOOK] if self._format == "json" else lines.beginning(LOOK)
        self._served.names.look(self._media, data)
