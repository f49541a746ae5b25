"""Sources: the same bytes from plain, gzip, zstd and standard input; damage is named; memory is bounded."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from nonzero.errors import FormatError
from nonzero.formats.registry import COLUMNAR, FORMATS
from nonzero.sources.files import Source, format_of
from thoroughly import examples

MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", *(bytes([n, 0x2A, 0x4D, 0x18]) for n in range(0x50, 0x60)))


def read(path: Path) -> bytes:
    return b"".join(Source(path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.vw", "vw"),
        ("dir.csv/a.svm.gz", "libsvm"),
        ("a.libsvm", "libsvm"),
        ("a.svmlight", "libsvm"),
        ("A.NDJSON.ZST", "ndjson"),
        ("clicks.2024.jsonl", "ndjson"),
        ("clicks.csv.gz", "csv"),
        ("clicks.rows", "rows"),
        ("clicks.rows.zst", "rows"),
    ],
)
def test_a_name_tells_its_format(name: str, expected: str) -> None:
    assert format_of(name) == expected
    assert format_of(Path("/some/where") / name) == expected


@pytest.mark.parametrize("name", ["-", "clicks", "clicks.gz", "clicks.xlsx", ""])
def test_a_name_that_tells_nothing_is_an_error_that_says_what_to_do(name: str) -> None:
    with pytest.raises(FormatError, match=f"name it: {', '.join([*FORMATS, *COLUMNAR])} or rows"):
        format_of(name)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_the_first_bytes_are_told_without_keeping_the_file_open(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "log"
    for text in (b"", b"1 |", b"1 |site news\n" * 10_000):
        path.write_bytes(pack(text))
        source = Source(path)
        assert source.start(8) == text[:8]
        assert path.resolve() not in map(Path.resolve, Path("/proc/self/fd").iterdir())
        assert source.packed == (pack is not bytes)
        assert b"".join(source) == text
        assert source.position == source.size


@given(data=st.binary(max_size=5000), cut=st.integers(0, 5000), block=st.integers(64, 700))
@settings(max_examples=examples(60))
def test_every_packing_gives_the_same_bytes(
    data: bytes, cut: int, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Several members or frames, and block and piece sizes that break at every place."""
    first, second = data[:cut], data[cut:]
    packings = {
        "gzip": gzip.compress(first) + gzip.compress(second),
        "padded gzip": gzip.compress(first) + bytes(7) + gzip.compress(second) + bytes(1000),
        "zstd": zstandard.compress(first) + zstandard.compress(second),
    }
    if not data.startswith(MAGIC):
        packings["plain"] = data
    folder = tmp_path_factory.mktemp("packings")
    for name, packed in packings.items():
        path = folder / name
        path.write_bytes(packed)
        source = Source(path, block)
        assert b"".join(source) == data, name
        assert source.position == source.size == len(packed)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_compressed_file_that_ends_early_is_named(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    packed = compress(bytes(range(256)) * 1000)
    path = tmp_path / "clicks"
    for end in (5, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:end])
        with pytest.raises(FormatError, match="clicks is damaged, or not whole"):
            read(path)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(bytes(range(256)) * 1000))
    packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / "clicks.gz"
    path.write_bytes(packed)
    with pytest.raises(FormatError, match=r"clicks\.gz is damaged"):
        read(path)


def test_blocks_of_a_highly_compressed_file_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    sizes = [len(block) for block in Source(path)]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1 << 20


def test_standard_input_is_read_and_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"1 |f a\n"))))
    source = Source("-")
    assert (source.name, source.size) == ("standard input", None)
    assert b"".join(source) == b"1 |f a\n"


def test_a_missing_file_is_an_os_error_when_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.vw")
