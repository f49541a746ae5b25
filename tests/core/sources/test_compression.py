"""Compressed bytes give the same text however they come, in pieces that stay small."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from nonzero.sources.compression import DAMAGE, Decompressor, Gzip, Zstd

TEXT = b"".join(b"%d | a b:%d\n" % (n % 2, n) for n in range(20_000))
PIECE = 1 << 14
PACKED = {"gzip": gzip.compress(TEXT), "zstd": zstandard.ZstdCompressor().compress(TEXT)}


def engine_of(name: str) -> Decompressor:
    return Gzip(PIECE) if name == "gzip" else Zstd(PIECE)


def text_of(engine: Decompressor, *parts: bytes) -> bytes:
    found = []
    for part in parts:
        engine.offer(part)
        while engine.more:
            found.append(b"".join(engine.read()))
    engine.finish()
    return b"".join(found)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_any_parts_give_the_same_text(name: str, size: int) -> None:
    whole = PACKED[name] * 2  # several members, or frames
    parts = [whole[j : j + size] for j in range(0, len(whole), size)]
    assert text_of(engine_of(name), *parts) == TEXT * 2


@pytest.mark.parametrize("name", PACKED)
def test_what_ends_too_early_or_is_damaged_raises(name: str) -> None:
    packed = PACKED[name]
    with pytest.raises(EOFError, match=f"the {name} stream ends before its end mark"):
        text_of(engine_of(name), packed[:-20])
    with pytest.raises(DAMAGE):
        text_of(engine_of(name), packed, b"no such bytes")


def test_padding_is_taken_where_it_is_allowed_to() -> None:
    padded = PACKED["gzip"] + bytes(100_000)
    assert text_of(Gzip(PIECE, padded=True), padded, PACKED["gzip"], bytes(3)) == TEXT * 2
    with pytest.raises(DAMAGE):
        text_of(Gzip(PIECE), padded)


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_comes_out_in_pieces(name: str) -> None:
    zeros = bytes(1 << 26)
    pack = gzip.compress if name == "gzip" else zstandard.ZstdCompressor().compress
    engine = engine_of(name)
    engine.offer(pack(zeros))
    largest = 0
    while engine.more:
        largest = max(largest, sum(map(len, engine.read())))
    engine.finish()
    assert largest <= 1 << 25
