"""One flipped bit in a served model's snapshots, journal, WAL or mark: named, or proven harmless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from nonzero import AdaGrad, Batch, LogisticRegression
from nonzero.errors import NonzeroError
from nonzero_service.journal.keys import KeyRecord
from nonzero_service.journal.snapshots import SnapshotFolder
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.recovery import recover
from nonzero_service.models.snapshot_files import write_snapshot
from nonzero_service.writer.entries import batch_entry, settings_entry
from reporting import Figure
from service.faults.invariants import silent
from service.journal.flipping import flip

ROWS = 60


def served(directory: Path) -> dict[str, bytes]:
    """Make a model's directory as a kill leaves it: two snapshots, rows in file and WAL, keys."""
    model = LogisticRegression(6, AdaGrad(0.1))
    rng = np.random.default_rng(3)
    snapshots = SnapshotFolder(directory / "snapshots")
    with SqliteJournal(directory) as journal:
        journal.append([settings_entry(model)])
        for n in range(ROWS):
            size = 30 if n % 7 else 2000
            indices = rng.integers(0, 2**6, 3 * size, dtype=np.uint32)
            batch = Batch(np.arange(size + 1) * 3, indices, labels=rng.integers(0, 2, size))
            record = KeyRecord(f"key-{n}", b"", 0, model.examples, size, True, {"accepted": size})
            position = journal.append([batch_entry(batch, [record])])
            model.learn(batch)
            if n in (20, 35):
                write_snapshot(snapshots, position, journal.digest_at(position), model.packed())
                journal.checkpoint()
        oldest = snapshots.prune()
        assert oldest is not None
        journal.truncate(oldest + 1)
        names = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
        return {
            str(name): (directory / name).read_bytes()
            for name in names
            if name.name != "lock" and not name.name.endswith("-shm")
        }


def what_it_says(directory: Path) -> tuple[str, int, list[KeyRecord | None]]:
    """All that a start makes of it: the model's digest, the rows, the keys."""
    with capture_logs():
        kept = recover(directory, SqliteJournal, silent)
    with kept.journal as journal:
        keys = [journal.lookup(f"key-{n}") for n in range(ROWS)]
        return kept.model.digest(), journal.position, keys


def flips(directory: Path, n: int) -> tuple[int, int]:
    """Flip `n` random bits, one at a time; return how often it was named, and how often it was harmless."""
    original = directory / "original"
    original.mkdir()
    files = served(original)
    newest = max(name for name in files if "snapshots" in name)
    asked: list[bool] = []

    def ask(place: Path) -> Any:
        said = what_it_says(place)
        assert None not in said[2]
        asked.append(bool(list(place.rglob("*.damaged"))))
        return said

    weights = {name: 1 if name == "mark" else 6 for name in files}
    named, harmless = flip(files, weights, directory / "flipped", n, ask, NonzeroError)
    damaged = asked[1:]  # the first is the truth, of whole files
    assert all(aside for name, aside in zip(harmless, damaged, strict=True) if name == newest)
    return named, len(harmless)


def test_each_is_named_or_harmless(memory_path: Path) -> None:
    named, harmless = flips(memory_path, 100)
    assert min(named, harmless) > 15


@pytest.mark.soak
def test_each_is_named_or_harmless_long(memory_path: Path, figure: Figure) -> None:
    named, harmless = flips(memory_path, 1000)
    figure(
        "flipped bits in a model's snapshots, journal, WAL and mark",
        "1,000: each named, or the same digest, rows and keys",
        f"{named} named, {harmless} harmless",
    )
    assert min(named, harmless) > 150
