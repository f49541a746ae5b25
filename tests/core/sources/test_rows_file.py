"""Rows files: what is written is read, to the bit; any damage is named with its place and the way out."""

from __future__ import annotations

import gc
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash
import zstandard

from core.batches.test_codec import assert_same
from core.streams import random_batch
from nonzero import Batch, FormatError, Schema
from nonzero.persistence.whole_files import whole_file
from nonzero.sources.files import Source
from nonzero.sources.rows_file import RowsReader, RowsWriter
from nonzero.sources.rows_head import RowsFoot, RowsHead

HEAD = RowsHead(Schema({"bid": "number", "*_id": "ignore"}, "category", "^"), ("vw", "csv"), None)


def written(*batches: Batch, head: RowsHead = HEAD, foot: RowsFoot | None = None) -> bytes:
    out = io.BytesIO()
    writer = RowsWriter(out, head)
    for batch in batches:
        writer.write(batch)
    writer.finish(foot or RowsFoot(writer.examples, writer.nonzeros, {"site": "category"}))
    return out.getvalue()


def read(data: bytes) -> list[Batch]:
    return [part.batch for part in RowsReader.of_bytes(data)]


def several_blocks() -> bytes:
    """A file of four blocks, the last of them small."""
    return written(*(random_batch(seed, n=40_000, most=9) for seed in range(4)))


def places_of(data: bytes) -> list[int]:
    """Return where the blocks and the foot begin."""
    reader = RowsReader.of_bytes(data)
    return [block.place for block in reader.blocks()] + [int.from_bytes(data[-16:-8], "little")]


@pytest.fixture
def small() -> bytes:
    """A file with two blocks of all kinds of columns, small enough to change each of its bytes."""
    out = io.BytesIO()
    writer = RowsWriter(out, RowsHead(Schema(), ("vw",)))
    for n in (3, 2):
        writer.write(
            Batch(
                np.arange(n + 1) * 2,
                np.arange(2 * n),
                np.linspace(0.5, 2, 2 * n),
                np.arange(n) % 2,
                np.linspace(1, 3, n),
                np.arange(2 * n) + 1,
                times=np.arange(n),
            )
        )
        writer._write_waiting()
    writer.finish(RowsFoot(5, 10))
    return out.getvalue()


def test_what_is_written_is_read_to_the_bit() -> None:
    batches = [
        random_batch(1, n=300, weighted=True),
        Batch.empty(),
        random_batch(2, n=1, valued=False),
        Batch([0, 0, 2], [5, 2**31], labels=[np.nan, 1], fields=[0, 7], times=[-1, 5]),
    ]
    assert_same(Batch.concatenate(read(written(*batches))), Batch.concatenate(batches))


def test_rows_are_numbered_over_the_file_and_blocks_have_half_a_megabyte() -> None:
    data = several_blocks()
    parts = list(RowsReader.of_bytes(data))
    assert len(parts) == 4
    assert np.concatenate([part.lines for part in parts]).tolist() == [*range(1, 160_001)]
    assert [part.lines_read for part in parts] == [len(part.batch) for part in parts]
    assert 3 * 2**18 < len(data) / 4 < 2**21


def test_many_small_batches_become_few_blocks_and_no_batch_none() -> None:
    assert len(read(written(*[random_batch(1, n=10)] * 500))) == 1
    assert read(written()) == []


def test_the_head_and_the_foot_come_back(tmp_path: Path) -> None:
    table = {"label": "click", "columns": ["click", "ad"], "needed": ["ad"], "boolean": []}
    head = RowsHead(HEAD.schema, ("csv",), table)
    foot = RowsFoot(20, 0, {"ad": "", "größe": "both"}, complete=False)
    data = written(random_batch(1, n=20), head=head, foot=foot)
    reader = RowsReader.of_bytes(data)
    assert reader.head == head
    assert reader.foot is None  # nobody can look ahead in a stream
    assert len(list(reader)) == 1
    assert reader.foot == foot
    (tmp_path / "log").write_bytes(data)
    assert RowsReader(Source(tmp_path / "log")).foot == foot


@pytest.mark.parametrize("packing", ["plain", "zstd"])
def test_a_file_is_read_as_its_bytes_are(packing: str, tmp_path: Path) -> None:
    data = several_blocks()
    path = tmp_path / "log.rows"
    path.write_bytes(data if packing == "plain" else zstandard.compress(data))
    source = Source(path)
    found = Batch.concatenate([part.batch for part in RowsReader(source)])
    assert_same(found, Batch.concatenate(read(data)))
    assert source.position == source.size == path.stat().st_size


def test_indices_lie_in_the_memory_that_was_read() -> None:
    [batch] = read(written(random_batch(1)))
    assert batch.indices.base is not None
    assert batch.indices.flags.aligned


def test_every_changed_byte_is_noticed(small: bytes, tmp_path: Path) -> None:
    for place in range(len(small)):
        for bit in (0, 7):
            data = bytearray(small)
            data[place] ^= 1 << bit
            with pytest.raises(FormatError, match=r"these bytes (is|are|goes|was) ") as raised:
                read(bytes(data))
            assert re.search(r"convert|nonzero convert|use the release", str(raised.value)), place
    # And by who looks at the end of a file first.
    for place in range(len(small)):
        data = bytearray(small)
        data[place] ^= 16
        (tmp_path / "log.rows").write_bytes(data)
        with pytest.raises(FormatError, match=r"log\.rows is "):
            list(RowsReader(Source(tmp_path / "log.rows")))


def test_every_cut_is_noticed_with_its_place(small: bytes, tmp_path: Path) -> None:
    for size in range(len(small)):
        with pytest.raises(FormatError, match="is empty" if not size else rf"is cut: .*{size}"):
            read(small[:size])
        (tmp_path / "log.rows").write_bytes(small[:size])
        with pytest.raises(FormatError, match="is empty" if not size else "is cut"):
            list(RowsReader(Source(tmp_path / "log.rows")))


def test_rows_before_damage_are_read_and_counted() -> None:
    data = bytearray(several_blocks())
    places = places_of(bytes(data))
    data[places[2] + 5000] ^= 1
    parts = iter(RowsReader.of_bytes(bytes(data)))
    assert [len(next(parts).batch) for _ in range(2)] == [40_000, 40_000]
    with pytest.raises(FormatError) as raised:
        next(parts)
    assert str(raised.value) == (
        f"these bytes is damaged at byte {places[2]}, after 80,000 whole rows: the bytes of a block are "
        "not those that were written; copy it again, or convert its text again"
    )


def reordered(data: bytes, places: list[int]) -> Iterator[bytes]:
    """Yield a file whose blocks are exchanged, doubled or lost; one of another file; and two files joined."""
    start = data[: places[0]]
    blocks = [data[a:b] for a, b in pairwise(places)]
    end = data[places[-1] :]
    yield start + b"".join([blocks[1], blocks[0], *blocks[2:]]) + end
    yield start + b"".join([blocks[0], *blocks]) + end
    yield start + b"".join(blocks[1:]) + end
    yield start + b"".join(blocks[:-1]) + end
    yield written(head=RowsHead(Schema(), ("csv",)))[:-200] + b"".join(blocks) + end
    yield data + data
    yield data + b"\n"


def test_blocks_in_another_order_or_of_another_file_are_noticed() -> None:
    data = several_blocks()
    for other in reordered(data, places_of(data)):
        with pytest.raises(FormatError, match=r"these bytes (is damaged at byte|goes on after its end)"):
            read(other)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", r"is empty, and no rows file; convert its text again"),
        (b"1 |site news\n", r"is no rows file: it begins with b'1 \|site '; `nonzero convert` makes one"),
        (b"PAR1" + bytes(100), "is no rows file"),
        (
            written()[:8] + (2).to_bytes(4, "little") + written()[12:],
            "of version 2, and this release reads 1",
        ),
        (written()[:12] + (2**31).to_bytes(4, "little") + written()[16:], "is damaged at byte 0"),
    ],
    ids=["empty", "text", "parquet", "newer", "size"],
)
def test_what_is_no_rows_file_of_this_version(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        RowsReader.of_bytes(data)


def test_a_whole_file_of_wrong_contents_is_refused() -> None:
    """Right digests prove nothing of what was written: a body is looked at, and counts are compared."""
    for foot in (RowsFoot(21, 0), RowsFoot(19, 0)):
        with pytest.raises(FormatError, match=rf"its end tells of {foot.examples} rows"):
            read(written(random_batch(1, n=20), foot=foot))
    for body in (b"no batch", b""):
        out = io.BytesIO()
        writer = RowsWriter(out, HEAD)
        writer._put_block(b"rows", 1, body)
        writer.finish(RowsFoot(1, 0))
        with pytest.raises(FormatError, match="a batch's body has at least 24 bytes"):
            read(out.getvalue())


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"x", b'{"schema": 1, "namespace_separator": "=", "table": null}']
)
def test_a_head_that_says_something_else_is_refused(text: bytes) -> None:
    start = b"\x93NZROWS\n" + (1).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    data = start + xxhash.xxh3_64_intdigest(start).to_bytes(8, "little")
    with pytest.raises(FormatError, match="does not say what the rows were hashed with"):
        RowsReader.of_bytes(data)


def test_a_size_beyond_the_file_takes_no_memory() -> None:
    """A block that claims more than there is ends where the file does."""
    out = io.BytesIO()
    writer = RowsWriter(out, HEAD)
    data = out.getvalue()
    described = b"rows" + (1).to_bytes(4, "little") + (2**32).to_bytes(8, "little") + bytes(8)
    seed = int.from_bytes(data[-8:], "little")
    data += described + xxhash.xxh3_64_intdigest(described, seed).to_bytes(8, "little") + bytes(50)
    assert writer.examples == 0
    with pytest.raises(FormatError, match="is cut: it ends at byte"):
        read(data)


def test_a_file_that_is_replaced_meanwhile_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.rows"
    path.write_bytes(several_blocks())
    begun = RowsReader(Source(path))
    parts = iter(begun)
    first = next(parts)
    with whole_file(path) as file:
        file.write(written(random_batch(9)))
    # Who has begun to read goes on with the old one; who has seen only its head is told.
    assert [len(part.batch) for part in (first, *parts)] == [40_000] * 4
    late = RowsReader(Source(path))
    path.unlink()
    path.write_bytes(several_blocks())
    with pytest.raises(FormatError, match="was replaced while it was read; read it again"):
        next(iter(late))


def test_many_files_are_not_open_at_once(tmp_path: Path) -> None:
    (tmp_path / "log.rows").write_bytes(written(random_batch(1)))
    gc.collect()  # what other tests have left open
    before = len([*Path("/proc/self/fd").iterdir()])
    readers = [RowsReader(Source(tmp_path / "log.rows")) for _ in range(50)]
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert sum(len(part.batch) for reader in readers for part in reader) == 25_000
    assert len([*Path("/proc/self/fd").iterdir()]) == before
