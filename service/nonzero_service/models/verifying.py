"""Verifying what is kept of a model, beside a service that runs or without one: nothing is changed.

The journal's chain is walked, every snapshot is read, and the rows are folded anew: from nothing, where the
whole journal is kept, else from the oldest snapshot. At each later snapshot's position the fold must be that
snapshot, to the bit. All else that a start reads is read too, so that what is sound can be started.

Not everything that is damaged keeps a start from coming up: it takes an older snapshot, and reads no rows
before that. So where something is wrong, what a start does is done, as far as it changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nonzero import LogisticRegression, SnapshotError
from nonzero.errors import NonzeroError
from nonzero_service.impressions.older import older_impressions
from nonzero_service.journal.descriptors import explain_shortage
from nonzero_service.journal.errors import NoDescriptorsError, PrunedError
from nonzero_service.journal.keys import KeyIndex
from nonzero_service.journal.snapshots import SnapshotFile, snapshots_in
from nonzero_service.journal.sqlite.opening import check_journal
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.journal.verification import verify_journal
from nonzero_service.models.checked import Checked, ExpectedFold, Told, whole_snapshots
from nonzero_service.models.data_directory import check_model
from nonzero_service.models.promotions import promoted_from
from nonzero_service.models.recovery import found, replay
from nonzero_service.models.snapshot_files import newest_readable
from nonzero_service.models.verifying_challengers import verify_challenger
from nonzero_service.writer import fold
from nonzero_service.writer.origins import partitions_of

ATTEMPTS: Final = 5


def verify(directory: Path, told: Told) -> Checked:
    """Check what is kept of one model.

    Parameters
    ----------
    directory
        The model's.
    told
        Told how far it is.
    """
    for attempt in range(1, ATTEMPTS + 1):
        checked = Checked(directory)
        try:
            with explain_shortage("this cannot be verified"):
                origin = check_model(directory).origin
                if origin is not None:
                    verify_challenger(checked, origin, told)
                    return checked
                _read_older(directory)
                with JournalReader(directory) as reader:
                    checked.journal = verify_journal(
                        reader, lambda done, end: told("checking the journal", done, end)
                    )
                    _verify_snapshots(reader, checked, told)
        except NoDescriptorsError:
            raise
        except (PrunedError, FileNotFoundError) as error:
            # A service beside us took a snapshot, and gave up what we were reading.
            if attempt == ATTEMPTS:
                checked.faults.append(str(error))
        except (NonzeroError, OSError) as error:
            checked.faults.append(str(error))
            break
        else:
            break
    if checked.faults:
        checked.refused = _refusal(directory, told)
    return checked


def _refusal(directory: Path, told: Told) -> str | None:
    """Do what a start does, and change nothing; return why it would be refused, None where it would not."""
    try:
        check_model(directory)
        _read_older(directory)
        snapshots = snapshots_in(directory / "snapshots")
        with JournalReader(directory) as reader:
            reached = snapshots[0].position if snapshots else 0
            check_journal(reader, directory / "mark", reached, KeyIndex())
            model, start = found(reader, newest_readable(snapshots))
            promoted = promoted_from(directory, reader)
            replay(model, reader, start, lambda done, end: told("trying a start", done, end), (), promoted)
    except (NonzeroError, OSError) as error:
        return str(error)
    return None


def _read_older(directory: Path) -> None:
    """Read the impressions of an older release, as a start does to take them over."""
    for _ in older_impressions(directory):
        pass


def _verify_snapshots(reader: JournalReader, checked: Checked, told: Told) -> None:
    """Read every snapshot, and hold the fold against each."""
    whole: list[tuple[int, ExpectedFold]] = []
    oldest: tuple[SnapshotFile, LogisticRegression] | None = None
    for snapshot, model in whole_snapshots(reader, checked, told):
        whole.append((snapshot.position, ExpectedFold.of(snapshot, model)))
        oldest = oldest or (snapshot, model)
    try:
        model, start = found(reader, None)
    except SnapshotError:  # the rows begin later, or after a trained file
        if oldest is None:
            raise
        model, start = found(reader, oldest)
        del whole[0]
    oldest = None
    checked.folded_from = start - 1
    _fold(reader, model, start, whole, checked, told)


def _fold(
    reader: JournalReader,
    model: LogisticRegression,
    start: int,
    expected: list[tuple[int, ExpectedFold]],
    checked: Checked,
    told: Told,
) -> None:
    assert checked.journal is not None  # noqa: S101 - verified before its snapshots
    end = checked.journal.last
    awaited = dict(expected)
    promoted = promoted_from(checked.directory, reader)
    for row in reader.read(start):
        model = fold.apply(model, row, reader.read, promoted=promoted)
        told("folding", row.position - start + 1, max(row.position, end) - start + 1)
        if row.position in awaited:
            checked.hold_against(model, row.position, awaited.pop(row.position), "the journal's rows")
        if row.position >= end and not awaited:
            break
    checked.digest, checked.sources = model.digest(), partitions_of(model.notes)
