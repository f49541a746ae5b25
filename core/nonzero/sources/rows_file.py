r"""Rows files: hashed rows on disk, so that a second reading costs no parsing.

Little-endian; each part but the file's first 16 and last 16 bytes begins at a multiple of 8::

    head     8 bytes "\x93NZROWS\n"; uint32 version; uint32 size of the JSON; JSON (:class:`RowsHead`) with
             blanks behind it; uint64 xxh3 of all before
    blocks   4 bytes "rows"; uint32 how many rows; uint64 size; uint64 xxh3 of the body and its padding;
             uint64 xxh3 of these 24 bytes, with that of the block (or the head) before as its seed; the
             body, a batch in the coding of :mod:`nonzero.batches.codec`; zeros up to a multiple of 8
    foot     as a block: "foot"; the number of blocks; its body is JSON (:class:`RowsFoot`)
    end      uint64 where the foot begins; 8 bytes "\nNZEND\n\x93"

Every byte is under a digest or compared, and the digests hold the blocks in their order: a changed bit, a
file that is cut, blocks that are lost, doubled or of another file all show, with their place. The end is for
who can seek: it tells what is in the file before the rows are read.

Blocks have about half a megabyte: small beside a core's cache, large beside the cost of a call.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self, cast

import numpy as np
import xxhash
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.batches.codec import decode_batch, encode_batch
from nonzero.errors import BatchError, FormatError
from nonzero.formats.parsed import Parsed
from nonzero.sources.files import ROWS_MAGIC, Source
from nonzero.sources.rows_head import RowsFoot, RowsHead

VERSION: Final = 1
"""The version of the files that are written, and the only one that is read."""

_START: Final = struct.Struct("<8s2I")
_DIGEST: Final = struct.Struct("<Q")
_BLOCK: Final = struct.Struct("<4sIQQ")
_BLOCK_SIZE: Final = _BLOCK.size + _DIGEST.size
_END: Final = struct.Struct("<Q8s")
_END_MAGIC: Final = b"\nNZEND\n\x93"
_ROWS, _FOOT = b"rows", b"foot"

_MAX_JSON: Final = 1 << 26
_MAX_BODY: Final = 1 << 32

_GATHERED: Final = 1 << 17
"""Rows are written once they have so many nonzeros, of four bytes each and some more."""

_MOST_ROWS: Final = 1 << 16
"""Or once there are so many of them."""

_AGAIN: Final = "convert its text again"


class RowsWriter:
    r"""Writes a rows file: batches in any sizes, then :meth:`finish`.

    Parameters
    ----------
    out
        Where to; written from its present place on, which the file's places are counted from.
    head
        What the rows were hashed with.

    Attributes
    ----------
    examples, nonzeros
        How many were written.

    Examples
    --------
    >>> import io
    >>> from nonzero import Schema, formats
    >>> schema, out = Schema(), io.BytesIO()
    >>> writer = RowsWriter(out, RowsHead(schema, ("vw",)))
    >>> writer.write(formats.parse(b"1 |site news\n", "vw", schema=schema))
    >>> writer.finish(RowsFoot.of_schema(writer.examples, writer.nonzeros, schema))
    >>> [len(part.batch) for part in RowsReader.of_bytes(out.getvalue())]
    [1]
    """

    def __init__(self, out: BinaryIO, head: RowsHead) -> None:
        self._out = out
        self.examples = 0
        self.nonzeros = 0
        self._waiting: list[Batch] = []
        self._place = 0
        self._blocks = 0
        text = head.to_json()
        text += b" " * (-len(text) % 8)
        start = _START.pack(ROWS_MAGIC, VERSION, len(text)) + text
        self._seed = xxhash.xxh3_64_intdigest(start)
        self._put(start + _DIGEST.pack(self._seed))

    def write(self, batch: Batch) -> None:
        """Add rows; their ids are left out.

        Parameters
        ----------
        batch
            Any number of them.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        self.examples += len(batch)
        self.nonzeros += batch.nnz
        self._waiting.append(batch)
        rows = sum(map(len, self._waiting))
        if rows >= _MOST_ROWS or sum(one.nnz for one in self._waiting) >= _GATHERED:
            self._write_waiting()

    def finish(self, foot: RowsFoot) -> None:
        """Write what waits, and the end.

        Parameters
        ----------
        foot
            What is said of the rows.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        self._write_waiting()
        place = self._place
        self._put_block(_FOOT, self._blocks, foot.to_json())
        self._put(_END.pack(place, _END_MAGIC))

    def _write_waiting(self) -> None:
        batch = Batch.concatenate([one for one in self._waiting if len(one)])
        self._waiting = []
        if len(batch):
            self._put_block(_ROWS, len(batch), encode_batch(batch))
            self._blocks += 1

    def _put_block(self, mark: bytes, count: int, body: bytes) -> None:
        padded = body + bytes(-len(body) % 8)
        described = _BLOCK.pack(mark, count, len(body), xxhash.xxh3_64_intdigest(padded))
        self._seed = xxhash.xxh3_64_intdigest(described, self._seed)
        self._put(described + _DIGEST.pack(self._seed))
        self._put(padded)

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._place += len(data)


class RowsBlock(NamedTuple):
    """A block as it lies in the file, not looked into yet."""

    place: int
    """Where it begins."""
    first: int
    """How many rows are before it."""
    rows: int
    size: int
    digest: int
    body: NDArray[np.uint8]
    """The body and its padding."""


class RowsReader:
    """Reads a rows file: what it is, then its rows.

    Parameters
    ----------
    source
        The file, plain or compressed, or standard input.

    Attributes
    ----------
    name
        What to call it in messages.
    head
        What the rows were hashed with.
    foot
        What is in the file. Of a file that can be seeked it is known from the beginning, else when its rows
        have been read: None until then.

    Raises
    ------
    FormatError
        For a file that is no rows file, of a newer version, or whose head is damaged; later, while rows are
        read, at the first place that is damaged or missing. It says where, what, and the way out.
    OSError
        For a file that cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.foot: RowsFoot | None = None
        self._source = source
        self._seed = 0
        source.start(1)
        seekable = source.size is not None and not source.packed
        self._plain = seekable and source.is_local  # what a store has is read ahead
        self._bytes: _Pieces | _FileBytes = _Pieces(source)
        if self._plain:
            with _FileBytes(source, 0) as self._bytes:
                self._identity = self._bytes.identity
                self._read_head()
        else:
            self._read_head()
        if seekable:
            self.foot = self._find_foot(source)

    @classmethod
    def of_bytes(cls, data: bytes) -> RowsReader:
        """Read a file that is in memory.

        Parameters
        ----------
        data
            All of it.

        Returns
        -------
        RowsReader
        """
        reader = cls.__new__(cls)
        reader.name = "these bytes"
        reader.foot = None
        reader._seed, reader._plain = 0, False
        reader._bytes = _Pieces([data])
        reader._read_head()
        return reader

    def __iter__(self) -> Iterator[Parsed]:
        """Yield the rows, block by block; see :meth:`blocks` and :meth:`rows_of` for more than one thread."""
        return map(self.rows_of, self.blocks())

    def blocks(self) -> Iterator[RowsBlock]:
        """Yield the blocks in their order, each held against the one before; may be called once.

        Yields
        ------
        RowsBlock
            For :meth:`rows_of`.

        Raises
        ------
        FormatError
            As :class:`RowsReader` has it.
        """
        if not self._plain:
            yield from self._blocks()
            return
        with _FileBytes(self._source, self._bytes.place) as self._bytes:
            if self._bytes.identity != self._identity:
                raise FormatError(f"{self.name} was replaced while it was read; read it again")
            yield from self._blocks()

    def _blocks(self) -> Iterator[RowsBlock]:
        examples = blocks = 0
        while True:
            place = self._bytes.place
            described = self._take(_BLOCK_SIZE, "a block").tobytes()
            mark, count, size, digest = _BLOCK.unpack_from(described)
            [chained] = _DIGEST.unpack_from(described, _BLOCK.size)
            found = xxhash.xxh3_64_intdigest(described[: _BLOCK.size], self._seed)
            if found != chained or mark not in (_ROWS, _FOOT) or size > _MAX_BODY:
                raise self._damage(
                    place, examples, "what describes a block is changed, or of another place or file"
                )
            self._seed = found
            body = self._take(size + -size % 8, "a block's rows", place, examples)
            block = RowsBlock(place, examples, count, size, digest, body)
            if mark == _FOOT:
                self._end(block, blocks)
                return
            yield block
            examples += count
            blocks += 1

    def rows_of(self, block: RowsBlock) -> Parsed:
        """Check a block and decode it; safe in any thread.

        Parameters
        ----------
        block
            One of :meth:`blocks`.

        Returns
        -------
        Parsed
            Its rows, numbered from 1 over the file as lines are. Their indices lie in the block's memory.

        Raises
        ------
        FormatError
            Where the block is damaged; it says where.
        """
        self._check_body(block)
        try:
            batch = decode_batch(block.body[: block.size].data)
        except BatchError as error:
            raise self._damage(block.place, block.first, str(error)) from error
        if len(batch) != block.rows:
            raise self._damage(block.place, block.first, f"a block of {block.rows} rows holds {len(batch)}")
        lines = np.arange(block.first + 1, block.first + 1 + block.rows)
        return Parsed(batch, lines, (), block.rows)

    def _read_head(self) -> None:
        start = self._bytes.take(_START.size).tobytes()
        if not start:
            raise FormatError(f"{self.name} is empty, and no rows file; {_AGAIN}")
        magic, version, size = _START.unpack(start.ljust(_START.size, b"\0"))
        if magic != ROWS_MAGIC:
            short = ROWS_MAGIC.startswith(start)
            raise FormatError(
                f"{self.name} is cut: it has {len(start)} bytes; {_AGAIN}"
                if short
                else f"{self.name} is no rows file: it begins with {start[:8]!r}; "
                "`nonzero convert` makes one of a text, and --format says what a text is"
            )
        if len(start) == _START.size and version != VERSION:
            raise FormatError(
                f"{self.name} is a rows file of version {version}, and this release reads {VERSION}; "
                "use the release that wrote it, or a newer one, or convert its text with this one"
            )
        if size > _MAX_JSON:
            raise self._damage(0, 0, f"its head says that it has {size} bytes")
        text = self._take(size, "its head")
        [digest] = _DIGEST.unpack(self._take(_DIGEST.size, "its head").tobytes())
        self._seed = xxhash.xxh3_64_intdigest(start + text.tobytes())
        if self._seed != digest:
            raise self._damage(0, 0, "its head is changed")
        try:
            self.head = RowsHead.of_json(text.tobytes())
        except FormatError as error:
            raise self._damage(0, 0, str(error)) from error

    def _find_foot(self, source: Source) -> RowsFoot | None:
        """Look at a file's end before its rows; what is wrong there is told when the rows are read."""
        try:
            with source.opened() as file:
                file.seek(-_END.size, os.SEEK_END)
                place, magic = _END.unpack(file.read(_END.size))
                if magic != _END_MAGIC:
                    return None
                file.seek(place)
                _, _, size, digest = _BLOCK.unpack(file.read(_BLOCK_SIZE)[: _BLOCK.size])
                body = file.read(min(size, _MAX_JSON) + -size % 8)
            return RowsFoot.of_json(body[:size]) if xxhash.xxh3_64_intdigest(body) == digest else None
        except (OSError, ValueError, struct.error):
            return None

    def _end(self, block: RowsBlock, blocks: int) -> None:
        """Check what stands after the rows."""
        self._check_body(block)
        try:
            foot = RowsFoot.of_json(block.body[: block.size].tobytes())
        except FormatError as error:
            raise self._damage(block.place, block.first, str(error)) from error
        end = self._take(_END.size, "its end").tobytes()
        if end != _END.pack(block.place, _END_MAGIC):
            raise self._damage(self._bytes.place - _END.size, block.first, "its last bytes are changed")
        if (block.rows, block.first) != (blocks, foot.examples):
            raise self._damage(
                block.place,
                block.first,
                f"its end tells of {foot.examples:,} rows in {block.rows:,} blocks, not of {blocks:,}",
            )
        if self._bytes.take(1).size:
            raise FormatError(
                f"{self.name} goes on after its end, at byte {self._bytes.place - 1}; "
                "give several rows files one by one, not joined"
            )
        self.foot = foot

    def _check_body(self, block: RowsBlock) -> None:
        if xxhash.xxh3_64_intdigest(block.body.data) != block.digest:
            raise self._damage(
                block.place, block.first, "the bytes of a block are not those that were written"
            )

    def _take(
        self, size: int, what: str, place: int | None = None, examples: int | None = None
    ) -> NDArray[Any]:
        taken = self._bytes.take(size)
        if taken.size < size:
            end = self._bytes.place
            behind = "" if examples is None else f", after {examples:,} whole rows"
            raise FormatError(
                f"{self.name} is cut: it ends at byte {end}{behind}, within {what}"
                f"{'' if place is None else f' that begins at byte {place}'}; copy it again, or {_AGAIN}"
            )
        return taken

    def _damage(self, place: int, examples: int, what: str) -> FormatError:
        return FormatError(
            f"{self.name} is damaged at byte {place}, after {examples:,} whole rows: {what}; "
            f"copy it again, or {_AGAIN}"
        )


class _Pieces:
    """The bytes of a stream that comes in blocks, taken by pieces of any size."""

    def __init__(self, blocks: Any) -> None:
        self._blocks = iter(blocks)
        self._held = memoryview(b"")
        self.place = 0

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return so many bytes, or those that are left."""
        parts = []
        missing = size
        while missing:
            if not self._held:
                self._held = memoryview(next(self._blocks, b""))
                if not self._held:
                    break
            part = self._held[:missing]
            self._held = self._held[len(part) :]
            missing -= len(part)
            parts.append(part)
        self.place += size - missing
        return np.frombuffer(b"".join(parts), np.uint8)


class _FileBytes:
    """The bytes of a plain file, read straight to where they are used."""

    def __init__(self, source: Source, place: int) -> None:
        self._source = source
        self.place = place

    def __enter__(self) -> Self:
        self._file = cast(Path, self._source.path).open("rb", buffering=0)
        self._file.seek(self.place)
        found = os.fstat(self._file.fileno())
        self.identity = (found.st_dev, found.st_ino, found.st_mtime_ns)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return so many bytes, or those that are left."""
        left = os.fstat(self._file.fileno()).st_size - self.place
        taken = np.empty(max(min(size, left), 0), np.uint8)
        filled = 0
        while filled < taken.size and (read := self._file.readinto(taken.data[filled:])):
            filled += read
        self.place += filled
        self._source.position = self.place
        return taken[:filled]
