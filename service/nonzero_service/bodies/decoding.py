"""Content-Encoding: compressed bytes in, plain bytes out, a bounded piece at a time.

A few bytes of gzip or zstd can stand for gigabytes. So compressed bytes go in by slices, and the bytes that
they stand for come out by pieces, between which the reader may give up.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

import zstandard

from nonzero_service.bodies.body_reader import Chunk
from nonzero_service.problems import Problem

__all__ = ["PIECE", "Decoder", "check_text", "decoder_of"]

PIECE: Final = 1 << 20
"""About so many plain bytes come out of a compressed body at once; so many of any body become one batch."""


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


class Encoded(Decoder):
    """What the decoders of compressed bodies have in common: compressed bytes go in by slices."""

    def __init__(self) -> None:
        self._input = b""
        self._position = 0

    def offer(self, chunks: list[Chunk]) -> None:
        """Take compressed bytes."""
        self._input, self._position = b"".join(chunks), 0

    @property
    def more(self) -> bool:
        """Whether not all of them have gone in."""
        return self._position < len(self._input)

    def _slice(self, size: int) -> bytes:
        taken = self._input[self._position : self._position + size]
        self._position += len(taken)
        return taken


class Gzip(Encoded):
    """gzip: one member or several, one after another."""

    SLICE: Final = 1 << 14

    def __init__(self) -> None:
        super().__init__()
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False
        self._waiting = b""  # compressed bytes that the member has not looked at yet
        self._holds = False  # whether the member may hold plain bytes back

    @property
    def more(self) -> bool:
        """Whether the member holds bytes back, or not all have gone in."""
        return self._holds or bool(self._waiting) or super().more

    def read(self) -> list[Chunk]:
        """Return up to a piece."""
        while True:
            data = self._waiting or self._slice(self.SLICE)
            if not data and not self._holds:
                return []
            self._begun = self._begun or bool(data)
            try:
                plain = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise _damaged("gzip", error) from error
            self._holds = len(plain) == PIECE
            self._waiting = self._member.unconsumed_tail
            if self._member.eof:
                self._waiting = self._member.unused_data
                self._member = zlib.decompressobj(wbits=31)
                self._begun = self._holds = False
            if plain:
                return [plain]

    def finish(self) -> None:
        """Refuse an end within a member."""
        if self._begun:
            raise _cut_short("gzip")


class Zstd(Encoded):
    """zstd: one frame or several; windows up to 8 MiB, as RFC 9659 has it for HTTP."""

    # The library takes no bound on what comes out, but a block of 4 bytes gives 128 KiB at most: so this, 32
    # MiB.
    SLICE: Final = 1 << 10
    LEAST: Final = 1 << 6

    def __init__(self) -> None:
        super().__init__()
        self._step = self.LEAST
        self._library = zstandard.ZstdDecompressor(max_window_size=8 << 20)
        self._frame = self._library.decompressobj()
        self._begun = False

    def read(self) -> list[Chunk]:
        """Return a piece, made of whole slices."""
        pieces: list[Chunk] = []
        size = 0
        while size < PIECE and (data := self._slice(self._step)):
            self._begun = True
            try:
                plain = self._frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _damaged("zstd", error) from error
            # What expands much goes in by smaller slices: a bomb takes megabytes, not dozens of them.
            self._step = min(max(len(data) * PIECE // (len(plain) + 1), self.LEAST), self.SLICE)
            if self._frame.eof:
                self._position -= len(self._frame.unused_data)
                self._frame = self._library.decompressobj()
                self._begun = False
            pieces.append(plain)
            size += len(plain)
        return pieces

    def finish(self) -> None:
        """Refuse an end within a frame."""
        if self._begun:
            raise _cut_short("zstd")


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
            return Gzip()
        case "zstd":
            return Zstd()
        case _:
            raise Problem(
                415,
                f"the Content-Encoding {encoding!r} is not read; send gzip, zstd or none",
                headers=TAKEN,
            )


def _damaged(name: str, error: Exception) -> Problem:
    return Problem(400, f"the body is not whole {name}: {error}")


def _cut_short(name: str) -> Problem:
    return Problem(400, f"the body ends in the middle of its {name}; was it cut short?")
