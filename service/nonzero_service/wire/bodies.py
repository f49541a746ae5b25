"""Bodies: Content-Type -> batches.

A JSON body is read whole. Every other body is a stream of lines, read in constant memory: each line becomes a
row, or an error that names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from starlette.types import Receive

from nonzero import Batch, Schema, formats
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.formats import Parsed
from nonzero_service.learning.idempotency import Fingerprint
from nonzero_service.learning.teachable import teachable
from nonzero_service.models.names import LOOK, Looker
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings
from nonzero_service.wire.decoding import PIECE, Decoder, check_text, decoder_of
from nonzero_service.wire.headers import NDJSON, STREAMS, Headers
from nonzero_service.wire.intake import Chunk, Intake, read_whole
from nonzero_service.wire.json_bodies import bad_examples, batch_of

__all__ = ["Bodies", "Piece", "check_examples", "within"]

SMALL: Final = 1 << 14
"""Up to so many bytes are parsed where the request runs; more by another thread: the loop stays quick."""

T = TypeVar("T")


class Piece(NamedTuple):
    """A part of a streamed body."""

    parsed: Parsed
    """Its rows, and the lines that are no rows."""
    offset: int
    """How many bytes of the decoded body, those of whole lines, its request's key has been held against."""
    digest: bytes
    """The digest of these bytes; empty for a request without a key."""


class Bodies:
    """Reads the bodies of requests.

    Parameters
    ----------
    settings
        The bounds.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="parser")
        # Of their own: nobody who asks for metrics waits for what is being parsed.
        self._others = ThreadPoolExecutor(2, thread_name_prefix="aside")

        self.quick = min(SMALL, 2 * settings.max_features, int(settings.max_body_bytes))
        """A body of so many bytes has no more features than it may, each of which takes two."""

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()
        self._others.shutdown()

    async def offload(self, nbytes: int, task: Callable[..., T], *arguments: Any) -> T:
        """Run a task on so many bytes: here where they are few, else on another thread."""
        if nbytes <= SMALL:
            return task(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, task, *arguments)

    async def aside(self, task: Callable[[], T]) -> T:
        """Run a task that takes milliseconds on another thread, beside what is being parsed."""
        return await asyncio.get_running_loop().run_in_executor(self._others, task)

    async def json(self, headers: Headers, receive: Receive) -> bytes:
        """Return a whole JSON body, decoded.

        Raises
        ------
        Problem
            400, 413 or 415.
        """
        limit = self.settings.max_body_bytes
        decoder = decoder_of(headers.encoding) if headers.encoding else None
        body = await read_whole(receive, limit, headers.hold)
        if body is not None and decoder is not None:
            body = await self.offload(SMALL + len(body), _decoded, decoder, body, limit)
            headers.hold(0 if body is None else len(body))
        if body is None:
            raise Problem(413, f"a JSON body has at most {limit} bytes; send a stream of lines as {NDJSON}")
        if decoder is None:
            check_text(body)
        return body

    async def json_batch(self, body: bytes, schema: Schema) -> Batch:
        """Read the examples of a JSON body, by a model's schema.

        Raises
        ------
        Problem
            400, or 422 naming every bad example.
        """
        return await self.offload(len(body), self.batch_of, body, schema)

    def batch_of(self, body: bytes, schema: Schema) -> Batch:
        """Read the examples of a JSON body, by a model's schema, here and now.

        Raises
        ------
        Problem
            400; 413 where they are too many; 422 naming every bad example.
        """
        batch = batch_of(body, schema)
        if len(batch) > self.settings.max_examples:
            most = self.settings.max_examples
            raise Problem(
                413, f"a JSON body has at most {most} examples, not {len(batch)}; send a stream of lines"
            )
        if batch.nnz > self.settings.max_features:
            n = len(batch)
            errors = within(Parsed(batch, np.arange(1, n + 1), (), n), self.settings.max_features).errors
            if errors:
                raise bad_examples(list(errors))
        return batch

    async def stream(
        self,
        headers: Headers,
        receive: Receive,
        schema: Schema,
        fingerprint: Fingerprint | None = None,
        names: Looker | None = None,
        most: Callable[[], int] = lambda: PIECE,
    ) -> AsyncGenerator[Piece]:
        """Read a stream of lines, piece by piece; close it (``contextlib.aclosing``).

        Parameters
        ----------
        headers, receive
            The request.
        schema
            The model's: what its fields are.
        fingerprint
            Takes the decoded bytes before they are parsed, for a request with an idempotency key.
        names
            Looks at the first of them.
        most
            Returns how many bytes of the body, as it was sent, are taken at once; asked for each piece.

        Raises
        ------
        Problem
            400, 413 or 415.
        KeyReusedError
            Where the bytes are not those that the key came with before.
        """
        reader = formats.reader(STREAMS[headers.media], max_line=self.settings.max_line_bytes, schema=schema)
        decoder = decoder_of(headers.encoding)
        limit = self.settings.max_decompressed_bytes if headers.encoding else None
        end = 0
        async with Intake(receive) as intake:
            while chunks := await intake.take(most()):
                decoder.offer(chunks)
                if names is not None and not headers.encoding:
                    names.look(headers.media, bytes(chunks[0][:LOOK]))
                    names = None
                weight = sum(map(len, chunks)) + (0 if limit is None else SMALL)
                while decoder.more:
                    piece, size = await self.offload(weight, _next_piece, decoder, reader, fingerprint)
                    end += size
                    if limit is not None and end > limit:
                        raise Problem(
                            413, f"the body is more than {limit} bytes after decompression; send it in parts"
                        )
                    yield self._within(piece)
        decoder.finish()
        if fingerprint is not None:
            fingerprint.finish()
        yield self._within(_piece(reader.finish(), fingerprint))

    def _within(self, piece: Piece) -> Piece:
        parsed = within(piece.parsed, self.settings.max_features)
        return piece if parsed is piece.parsed else piece._replace(parsed=parsed)


def _next_piece(
    decoder: Decoder, reader: formats.Reader, fingerprint: Fingerprint | None
) -> tuple[Piece, int]:
    """Decode and parse the next piece; with the number of its decoded bytes."""
    chunks = decoder.read()
    if fingerprint is not None:
        for chunk in chunks:
            fingerprint.update(bytes(chunk))
    return _piece(reader.feed(*chunks), fingerprint), sum(map(len, chunks))


def _piece(parsed: Parsed, fingerprint: Fingerprint | None) -> Piece:
    if fingerprint is None:
        return Piece(parsed, 0, b"")
    return Piece(parsed, fingerprint.offset, fingerprint.digest())


def _decoded(decoder: Decoder, body: bytes, limit: int) -> bytes | None:
    """Decode a whole body; None where it is longer than `limit`."""
    pieces: list[Chunk] = []
    size = 0
    decoder.offer([body])
    while decoder.more:
        chunks = decoder.read()
        pieces += chunks
        size += sum(map(len, chunks))
        if size > limit:
            return None
    decoder.finish()
    return b"".join(pieces)


def within(parsed: Parsed, most: int) -> Parsed:
    """Make errors of the rows with too many features."""
    if parsed.batch.nnz <= most:
        return parsed
    counts = np.diff(parsed.batch.indptr)
    return parsed.without(
        counts > most, lambda row: f"it has {counts[row]} features; an example has at most {most}"
    )


def check_examples(batch: Batch, bits: int, *, labelled: bool, max_weight: float = MAX_WEIGHT) -> None:
    """Refuse a JSON body's examples that a model cannot use, or that weigh more than may be learned from.

    See Also
    --------
    teachable : for the parameters.

    Raises
    ------
    Problem
        422, naming every one.
    """
    n = len(batch)
    parsed = Parsed(batch, np.arange(1, n + 1), (), n)
    errors = teachable(parsed, bits, max_weight, labelled=labelled).errors
    if errors:
        raise bad_examples(list(errors))
