"""Content-Encoding: compressed bytes in, plain bytes out, a bounded piece at a time.

A few bytes of gzip or zstd can stand for gigabytes. So compressed bytes go in by slices, and the bytes that
they stand for come out by pieces, between which the reader may give up.
"""

from __future__ import annotations

import re
from typing import Final

from nonzero.sources.compression import DAMAGE, Decompressor, Gzip, Zstd
from nonzero_service.bodies.body_reader import Chunk
from nonzero_service.problems import Problem

PIECE: Final = 1 << 20
"""About so many plain bytes come out of a compressed body at once; so many of any body become one batch."""


WINDOW: Final = 8 << 20
"""zstd's largest window, as RFC 9659 has it for HTTP."""

STARTS: Final = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<zstd>\x28\xb5\x2f\xfd)|(?P<zip>PK\x03\x04)"
    rb"|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<xz>\xfd7zXZ\x00)"
)
"""How compressed bodies begin, and no text does."""

LONGEST_START: Final = 10

READ: Final = ("gzip", "zstd")

TAKEN: Final = ((b"accept-encoding", b"gzip, zstd"),)


class Decoder:
    """Decodes one body: :meth:`offer` its bytes, :meth:`read` while :attr:`more`, and :meth:`finish`.

    This one, of a body that is not encoded, hands its chunks on and never copies them.
    """

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []

    def offer(self, chunks: list[Chunk]) -> None:
        """Take more of the body; all that was offered before must have been read."""
        self._chunks = chunks

    @property
    def more(self) -> bool:
        """Whether there may be something to read."""
        return bool(self._chunks)

    def read(self) -> list[Chunk]:
        """Return the next plain bytes, in chunks as they are there."""
        chunks, self._chunks = self._chunks, []
        return chunks

    def finish(self) -> None:
        """Check that the body ended where it may.

        Raises
        ------
        Problem
            400, where it did not.
        """


class PlainText(Decoder):
    """Text that is not encoded; what a client has compressed and not said so is refused, as no text is so."""

    def __init__(self) -> None:
        super().__init__()
        self._start = b""

    def offer(self, chunks: list[Chunk]) -> None:
        """Take chunks, unless the body begins as a compressed one does.

        Raises
        ------
        Problem
            415 where it does.
        """
        if len(self._start) < LONGEST_START:
            room = LONGEST_START - len(self._start)
            self._start += b"".join([bytes(chunk[:room]) for chunk in chunks])[:room]
            check_text(self._start)
        super().offer(chunks)


class Compressed(Decoder):
    """A body that is compressed.

    Parameters
    ----------
    engine
        What decompresses it.
    """

    def __init__(self, engine: Decompressor) -> None:
        self._engine = engine

    def offer(self, chunks: list[Chunk]) -> None:
        """Take compressed bytes."""
        self._engine.offer(b"".join(chunks))

    @property
    def more(self) -> bool:
        """Whether not all of them have gone in, or come out."""
        return self._engine.more

    def read(self) -> list[Chunk]:
        """Return about a piece.

        Raises
        ------
        Problem
            400, where the body is damaged.
        """
        try:
            return [*self._engine.read()]
        except DAMAGE as error:
            raise Problem(400, f"the body is not whole {self._engine.name}: {error}") from error

    def finish(self) -> None:
        """Refuse an end within a member or a frame."""
        try:
            self._engine.finish()
        except EOFError as error:
            name = self._engine.name
            raise Problem(400, f"the body ends in the middle of its {name}; was it cut short?") from error


def check_text(body: bytes) -> None:
    """Refuse a body without a Content-Encoding that begins as a compressed one does.

    Raises
    ------
    Problem
        415 where it does.
    """
    found = STARTS.match(body)
    if found is None:
        return
    name = found.lastgroup
    way_out = f"say so, with Content-Encoding: {name}"
    if name not in READ:
        way_out = "that is not read: send it as gzip or zstd, with its Content-Encoding, or unpacked"
    raise Problem(415, f"the body is {name}, and no Content-Encoding says so; {way_out}", headers=TAKEN)


def decoder_of(encoding: str, *, text: bool = True) -> Decoder:
    """Return a decoder for a Content-Encoding.

    Parameters
    ----------
    encoding
        The header's value; empty where there is none.
    text
        Whether the body is text: so that one which is compressed is known although no header says so.

    Raises
    ------
    Problem
        415 for one that is not read.
    """
    match encoding:
        case "" | "identity":
            return PlainText() if text else Decoder()
        case "gzip" | "x-gzip":
            return Compressed(Gzip(PIECE))
        case "zstd":
            return Compressed(Zstd(PIECE, WINDOW))
        case _:
            raise Problem(
                415, f"the Content-Encoding {encoding!r} is not read; send gzip, zstd or none", headers=TAKEN
            )
