"""Bodies: Content-Type -> batches.

A body of JSON or Arrow is read whole. Every other body is a stream of lines, read in constant memory: each
line becomes a row, or an error that names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from starlette.types import Receive

from nonzero import Batch, LineError, LogisticRegression, Schema, formats
from nonzero.batches.limits import MAX_JOINED
from nonzero.formats import Parsed, Reader
from nonzero.formats.json_candidates import read_joined
from nonzero.kernels.products import MAX_NONZEROS
from nonzero.model.notes import noted_booleans
from nonzero_service.bodies.arrow_bodies import batch_of_arrow
from nonzero_service.bodies.body_reader import BodyReader, Chunk, read_whole
from nonzero_service.bodies.content import Content
from nonzero_service.bodies.decoding import PIECE, Decoder, check_text, decoder_of
from nonzero_service.bodies.freed_memory import FreedMemory
from nonzero_service.bodies.json_bodies import bad_candidates, bad_examples, batch_of, read_candidates
from nonzero_service.bodies.tables import TableQuery, table_reader
from nonzero_service.media_types import ARROW, CSV, NDJSON, STREAMS
from nonzero_service.problems import Problem
from nonzero_service.settings import Settings

SMALL: Final = 1 << 14
"""Up to so many bytes are parsed where the request runs; more by another thread: the loop stays quick."""

SMALL_LIST: Final = 4 * SMALL
"""The same of candidates, which no parser takes apart before it reads them, and which are many."""

MAX_PRODUCTS: Final = MAX_NONZEROS
"""One example may have so many nonzeros with its products, and so candidates may together."""

SHOWS_IDS: Final = 1 << 10
"""In so many bytes at either end it shows whether candidates have ids: the list stands at one of them."""

T = TypeVar("T")


class Digest(Protocol):
    """What a stream's bytes are held against."""

    offset: int
    """The bytes that are digested: those of whole lines."""

    def update(self, data: bytes, unread: int) -> None:
        """Take more of the body, of which so many bytes at its end are no whole line yet."""

    def finish(self) -> None:
        """Take the end of the body."""

    def digest(self) -> bytes:
        """Return the digest of what was taken up to the offset."""


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
        self._freed = FreedMemory(self._others.submit)
        self.small = min(SMALL, 2 * settings.max_features, int(settings.max_body_bytes))
        """A body of so many bytes has no more features than it may, each of which takes two."""
        self.small_list = min(SMALL_LIST, int(settings.max_body_bytes))
        """A longer body of candidates is not answered where the request runs."""

    def close(self) -> None:
        """End the threads."""
        self._freed.close()
        self._threads.shutdown()
        self._others.shutdown()

    async def offload(self, nbytes: int, task: Callable[..., T], *arguments: Any) -> T:
        """Run a task on so many bytes: here where they are few, else on another thread."""
        if nbytes <= SMALL:
            return task(*arguments)
        self._freed.used(nbytes)
        return await asyncio.get_running_loop().run_in_executor(self._threads, task, *arguments)

    async def aside(self, task: Callable[[], T]) -> T:
        """Run a task that takes milliseconds on another thread, beside what is being parsed."""
        return await asyncio.get_running_loop().run_in_executor(self._others, task)

    async def json(self, content: Content, receive: Receive) -> bytes:
        """Return a body of JSON or Arrow, decoded.

        Raises
        ------
        Problem
            400, 413 or 415.
        """
        limit = self.settings.max_body_bytes
        decoder = decoder_of(content.encoding) if content.encoding else None
        body = await read_whole(receive, limit, content.hold)
        if body is not None and decoder is not None:
            body = await self.offload(SMALL + len(body), _decoded, decoder, body, limit)
            content.hold(0 if body is None else len(body))
        if body is None:
            what = {ARROW: "body of Arrow", CSV: "body of CSV"}.get(content.media, "JSON body")
            raise Problem(413, f"a {what} has at most {limit} bytes; send a stream of lines as {NDJSON}")
        if decoder is None:
            check_text(body)
        return body

    def batch_of(self, body: bytes, schema: Schema, columns: TableQuery | None = None) -> Batch:
        """Read the examples of a body of JSON, or of Arrow, by a model's schema.

        Parameters
        ----------
        body
            The body.
        schema
            The model's.
        columns
            What was said of the columns of a body of Arrow; None: it is JSON.

        Raises
        ------
        Problem
            400; 413 where they are too many; 422 naming every bad example.
        """
        if columns is not None:
            return batch_of_arrow(body, schema, columns, self.settings)
        batch = batch_of(body, schema, partial(self._check_number, "examples", "send a stream of lines"))
        return self._bounded(batch, bad_examples)

    def candidates_of(self, body: bytes, schema: Schema) -> Batch:
        """Read a body of candidates over a shared context, by a model's schema; each as a whole example.

        Parameters
        ----------
        body
            The body, of JSON.
        schema
            The model's.

        Raises
        ------
        Problem
            400; 413 where they are too many, or too much together; 422 naming every bad candidate.
        """
        bounded = partial(self._check_number, "candidates", "send fewer at once")
        found = read_candidates(body, schema, bounded)
        bounded(len(found.own))
        if found.nonzeros > MAX_JOINED:
            raise Problem(
                413,
                f"{len(found.own)} candidates with the {found.shared.nnz} features that they share have "
                f"{found.nonzeros} features in all; one body has at most {MAX_JOINED}: send fewer candidates "
                "at once",
            )
        return self._bounded(found.whole(), bad_candidates)

    def small_candidates_of(self, body: bytes, model: LogisticRegression) -> Batch | None:
        """Read a body of candidates that are predicted within as little time as one example may take.

        None where they take longer, have ids, or cannot be used: :meth:`candidates_of` reads the body then.
        """
        if len(body) > self.small_list:
            return None
        if body.find(b'"id"', 0, SHOWS_IDS) >= 0 or body.find(b'"id"', -SHOWS_IDS) >= 0:
            return None
        batch = read_joined(body, model.schema, self.small, grouped=bool(model.interactions))
        if batch is None or len(batch) > self.settings.max_examples:
            return None
        return batch if model.expanded_nnz(batch) <= MAX_PRODUCTS else None

    def _check_number(self, what: str, way_out: str, n: int) -> None:
        """Refuse too many examples."""
        if n > self.settings.max_examples:
            most = self.settings.max_examples
            raise Problem(413, f"a JSON body has at most {most} {what}, not {n}; {way_out}")

    def _bounded(self, batch: Batch, refusal: Callable[[Sequence[LineError]], Problem]) -> Batch:
        """Return the examples of a body, unless one has too many features."""
        if batch.nnz > self.settings.max_features:
            n = len(batch)
            errors = within(Parsed(batch, np.arange(1, n + 1), (), n), self.settings.max_features).errors
            if errors:
                raise refusal(errors)
        return batch

    async def decoded(
        self,
        content: Content,
        receive: Receive,
        use: Callable[[list[Chunk]], T],
        most: Callable[[], int] = lambda: PIECE,
    ) -> AsyncGenerator[T]:
        """Decode a body piece by piece, and yield what is made of each; close it (``contextlib.aclosing``).

        Parameters
        ----------
        content, receive
            The request.
        use
            Makes something of a piece, given its chunks; on another thread where they are long.
        most
            Returns how many bytes of the body, as it was sent, are taken at once; asked for each piece.

        Raises
        ------
        Problem
            400, 413 or 415.
        """
        decoder = decoder_of(content.encoding)
        limit = self.settings.max_decompressed_bytes if content.encoding else None
        end = 0
        async with BodyReader(receive) as reader:
            while chunks := await reader.take(most()):
                decoder.offer(chunks)
                weight = sum(map(len, chunks)) + (0 if limit is None else SMALL)
                while decoder.more:
                    used, size = await self.offload(weight, _use_next, decoder, use)
                    end += size
                    if limit is not None and end > limit:
                        raise Problem(
                            413, f"the body is more than {limit} bytes after decompression; send it in parts"
                        )
                    yield used
        decoder.finish()

    async def stream(
        self,
        content: Content,
        receive: Receive,
        model: LogisticRegression,
        columns: TableQuery | None = None,
        digest: Digest | None = None,
        look: Callable[[Chunk], object] | None = None,
        most: Callable[[], int] = lambda: PIECE,
        *,
        labelled: bool = False,
    ) -> AsyncGenerator[Piece]:
        """Read a stream of lines, piece by piece; close it (``contextlib.aclosing``).

        Parameters
        ----------
        content, receive
            The request.
        model
            What its fields are.
        columns
            What was said of the columns of a table; None for any other body.
        digest
            Takes the decoded bytes, for a request with an idempotency key.
        look
            Looks at the first chunk of a body that is not compressed.
        most
            Returns how many bytes of the body, as it was sent, are taken at once; asked for each piece.
        labelled
            Whether it is to be learned from.

        Raises
        ------
        Problem
            400, 413 or 415.
        FormatError
            For a table whose header cannot be used.
        SettingsError
            For what was said of a table and cannot be.
        KeyReusedError
            Where the bytes are not those that the key came with before.
        """
        reader = self._reader(content.media, model, columns, labelled=labelled)
        look = None if content.encoding else look

        def piece_of(parsed: Parsed) -> Piece:
            parsed = within(parsed, self.settings.max_features)
            return Piece(parsed, *((0, b"") if digest is None else (digest.offset, digest.digest())))

        def parse(chunks: list[Chunk]) -> Piece:
            nonlocal look
            if look is not None:
                look(chunks[0])
                look = None
            parsed = reader.feed(*chunks)
            if digest is not None:
                digest.update(b"".join(chunks), reader.unread)
            return piece_of(parsed)

        async with aclosing(self.decoded(content, receive, parse, most)) as pieces:
            async for piece in pieces:
                yield piece
        if digest is not None:
            digest.finish()
        yield piece_of(reader.finish())

    def _reader(
        self, media: str, model: LogisticRegression, columns: TableQuery | None, *, labelled: bool
    ) -> Reader:
        """Return the reader of a body of lines."""
        longest = int(self.settings.max_line_bytes)
        if columns is None:
            return formats.reader(STREAMS[media], max_line=longest, schema=model.schema)
        boolean = noted_booleans(model.notes)
        return table_reader(media, columns, model.schema, boolean, longest, labelled=labelled)


def _use_next(decoder: Decoder, use: Callable[[list[Chunk]], T]) -> tuple[T, int]:
    """Decode the next piece and use it; with the number of its decoded bytes."""
    chunks = decoder.read()
    return use(chunks), sum(map(len, chunks))


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
