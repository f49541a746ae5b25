"""The body of a journal's row -> batch: the library's coding, whose errors are the journal's here."""

from __future__ import annotations

from nonzero import Batch, BatchError
from nonzero.batches import codec
from nonzero_service.journal.errors import BodyError


def decode_batch(body: bytes) -> Batch:
    """Return the batch that :func:`nonzero.batches.codec.encode_batch` made a body of.

    Raises
    ------
    BodyError
        Where the body is cut short, has bytes to spare, or breaks a rule of :class:`~nonzero.Batch`.
    """
    try:
        return codec.decode_batch(body)
    except BatchError as error:
        raise BodyError(str(error)) from error
