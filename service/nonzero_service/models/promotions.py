"""Promotions on disk: what a challenger had become where it took its champion's place.

A ``promotion`` row says who is promoted. What that had become is the fold of the rows before, from the
challenger's newest snapshot on. So the challenger's directory goes into the champion's, as
``promoted/POSITION``, and stays as long as a snapshot of the champion is from before. The champion that was
is written down as ``retired/POSITION.safetensors``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from nonzero import LogisticRegression, SnapshotError
from nonzero.persistence.whole_files import sync_directory
from nonzero_service.impressions.taking_over import TakenOver
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import JournalDamagedError, PrunedError
from nonzero_service.journal.files import make_directory
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFile, SnapshotFolder, snapshots_in
from nonzero_service.models.challenger_files import fold_challenger
from nonzero_service.models.model_config import LABELLING, ModelConfig, config_of
from nonzero_service.models.snapshot_files import needed_from
from nonzero_service.writer.challenger_origin import ChallengerOrigin
from nonzero_service.writer.entries import promotion_of
from nonzero_service.writer.fold import FindPromoted
from nonzero_service.writer.promotion import Promotion

PROMOTED: Final = "promoted"
RETIRED: Final = "retired"

CHANGED: Final = ("bits", "learning_rate", "optimizer", "interactions", "own")
"""What a champion's configuration takes over of its challenger's."""


def promotion_by(name: str, config: ModelConfig, impressions: TakenOver | None = None) -> Promotion:
    """Return what a row says of a challenger.

    Parameters
    ----------
    name, config
        Its name and its configuration.
    impressions
        What becomes of impressions, where it has a late-label policy of its own.
    """
    assert config.origin is not None  # noqa: S101 - it is a challenger's
    taken: dict[str, Any] = msgspec.to_builtins(config)
    return Promotion(name, config.origin, {key: taken[key] for key in CHANGED}, impressions)


def promoted_configuration(config: ModelConfig, promotion: Promotion) -> ModelConfig:
    """Return a champion's configuration after a promotion; of impressions it keeps what the row leaves."""
    own = set(promotion.config.get("own", ())) | (config.own & set(LABELLING))
    changes = promotion.config | {"own": sorted(own)}
    if promotion.impressions is not None:
        changes["negatives"] = promotion.impressions.negatives
    return msgspec.convert(msgspec.to_builtins(config) | changes, ModelConfig)


def promotions_in(reader: JournalRows) -> dict[str, tuple[int, Promotion]]:
    """Return the promotions that a journal holds, by the challenger's id, and their positions."""

    def fail(error: JournalDamagedError) -> None:
        raise error

    found = {}
    for row in reader.read_of(("promotion",), fail):
        promotion = promotion_of(row)
        found[promotion.origin.id] = row.position, promotion
    return found


def finish_promotion(directory: Path, challenger: Path, position: int, promotion: Promotion) -> ModelConfig:
    """Let the champion's directory say what the journal says; may be done again.

    Parameters
    ----------
    directory, challenger
        The directories of both.
    position, promotion
        The row.

    Returns
    -------
    ModelConfig
        The champion's from now on.
    """
    config = promoted_configuration(config_of(directory), promotion)
    config.write(directory)
    place = directory / PROMOTED
    if not place.exists():
        make_directory(place)
    challenger.rename(place / f"{position:020d}")
    for changed in (place, challenger.parent):
        sync_directory(changed)
    return config


def promoted_from(directory: Path, reader: JournalRows, *, retire: bool = False) -> FindPromoted:
    """Return what finds the challengers that were promoted.

    Parameters
    ----------
    directory, reader
        The champion's directory and journal.
    retire
        Whether to write down what they took the place of, where that has not been done.
    """

    def find(promotion: Promotion, row: JournalRow, old: LogisticRegression) -> LogisticRegression:
        path = _place_of(directory, promotion.origin, row.position)
        try:
            new = fold_challenger(path, promotion.origin, reader, row.position - 1)
        except PrunedError as error:
            raise SnapshotError(
                f"position {row.position} promotes {promotion.name!r}, and neither is {path} whole nor are "
                f"the rows from position {promotion.origin.needed_from} held, of which it could be made "
                "again; restore the directory from a backup"
            ) from error
        if retire and not (directory / RETIRED / f"{row.position:020d}.safetensors").exists():
            write_retired(directory, row.position, old)
        return new

    return find


def refolded(changes: dict[str, Any], reader: JournalRows) -> FindPromoted:
    """Return what makes promoted challengers anew of a whole journal, with some settings changed."""

    def find(promotion: Promotion, row: JournalRow, _: LogisticRegression) -> LogisticRegression:
        origin = promotion.origin
        other = msgspec.structs.replace(origin, settings=origin.settings | changes)
        return fold_challenger(reader.directory / PROMOTED / "none", other, reader, row.position - 1)

    return find


def write_retired(directory: Path, position: int, model: LogisticRegression) -> Path:
    """Write down the model that a promotion took the place of; one that was written before goes."""
    folder = SnapshotFolder(directory / RETIRED)
    folder.tidy()
    written = folder.write(position, model.packed(copied=False).write)
    for other in folder.all():
        if other.position != position:
            other.path.unlink()
    return written.path


def needed_by_promotions(directory: Path, kept: Sequence[SnapshotFile]) -> int | None:
    """Return the first position that a fold across promotions needs, from the oldest snapshot on."""
    oldest = min((one.position for one in kept), default=0)
    needed = [_needed_from(path) for position, path in _promoted(directory) if position > oldest]
    return min(needed, default=None)


def give_up_promoted(directory: Path, kept: Sequence[SnapshotFile]) -> None:
    """Remove what was promoted before the oldest snapshot."""
    oldest = min((one.position for one in kept), default=0)
    for position, path in _promoted(directory):
        if position <= oldest:
            try:
                shutil.rmtree(path)
            except OSError as error:
                structlog.get_logger("models").warning(
                    "what is of no use could not be removed", path=str(path), reason=str(error)
                )


def _promoted(directory: Path) -> Iterator[tuple[int, Path]]:
    place = directory / PROMOTED
    for path in sorted(place.iterdir()) if place.exists() else []:
        if path.name.isdigit():
            yield int(path.name), path


def _needed_from(path: Path) -> int:
    snapshots = snapshots_in(path / "snapshots")
    if snapshots:
        return min(map(needed_from, snapshots))
    origin = config_of(path).origin
    return 1 if origin is None else origin.needed_from


def _place_of(directory: Path, origin: ChallengerOrigin, position: int) -> Path:
    """Return where a promoted challenger is kept: in the champion's directory, or beside it yet."""
    place = directory / PROMOTED / f"{position:020d}"
    if place.exists():
        return place
    for other in directory.parent.iterdir():
        try:
            config = config_of(other)
        except (SnapshotError, NotADirectoryError):
            continue
        if config.origin is not None and config.origin.id == origin.id:
            return other
    return place
