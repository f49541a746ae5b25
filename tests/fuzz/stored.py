"""What reads the disk: model files, journals, impressions. Damage is named, and never believed."""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core.saved import forge, stored_in
from fuzz.choices import NUMBERS, Choices
from nonzero import AdaGrad, Batch, FormatError, LogisticRegression, Schema
from nonzero.batches.codec import encode_batch
from nonzero.batches.ids import Ids
from nonzero.errors import SettingsError, SnapshotError
from nonzero.persistence import snapshot
from nonzero.persistence.rows import ArrayRows
from nonzero.sources.rows_file import RowsReader, RowsWriter
from nonzero.sources.rows_head import RowsFoot, RowsHead
from nonzero_service.impressions.array_text import text_of
from nonzero_service.impressions.joined import References, decode_joined, encode_joined
from nonzero_service.impressions.older import older_impressions
from nonzero_service.impressions.packing import PredictedRows, fields_of_first, packed
from nonzero_service.impressions.records import HEAD
from nonzero_service.impressions.rows import (
    NO_FIELDS,
    ImpressionRow,
    Teaching,
    decode_row,
    encode_row,
    offset_behind,
)
from nonzero_service.impressions.taking_over import TakenOver
from nonzero_service.impressions.unpacking import Part, unpacked, walked
from nonzero_service.impressions.waiting_labels import WaitingLabel
from nonzero_service.journal.chain import KINDS, JournalRow
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError, StorageError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.sqlite.database import connect, translated
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.journal.verification import verify_journal
from nonzero_service.writer import fold
from nonzero_service.writer.challenger_origin import ChallengerOrigin
from nonzero_service.writer.entries import Start, batch_entry, settings_entry, start_of
from nonzero_service.writer.origins import Run, Skip
from nonzero_service.writer.promotion import Promotion
from nonzero_service.writer.source_rows import SourceBody, source_entry

__all__ = [
    "batch_body",
    "impression_row",
    "impressions",
    "journal",
    "model_file",
    "row",
    "rows_file",
    "snapshot_file",
]

MEMORY = Path("/dev/shm")


@contextmanager
def place() -> Iterator[Path]:
    """Give a directory in memory, where there is one."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="fuzz-") as directory:
        yield Path(directory)


@functools.cache
def examples(n: int = 70) -> Batch:
    rng = np.random.default_rng(n)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 4, n))])
    nnz = int(indptr[-1])
    return Batch(
        indptr,
        rng.integers(0, 4, nnz),
        rng.normal(size=nnz).astype(np.float32),
        labels=rng.integers(0, 2, n),
        weights=rng.random(n),
        fields=rng.integers(0, 3, nnz).astype(np.uint16),
    )


@functools.cache
def trained(lanes: int) -> LogisticRegression:
    model = LogisticRegression(2, AdaGrad(0.1) if lanes == 1 else None)
    for _ in range(3):
        model.learn(examples())
    return model


def use(model: LogisticRegression) -> None:
    """Do with a model all that a service does."""
    chances = model.predict(examples())
    assert np.isfinite(chances).all()
    for _ in range(3):
        assert np.isfinite(model.learn(examples())).all()
    model.metrics()
    model.diagnose(["a"], 10**12)
    model.explain(examples().rows(3, 4))
    model.digest()


# -- model files -------------------------------------------------------------------------------------------


@functools.cache
def small_file() -> bytes:
    with place() as directory:
        rows = np.zeros((101, 4), np.float32)
        rows.reshape(-1)[[1, 3, 400]] = 1
        snapshot.write(directory / "small", {"a": np.arange(3), "b": ArrayRows(rows)}, {"c": [1, "d"]})
        return (directory / "small").read_bytes()


def snapshot_file(data: bytes) -> None:
    """A file is read as it was written, or refused."""
    choices = Choices(data)
    changing = choices.below(4)
    content = choices.changed(small_file()) if changing else choices.rest
    rows = np.zeros((101, 4), np.float32)
    into: dict[str, Any] = {"a": np.zeros(3, np.int64), "b": ArrayRows(rows)}
    with place() as directory:
        (directory / "file").write_bytes(content)
        try:
            metadata = snapshot.read(directory / "file", lambda *_: into)
        except SnapshotError:
            return
    assert metadata == {"c": [1, "d"]}
    assert into["a"].tolist() == [0, 1, 2]
    assert np.flatnonzero(rows).tolist() == [1, 3, 400]


def model_file(data: bytes) -> None:
    """A file whose digest is right, and whose contents may be any, is a model that works, or is refused."""
    choices = Choices(data)
    model = trained(choices.one_of([8, 1]))
    with place() as directory:
        model.save(directory / "file")
        stored = stored_in(directory / "file")
        for _ in range(1 + choices.below(3)):
            change(choices, stored.tensors, choices.one_of([stored.metadata, stored.metadata, stored.rows]))
        forge(directory / "file", stored)
        try:
            found = LogisticRegression.load(directory / "file")
        except (SnapshotError, SettingsError):
            return
    use(found)


def change(choices: Choices, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Change an element of a tensor, its form, or what stands beside the tensors."""
    match choices.below(8):
        case 0:
            written = choices.changed(msgspec.json.encode(metadata))
            try:
                found = msgspec.json.decode(written)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            metadata.clear()
            metadata |= found if isinstance(found, dict) else {"settings": found}
        case 1:
            tensors.pop(choices.one_of(sorted(tensors)), None)
        case 2:
            name = choices.one_of(sorted(tensors))
            tensors[name] = choices.one_of(
                [tensors[name][:1], tensors[name].reshape(-1), tensors[name][..., None]]
            )
        case _:
            array = tensors[choices.one_of(sorted(tensors))]
            if array.size:
                flat = array.reshape(-1).view(np.uint8)
                at = choices.below(array.size) * array.itemsize
                number = choices.one_of([*NUMBERS, *FLOATS])
                flat[at : at + array.itemsize] = np.frombuffer(number[: array.itemsize], np.uint8)


FLOATS = tuple(
    np.array([number, 0], kind).tobytes()[:8]
    for kind in (np.float32, np.float64)
    for number in (np.nan, np.inf, -np.inf, 1e30, -1e30, -1, 1e-40, 300)
)


# -- the journal -------------------------------------------------------------------------------------------


@functools.cache
def bodies() -> dict[str, bytes]:
    """Return a right body of each kind of row."""
    batch, n = examples(9), 9
    references = References(np.arange(n), np.arange(n).astype(np.uint64), np.zeros(n, np.uint8))
    joined = encode_joined(batch, references)
    start = LogisticRegression(2, AdaGrad(0.1))
    remedy = {"action": "rescale", "rate": 0.1}
    run = Run(
        "clicks", "t4bQ-Jx7RiG0m9fXsWnA2w", 0, first=0, next=n, epoch=1, messages=n, refused=1, examples=n
    )
    source = SourceBody((run,), 1, (Skip(run.topic_id, 1, 0, n, "retention"),), (WaitingLabel("a", 1, 1),))
    origin = ChallengerOrigin("default", "1", "nothing", 1, 0, None, start.settings)
    taken = TakenOver("window", 1, 1, 0, 1, 0, 1.0, text_of(np.zeros(n, np.uint8)))
    return {
        "settings": msgspec.json.encode(Start(start.settings, start.digest(), 0)),
        "batch": encode_batch(batch),
        "joined": joined,
        "held": joined,
        "label": encode_joined(Batch.empty(), references),
        "impression": impression_body(),
        "trip": b"{}",
        "resume": b'{"since":1,"discard":false}',
        "clock": b'{"before_ms":2,"after_ms":1}',
        "remedy": msgspec.json.encode(remedy),
        "recalibration": b"",
        "source": source_entry(source).body,
        "promotion": msgspec.json.encode(Promotion("b", origin, {"bits": 2}, taken)),
    }


def batch_body(data: bytes) -> None:
    """A body is a batch that keeps a batch's rules and can be encoded to the same examples, or is refused."""
    choices = Choices(data)
    kind = choices.below(3)
    body = choices.rest if kind == 0 else choices.changed(bodies()["batch"])
    try:
        batch = decode_batch(body)
    except BodyError:
        return
    checked = Batch(
        batch.indptr,
        batch.indices,
        batch.values,
        batch.labels,
        batch.weights,
        batch.fields,
        None,
        batch.times,
    )
    again = decode_batch(encode_batch(checked))
    assert (again.indptr == batch.indptr).all()
    assert (again.indices == batch.indices).all()
    assert np.array_equal(again.labels, batch.labels, equal_nan=True)
    assert (again.explicit_values() == batch.explicit_values()).all()


@functools.cache
def hashed() -> bytes:
    """A rows file of two blocks."""
    out = io.BytesIO()
    writer = RowsWriter(out, RowsHead(Schema({"bid": "number"}), ("vw",)))
    for _ in range(2):
        writer.write(examples())
        writer._write_waiting()
    writer.finish(RowsFoot(writer.examples, writer.nonzeros, {"site": "category"}))
    return out.getvalue()


def rows_file(data: bytes) -> None:
    """A rows file is read as it was written, or refused by its name; so is one whose digests are right."""
    choices = Choices(data)
    kind = choices.below(3)
    if kind == 2:
        out = io.BytesIO()
        writer = RowsWriter(out, RowsHead(Schema(), ("vw",)))
        body = choices.changed(bodies()["batch"])
        writer._put_block(b"rows", choices.one_of([9, 0, 1, 2**31]), body)
        writer.finish(RowsFoot(choices.one_of([9, 0, 2**40]), 0))
        content = out.getvalue()
    else:
        content = choices.rest if kind == 0 else choices.changed(hashed())
    try:
        parts = [part.batch for part in RowsReader.of_bytes(content)]
    except FormatError:
        return
    if kind == 1:
        assert (Batch.concatenate(parts).indices == np.tile(examples().indices, 2)).all()
    for batch in parts:
        assert len(encode_batch(batch)) > 0


def row(data: bytes) -> None:
    """A row of any kind and body is applied, or refused; the model stays usable."""
    choices = Choices(data)
    kind = choices.one_of(sorted(KINDS))
    body = choices.changed(bodies()[kind]) if choices.below(4) else choices.rest
    count, first = choices.one_of([9, 0, 1, 2**40]), choices.one_of([0, 1])
    model = LogisticRegression(2, AdaGrad(0.1))
    made = JournalRow(2, first, count, kind, 1, 10**12, bytes(16), body, bytes(16))
    held = JournalRow(1, 0, 0, "held", 1, 10**12, bytes(16), bodies()["held"], bytes(16))
    try:
        if kind == "settings":
            LogisticRegression.from_settings(start_of(made).settings)
        if kind == "held":
            decode_joined(body)
        model = fold.apply(
            model,
            made,
            lambda since: iter([held] if since <= 1 else []),
            promoted=lambda promotion, _, __: promotion.origin.new_model(),
        )
    except (BodyError, SettingsError):
        return
    use(model)


@functools.cache
def journal_files() -> dict[str, bytes]:
    with place() as directory, SqliteJournal(directory) as journal:
        model = LogisticRegression(2, AdaGrad(0.1))
        journal.append([settings_entry(model)])
        for n in range(6):
            record = KeyRecord(f"key-{n}", b"", 0, 9 * n, 9, True, {"accepted": 9})
            journal.append([batch_entry(examples(9), [record])])
            if n == 3:
                journal.checkpoint()
        return {
            name: (directory / name).read_bytes() for name in ("journal.sqlite", "journal.sqlite-wal", "mark")
        }


@functools.cache
def said(name: str) -> np.ndarray[Any, Any]:
    """Return where a file's bytes are not zero: where a change is likely to matter."""
    return np.flatnonzero(np.frombuffer(journal_files()[name], np.uint8))


def journal(data: bytes) -> None:
    """A journal whose bytes were changed says what was written, or that it is damaged."""
    choices = Choices(data)
    files = {name: bytearray(content) for name, content in journal_files().items()}
    for _ in range(1 + choices.below(4)):
        name = choices.one_of(sorted(files))
        places = said(name)
        at = int(places[choices.below(places.size)])
        patch = choices.one_of([*NUMBERS, bytes([choices.below(256)])])
        files[name][at : at + len(patch)] = patch
    with place() as directory:
        for name, content in files.items():
            (directory / name).write_bytes(content)
        found = _read_all(directory)
        if found is None:
            return
        assert found == truth()


@functools.cache
def truth() -> list[bytes]:
    with place() as directory:
        for name, content in journal_files().items():
            (directory / name).write_bytes(content)
        found = _read_all(directory)
    assert found is not None
    return found


def _check_structure(path: Path) -> None:
    """Refuse a file of which SQLite says itself that a write to it may go wrong: its free pages and spaces.

    No row depends on them, so that nothing else looks.
    """
    with closing(connect(path, readonly=True)) as connection, translated(path, connection):
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise StorageError(f"{path} is damaged")


def _read_all(directory: Path) -> list[bytes] | None:
    """Return all that a journal says, its keys too, by a reader and by a writer; None where it is refused."""
    try:
        with JournalReader(directory) as reader:
            verify_journal(reader)
            rows = [one.body for one in reader.read()]
        _check_structure(reader.path)
        with SqliteJournal(directory) as opened:
            keys = [msgspec.json.encode(opened.lookup(f"key-{n}")) for n in range(6)]
            opened.append([batch_entry(examples(9))])
            assert [one.body for one in opened.read()][:-1] == rows
    except StorageError:
        return None
    return rows + keys


# -- impressions -------------------------------------------------------------------------------------------


def offered_rows() -> PredictedRows:
    batch = examples(20)
    names = [f"id-{n}" for n in range(20)]
    hashes = np.arange(20).astype(np.uint64) * np.uint64(2**40)
    fresh, answered = np.ones(20, np.uint8), np.full(20, 0.25, np.float32)
    return PredictedRows(batch, Ids.of(names), answered, np.arange(20), hashes, fresh, 10**12)


@functools.cache
def records(*, usual: bool = False) -> bytes:
    """Return records; `usual`: the fields of the first one stand beside them."""
    offered, stops = offered_rows(), np.empty(20, np.int64)
    words = packed(offered, stops, fields_of_first(offered) if usual else NO_FIELDS)
    assert words.size == stops[-1]
    return words.tobytes()


def impression_body() -> bytes:
    fields = fields_of_first(offered_rows())
    words = np.frombuffer(records(usual=True), np.uint32)
    found = walked(words, words.size)
    return encode_row(ImpressionRow(5, 1.0, Teaching.NOW, words, found.stops, found.hashes, fields))


def sealed(data: bytes) -> bytes:
    """Give each record the checksum that is right for what it holds now."""
    words = np.frombuffer(data[: len(data) // 4 * 4], np.uint32).tolist()
    at = 0
    while at + HEAD <= len(words) and HEAD <= words[at] <= len(words) - at:
        sums = [0xCBF29CE484222325] * 4
        body = range(at + 11, at + words[at])
        fours = len(body) // 4 * 4
        for j in (*range(at, at + 9), *body):
            k = (j - at) % 4 if j < at + 9 else (j - at - 11) % 4 if j - at - 11 < fours else 0
            sums[k] = (sums[k] ^ words[j]) * 0x100000001B3 % 2**64
        h = 0
        for one in sums:
            h = (h ^ one) * 0x100000001B3 % 2**64
        words[at + 9 : at + 11] = h % 2**32, h >> 32
        at += words[at]
    return np.array(words, np.uint32).tobytes()


def impressions(data: bytes) -> None:
    """The impressions of an older release, of any bytes, become rows of a journal; all can be read."""
    choices = Choices(data)
    sealing = choices.below(2)
    words = choices.changed(records()) if choices.below(3) else choices.rest
    if sealing:
        words = sealed(words)
    states = bytes(choices.below(256) for _ in range(choices.below(30)))
    with place() as directory:
        (directory / "impressions").mkdir()
        (directory / "impressions" / f"{5:020}.rows").write_bytes(words)
        (directory / "impressions" / f"{5:020}.states").write_bytes(states)
        for row, references in older_impressions(directory):
            assert set(references.numbers.tolist()) <= set(row.numbers.tolist())
            read_row(encode_row(row))


def impression_row(data: bytes) -> None:
    """The body of a row of any bytes is refused, or every record in it can be read."""
    choices = Choices(data)
    sealing = choices.below(2)
    body = choices.changed(bodies()["impression"]) if choices.below(3) else choices.rest
    if sealing:
        at = offset_behind(np.zeros(int.from_bytes(body[6:8], "little"), np.uint16))
        body = body[:at] + sealed(body[at:])
    read_row(body)


def read_row(body: bytes) -> None:
    """Read a body as a start does, and as a label does."""
    try:
        row = decode_row(body)
    except BodyError:
        return
    assert encode_row(row) == body
    batch, references = row.negatives()
    assert len(batch) == len(references)
    parts = [Part(row.words, row.starts[::-1].copy(), (row.stops - row.starts)[::-1].copy(), row.usual)]
    found = unpacked(parts, ids=True)
    assert len(found.ids) == len(found.batch) == row.stops.size
    assert all(len(found.ids[k]) <= 1020 for k in np.flatnonzero(found.whole))
