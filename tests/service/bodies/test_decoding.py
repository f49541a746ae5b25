from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard

from nonzero_service.bodies.decoding import PIECE, Decoder, decoder_of
from nonzero_service.problems import Problem

TEXT = b"".join(b"%d | a=%d\n" % (j % 2, j * j % 977) for j in range(100_000))

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def decoded(decoder: Decoder, data: bytes, chunk: int) -> bytes:
    pieces = []
    for start in range(0, len(data), chunk):
        decoder.offer([data[start : start + chunk]])
        while decoder.more:
            pieces += decoder.read()
    decoder.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("chunk", [997, 2**16, 2**24])
def test_what_was_encoded_comes_out(encoding: str, chunk: int) -> None:
    assert decoded(decoder_of(encoding), ENCODERS[encoding](TEXT), chunk) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_several_members_are_one_body(encoding: str) -> None:
    encode = ENCODERS[encoding]
    data = encode(b"a" * 1000) + encode(b"") + encode(b"b" * 10)
    for chunk in (1, 7, 10_000):
        assert decoded(decoder_of(encoding), data, chunk) == b"a" * 1000 + b"b" * 10


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_cut_short_is_refused(encoding: str) -> None:
    data = ENCODERS[encoding](random.Random(3).randbytes(10_000))
    with pytest.raises(Problem, match="cut short"):
        decoded(decoder_of(encoding), data[:-20], 1000)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_something_else_is_refused(encoding: str) -> None:
    with pytest.raises(Problem, match=encoding):
        decoded(decoder_of(encoding), b"1 | a b c d e f g\n", 1000)


def test_a_bomb_comes_out_in_pieces() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()
    frame = zstandard.ZstdCompressor().compress(bytes(2**28))
    for encoding, data, largest in (("gzip", bomb, PIECE), ("zstd", frame, 2**25 + PIECE)):
        decoder = decoder_of(encoding)
        decoder.offer([data])
        size = 0
        while decoder.more:
            piece = sum(map(len, decoder.read()))
            assert piece <= largest
            size += piece
        decoder.finish()
        assert size == 2**28
